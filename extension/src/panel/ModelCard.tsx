import { count, latency, plural, rate, share } from '../format';
import type { Sample } from '../model';
import type { ModelStatus, Traffic } from '../wire';
import { withCode } from './Notice';
import { Sparkline } from './Sparkline';

interface Props {
  card: ModelStatus;
  samples: readonly Sample[];
  /** Whether any change is under way; one at a time. */
  busy: boolean;
  rollingBack: boolean;
  onRollback: () => void;
}

/** One model: who answers, how it fares, and the way back. */
export function ModelCard(props: Props): JSX.Element {
  const { card, samples, busy, rollingBack, onRollback } = props;
  const { name, traffic, previous, problem } = card;
  const heading = `prodml-model-${name}`;
  return (
    <li
      className={`prodml-ModelCard${problem ? ' prodml-is-broken' : ''}`}
      aria-labelledby={heading}
    >
      <div className="prodml-ModelCard-top">
        <h4 id={heading} title={card.url ?? name}>
          {name}
        </h4>
        <Live version={card.live} answering={traffic !== null} />
      </div>
      <Others card={card} />
      {problem && (
        <p className="prodml-problem" role="alert">
          {withCode(problem)}
        </p>
      )}
      {traffic && <TrafficRow traffic={traffic} samples={samples} />}
      {previous !== null && (
        <button
          className="prodml-button"
          disabled={busy}
          aria-label={`Roll back ${name} to version ${previous}`}
          onClick={onRollback}
        >
          {rollingBack ? 'Rolling back…' : `Roll back to v${previous}`}
        </button>
      )}
    </li>
  );
}

interface LiveProps {
  version: number | null;
  /** False while the gateway is down: the version is live by decision, yet answers nobody. */
  answering: boolean;
}

function Live({ version, answering }: LiveProps): JSX.Element {
  if (version === null) {
    return <span className="prodml-badge">not served</span>;
  }
  return (
    <span
      className={`prodml-badge${answering ? ' prodml-is-live' : ''}`}
      title={
        answering
          ? 'Answers the requests'
          : 'Answers as soon as the gateway is up'
      }
      aria-label={`version ${version} is live`}
    >
      v{version} live
    </span>
  );
}

/** Versions that do not answer everyone: canary, shadows, previous. */
function Others({ card }: { card: ModelStatus }): JSX.Element | null {
  const { canary, canary_share, rollout, shadows, previous } = card;
  if (canary === null && shadows.length === 0 && previous === null) {
    return null;
  }
  return (
    <ul className="prodml-badges" aria-label="Other versions">
      {canary !== null && (
        <li
          className="prodml-badge prodml-is-canary"
          title={`Version ${canary} answers ${share(canary_share ?? 0)} of the live requests; its rollout is ${rollout ?? 'over'}`}
        >
          v{canary} canary {share(canary_share ?? 0)}
        </li>
      )}
      {shadows.map(({ version, sample }) => (
        <li
          key={version}
          className="prodml-badge prodml-is-shadow"
          title={`Version ${version} gets a copy of ${share(sample)} of the live rows and answers nobody`}
        >
          v{version} shadow {share(sample)}
        </li>
      ))}
      {previous !== null && (
        <li className="prodml-badge">v{previous} previous</li>
      )}
    </ul>
  );
}

interface TrafficProps {
  traffic: Traffic;
  samples: readonly Sample[];
}

function TrafficRow({ traffic, samples }: TrafficProps): JSX.Element {
  const { requests_per_second, refused_per_second } = traffic;
  const { requests, rows, errors } = traffic;
  const { shadow_rows, shadow_dropped, shadow_errors } = traffic;
  return (
    <>
      <div className="prodml-Rate">
        <span
          className="prodml-Rate-now"
          title="Requests per second, over the last minute"
        >
          {rate(requests_per_second)}
        </span>
        <Sparkline samples={samples} label="Requests per second" />
      </div>
      {refused_per_second > 0 && (
        <p className="prodml-problem" role="status">
          {rate(refused_per_second)} refused with 503, unanswered
        </p>
      )}
      <dl className="prodml-facts">
        <Fact name="p50" value={latency(traffic.p50_ms)} />
        <Fact name="p99" value={latency(traffic.p99_ms)} />
        <Fact name="errors" value={count(errors)} alarming={errors > 0} />
        <Fact name="requests" value={count(requests)} />
        <Fact name="rows" value={count(rows)} />
      </dl>
      {shadow_rows + shadow_dropped + shadow_errors > 0 && (
        <p className="prodml-quiet prodml-ShadowLine">
          Shadow: {plural(shadow_rows, 'row')}, {count(shadow_dropped)} dropped,{' '}
          {plural(shadow_errors, 'error')}
        </p>
      )}
    </>
  );
}

interface FactProps {
  name: string;
  value: string;
  alarming?: boolean;
}

function Fact({ name, value, alarming = false }: FactProps): JSX.Element {
  return (
    <div className={alarming ? 'prodml-is-alarming' : undefined}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
