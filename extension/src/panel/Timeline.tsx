import { ago, moment } from '../format';
import type { TimelineEntry } from '../wire';

interface Props {
  entries: readonly TimelineEntry[];
  now: Date;
  /** With one model its name need not stand at every entry. */
  oneModel: boolean;
}

/** The latest entries of the ledger, the newest first. */
export function Timeline({ entries, now, oneModel }: Props): JSX.Element {
  return (
    <section aria-labelledby="prodml-timeline">
      <h3 id="prodml-timeline">Timeline</h3>
      <ol className="prodml-Timeline">
        {entries.map(entry => (
          <Entry key={entry.id} entry={entry} now={now} named={!oneModel} />
        ))}
      </ol>
    </section>
  );
}

interface EntryProps {
  entry: TimelineEntry;
  now: Date;
  named: boolean;
}

function Entry({ entry, now, named }: EntryProps): JSX.Element {
  const { at, actor, kind, model, summary, cause } = entry;
  return (
    <li className={`prodml-Entry prodml-kind-${kind}`}>
      <p className="prodml-Entry-what">
        <b>{kind}</b>
        {named && <span title={model}>{model}</span>}
        <time dateTime={at} title={moment(at)}>
          {ago(at, now)}
        </time>
      </p>
      <p>{summary}</p>
      <p className="prodml-quiet">
        {actor}
        {cause && ` · “${cause}”`}
      </p>
    </li>
  );
}
