import { address, ago, moment } from '../format';
import type { StatusReport } from '../wire';

interface Props {
  status: StatusReport;
  starting: boolean;
  onStart: () => void;
}

/** Gateway and controller: up or down, where, and how to start them. */
export function Services({ status, starting, onStart }: Props): JSX.Element {
  const { gateway, controller, home } = status;
  const down = gateway.state === 'down' || controller.state === 'down';
  return (
    <section aria-labelledby="prodml-services">
      <h3 id="prodml-services">Services</h3>
      <ul className="prodml-Services">
        <Service name="Gateway" up={gateway.state === 'up'}>
          {gateway.url && (
            <span title={gateway.url}>{address(gateway.url)}</span>
          )}
          <Pids pids={gateway.pids} />
        </Service>
        <Service name="Controller" up={controller.state === 'up'}>
          {controller.drained_at && (
            <span title={`Log drained ${moment(controller.drained_at)}`}>
              drained {ago(controller.drained_at, new Date())}
            </span>
          )}
          <Pids pids={controller.pid === null ? [] : [controller.pid]} />
        </Service>
      </ul>
      {down && (
        <div className="prodml-Start">
          <button
            className="prodml-button prodml-mod-primary"
            disabled={starting}
            onClick={onStart}
          >
            {starting ? 'Starting…' : 'Start services'}
          </button>
          <span className="prodml-quiet">
            or run <code>%prodml up</code>
          </span>
        </div>
      )}
      <p className="prodml-Home prodml-quiet" title={`Home: ${home}`}>
        <bdi>{home}</bdi>
      </p>
    </section>
  );
}

interface ServiceProps {
  name: string;
  up: boolean;
  children: React.ReactNode;
}

function Service({ name, up, children }: ServiceProps): JSX.Element {
  const state = up ? 'up' : 'down';
  return (
    <li className={`prodml-Service prodml-is-${state}`}>
      <span className="prodml-dot" aria-hidden="true" />
      <span className="prodml-Service-name">{name}</span>
      <span className="prodml-Service-state">{state}</span>
      {up && <span className="prodml-Service-facts">{children}</span>}
    </li>
  );
}

function Pids({ pids }: { pids: number[] }): JSX.Element | null {
  if (pids.length === 0) {
    return null;
  }
  const noun = pids.length === 1 ? 'pid' : 'pids';
  return (
    <span className="prodml-quiet">
      {noun} {pids.join(' ')}
    </span>
  );
}
