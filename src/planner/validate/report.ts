/**
 * @file Errors of predictions, by metric, model family, accelerator and source.
 *
 * An error is predicted over measured, less one. The median resists the few rows whose definition
 * was misread; the 90th percentile shows them. Coverage is the share of figures inside the stated
 * 90% interval: near 0.9 when intervals are honest.
 */

export interface Prediction {
  /** From 1, without the header. */
  row: number;
  metric: string;
  /** All three in the row's own unit. */
  measured: number;
  predicted: number;
  low: number;
  high: number;
}

export interface Labels {
  family: string;
  gpu: string;
  source: string;
}

export interface Group {
  by: 'metric' | 'family' | 'gpu' | 'source';
  key: string;
  n: number;
  /** Fractions: 0.1 is 10%. */
  medianAbsError: number;
  p90AbsError: number;
  /** Median of the signed errors; positive when predictions are too high. */
  bias: number;
  coverage90: number;
}

/** The smallest value that at least this share of a sorted list does not exceed. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

export function groupsOf(predictions: readonly (Prediction & Labels)[]): Group[] {
  const keyed: [Group['by'], (prediction: Prediction & Labels) => string][] = [
    ['metric', ({ metric }) => metric],
    ['family', ({ family }) => family],
    ['gpu', ({ gpu }) => gpu],
    ['source', ({ source }) => source],
  ];
  return keyed.flatMap(([by, keyOf]) => {
    const members = new Map<string, (Prediction & Labels)[]>();
    for (const prediction of predictions) {
      const key = keyOf(prediction);
      const list = members.get(key);
      if (list === undefined) members.set(key, [prediction]);
      else list.push(prediction);
    }
    return [...members]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, list]) => groupOf(by, key, list));
  });
}

function groupOf(by: Group['by'], key: string, list: readonly Prediction[]): Group {
  const signed = list
    .map(({ measured, predicted }) => predicted / measured - 1)
    .sort((a, b) => a - b);
  const absolute = signed.map(Math.abs).sort((a, b) => a - b);
  const covered = list.filter(
    ({ measured, low, high }) => low <= measured && measured <= high,
  ).length;
  return {
    by,
    key,
    n: list.length,
    medianAbsError: quantile(absolute, 0.5),
    p90AbsError: quantile(absolute, 0.9),
    bias: quantile(signed, 0.5),
    coverage90: covered / list.length,
  };
}
