import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';

import { prodmlIcon } from '../icons';
import type { ServicesModel } from '../model';
import { Panel } from './Panel';
import { confirmRollback } from './confirmRollback';

/** The panel in the side bar; it tells the model whether someone can see it. */
export class PanelWidget extends ReactWidget {
  constructor(private readonly model: ServicesModel) {
    super();
    this.id = 'prodml-panel';
    this.title.icon = prodmlIcon;
    this.title.caption = 'prodml: what is live';
    this.addClass('prodml-PanelWidget');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'prodml services');
    document.addEventListener('visibilitychange', this._look);
  }

  override dispose(): void {
    document.removeEventListener('visibilitychange', this._look);
    this.model.dispose();
    super.dispose();
  }

  protected override render(): JSX.Element {
    return (
      <UseSignal signal={this.model.changed}>
        {() => <Panel model={this.model} confirmRollback={confirmRollback} />}
      </UseSignal>
    );
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._look();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._look();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._look();
  }

  protected override onBeforeDetach(message: Message): void {
    this.model.visible = false;
    super.onBeforeDetach(message);
  }

  private readonly _look = (): void => {
    this.model.visible = this.isVisible && !document.hidden;
  };
}
