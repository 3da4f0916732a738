import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import { refreshIcon } from '@jupyterlab/ui-components';

import { prodmlIcon } from './icons';
import type { ServicesModel } from './model';

/** Ids of the commands, for menus, shortcuts and other extensions. */
export const CommandIDs = {
  show: 'prodml:show-panel',
  refresh: 'prodml:refresh',
  up: 'prodml:up'
};

export function addCommands(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  model: ServicesModel,
  panel: string
): void {
  app.commands.addCommand(CommandIDs.show, {
    label: 'prodml: Show panel',
    caption: 'Show what is live, how it fares, and what was decided',
    icon: prodmlIcon,
    describedBy: { args: null },
    execute: () => app.shell.activateById(panel)
  });
  app.commands.addCommand(CommandIDs.refresh, {
    label: 'prodml: Refresh panel',
    icon: refreshIcon,
    describedBy: { args: null },
    execute: () => model.refresh()
  });
  app.commands.addCommand(CommandIDs.up, {
    label: 'prodml: Start services',
    caption: 'Start gateway and controller',
    describedBy: { args: null },
    execute: () => {
      app.shell.activateById(panel);
      return model.up();
    }
  });
  for (const command of Object.values(CommandIDs)) {
    palette?.addItem({ command, category: 'prodml' });
  }
}
