import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { serverApi } from './api';
import { addCommands } from './commands';
import { listen } from './events';
import { ServicesModel } from './model';
// The side bar needs the widget itself at activation.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { PanelWidget } from './panel/PanelWidget';
import { follow } from './settings';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'prodml-magics:panel',
  description: 'Shows what is live, how it fares, and what was decided.',
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null
  ) => {
    const model = new ServicesModel(
      serverApi(app.serviceManager.serverSettings)
    );
    const panel = new PanelWidget(model);
    app.shell.add(panel, 'left', { rank: 450, type: 'prodml' });
    restorer?.add(panel, panel.id);
    listen(app.serviceManager.events, model);
    addCommands(app, palette, model, panel.id);
    void follow(settings, plugin.id, model);
  }
};

export default plugin;
