import { polyline, rate } from '../format';
import type { Sample } from '../model';

const WIDTH = 100;
const HEIGHT = 20;

interface Props {
  samples: readonly Sample[];
  label: string;
}

/** A line without axes; its height is relative to its own highest value. */
export function Sparkline({ samples, label }: Props): JSX.Element {
  const points = polyline(samples, WIDTH, HEIGHT);
  const highest = Math.max(0, ...samples.map(sample => sample.value));
  return (
    <svg
      className="prodml-Sparkline"
      viewBox={`0 -1 ${WIDTH} ${HEIGHT + 2}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${label}, highest ${rate(highest)}`}
    >
      {points && (
        <>
          <polygon points={`0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}`} />
          <polyline points={points} vectorEffect="non-scaling-stroke" />
        </>
      )}
    </svg>
  );
}
