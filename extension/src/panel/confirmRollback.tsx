import { Dialog, showDialog } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';

import type { ModelStatus } from '../wire';

/** Ask before all traffic of a model moves; gives the reason, or null when the person thought better of it. */
export async function confirmRollback(
  model: ModelStatus
): Promise<string | null> {
  const { button, value } = await showDialog({
    title: `Roll back ${model.name}?`,
    body: new RollbackReason(model),
    buttons: [
      Dialog.cancelButton(),
      Dialog.warnButton({ label: `Roll back to version ${model.previous}` })
    ],
    focusNodeSelector: 'input'
  });
  return button.accept ? (value ?? '') : null;
}

class RollbackReason extends ReactWidget implements Dialog.IBodyWidget<string> {
  constructor(private readonly model: ModelStatus) {
    super();
    this.addClass('prodml-RollbackReason');
  }

  getValue(): string {
    return this.node.querySelector('input')?.value.trim() ?? '';
  }

  protected override render(): JSX.Element {
    const { live, previous } = this.model;
    return (
      <>
        <p>
          All traffic goes back to version {previous} at once
          {live === null ? '' : `; version ${live} stays loaded as previous`}.
        </p>
        <label>
          Why? <span className="prodml-quiet">(kept in the ledger)</span>
          <input
            className="jp-mod-styled"
            type="text"
            maxLength={500}
            placeholder="errors since the switch"
          />
        </label>
      </>
    );
  }
}
