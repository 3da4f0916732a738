/** A number of things, short: `7`, `1.2k`, `3.4M`. */
export function count(value: number): string {
  if (value < 1000) {
    return String(Math.round(value));
  }
  const [unit, size] = value < 999_500 ? ['k', 1e3] : ['M', 1e6];
  const scaled = value / (size as number);
  return `${scaled.toFixed(scaled < 99.95 ? 1 : 0)}${unit}`;
}

/** Requests per second: `0/s`, `0.2/s`, `12.5/s`, `1.2k/s`. */
export function rate(perSecond: number): string {
  if (perSecond === 0 || perSecond >= 99.95) {
    return `${count(perSecond)}/s`;
  }
  return perSecond < 0.05 ? '<0.1/s' : `${perSecond.toFixed(1)}/s`;
}

/** A latency in milliseconds with two significant digits, or a dash where nothing was measured. */
export function latency(ms: number | null): string {
  if (ms === null) {
    return '–';
  }
  if (ms >= 1000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const digits = ms < 0.995 ? 2 : ms < 9.95 ? 1 : 0;
  return `${ms.toFixed(digits)} ms`;
}

/** A share as a percentage: `25 %`, `0.5 %`. */
export function share(value: number): string {
  const percent = value * 100;
  const digits = percent < 10 && !Number.isInteger(percent) ? 1 : 0;
  return `${percent.toFixed(digits)} %`;
}

const UNITS: [seconds: number, name: string][] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min']
];

/** How long before `now` a moment was: `just now`, `40 s ago`, `3 min ago`, `2 d ago`. */
export function ago(moment: string, now: Date): string {
  const seconds = (now.getTime() - new Date(moment).getTime()) / 1000;
  if (seconds < 5) {
    return 'just now';
  }
  for (const [size, name] of UNITS) {
    if (seconds >= size) {
      return `${Math.floor(seconds / size)} ${name} ago`;
    }
  }
  return `${Math.floor(seconds)} s ago`;
}

/** A moment in full, as the reader's locale writes it. */
export function moment(at: string): string {
  return new Date(at).toLocaleString();
}

/** One thing or several: `1 error`, `3 errors`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** A command as a person types it in a cell, free of its label: `http://host/` → `host`. */
export function address(url: string): string {
  return url.replace(/^https?:\/\//, '').replace(/\/$/, '');
}

/** Points of a polyline through `values` in a box; the highest value touches the top. */
export function polyline(
  samples: readonly { at: number; value: number }[],
  width: number,
  height: number
): string {
  if (samples.length < 2) {
    return '';
  }
  const first = samples[0].at;
  const span = samples[samples.length - 1].at - first || 1;
  const top = Math.max(...samples.map(sample => sample.value)) || 1;
  return samples
    .map(({ at, value }) => {
      const x = ((at - first) / span) * width;
      const y = height - (value / top) * height;
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(' ');
}
