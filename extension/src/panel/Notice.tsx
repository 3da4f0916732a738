import type { ReactNode } from 'react';

interface Props {
  text: string;
  /** Whether what is shown below is from before the trouble. */
  stale?: boolean;
}

/** One line that says what went wrong and what to do. */
export function Notice({ text, stale = false }: Props): JSX.Element {
  return (
    <div className="prodml-Notice" role="alert">
      <p>{withCode(text)}</p>
      {stale && (
        <p className="prodml-quiet">Shown below: the last known state.</p>
      )}
    </div>
  );
}

/** Text between backquotes is code. */
export function withCode(text: string): ReactNode[] {
  return text
    .split('`')
    .map((part, index) =>
      index % 2 ? (
        <code key={index}>{part}</code>
      ) : (
        <span key={index}>{part}</span>
      )
    );
}
