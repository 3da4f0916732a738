import type { Event } from '@jupyterlab/services';

import type { ServicesModel } from './model';
import { LEDGER_EVENT } from './wire';

/** Ask again as soon as the server says that the ledger has grown. */
export function listen(events: Event.IManager, model: ServicesModel): void {
  events.stream.connect((_, emission) => {
    if (emission.schema_id === LEDGER_EVENT) {
      model.refresh();
    }
  });
}
