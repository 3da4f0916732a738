import { refreshIcon } from '@jupyterlab/ui-components';

import type { ServicesModel } from '../model';
import type { ModelStatus } from '../wire';
import { GettingStarted } from './GettingStarted';
import { ModelCard } from './ModelCard';
import { Notice } from './Notice';
import { Services } from './Services';
import { Timeline } from './Timeline';

interface Props {
  model: ServicesModel;
  /** Asks the person; gives the reason, or null for no. */
  confirmRollback: (model: ModelStatus) => Promise<string | null>;
}

/** Everything in the panel, from top to bottom. */
export function Panel({ model, confirmRollback }: Props): JSX.Element {
  const { status, error, refusal, entries } = model;
  const rollback = async (card: ModelStatus) => {
    const why = await confirmRollback(card);
    if (why !== null) {
      await model.rollback(card.name, why);
    }
  };
  return (
    <div className="prodml-Panel" aria-busy={!status && !error}>
      <header className="prodml-Panel-header">
        <h2>Production</h2>
        <button
          className="prodml-icon-button"
          title="Refresh"
          aria-label="Refresh"
          onClick={() => model.refresh()}
        >
          <refreshIcon.react tag="span" width="14px" height="14px" />
        </button>
      </header>
      <div className="prodml-Panel-body">
        {error && <Notice text={error} stale={status !== null} />}
        {refusal && <Notice text={refusal} />}
        {!status && !error && <Loading />}
        {status && (
          <>
            <Services
              status={status}
              starting={model.doing === 'up'}
              onStart={() => void model.up()}
            />
            {status.models.length === 0 ? (
              <GettingStarted />
            ) : (
              <Models
                models={status.models}
                model={model}
                onRollback={card => void rollback(card)}
              />
            )}
            {entries.length > 0 && (
              <Timeline
                entries={entries}
                now={new Date()}
                oneModel={status.models.length === 1}
              />
            )}
          </>
        )}
      </div>
    </div>
  );
}

function Loading(): JSX.Element {
  return (
    <p className="prodml-Loading prodml-quiet" role="status">
      Asking the services…
    </p>
  );
}

interface ModelsProps {
  models: ModelStatus[];
  model: ServicesModel;
  onRollback: (card: ModelStatus) => void;
}

function Models({ models, model, onRollback }: ModelsProps): JSX.Element {
  return (
    <section aria-labelledby="prodml-models">
      <h3 id="prodml-models">
        Models <span className="prodml-quiet">{models.length}</span>
      </h3>
      <ul className="prodml-cards">
        {models.map(card => (
          <ModelCard
            key={card.name}
            card={card}
            samples={model.samples(card.name)}
            busy={model.doing !== null}
            rollingBack={model.doing === `rollback ${card.name}`}
            onRollback={() => onRollback(card)}
          />
        ))}
      </ul>
    </section>
  );
}
