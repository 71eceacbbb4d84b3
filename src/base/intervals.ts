/**
 * @file The 95% interval of an accuracy, everywhere alike: Wilson's over the problems.
 */

/** The 97.5% quantile of the normal distribution. */
export const Z_95 = 1.959963984540054;

export interface Interval95 {
  mean: number;
  low: number;
  high: number;
}

/**
 * Wilson's score interval (1927) for a proportion of independent trials; never leaves [0, 1].
 * `successes` need not be whole: with several samples a problem it is the sum of the shares.
 * Without trials: 0 to 1.
 */
export function wilsonInterval(successes: number, trials: number): Interval95 {
  if (trials === 0) return { mean: Number.NaN, low: 0, high: 1 };
  const p = successes / trials;
  const z2 = Z_95 * Z_95;
  const centre = (p + z2 / (2 * trials)) / (1 + z2 / trials);
  const half =
    (Z_95 / (1 + z2 / trials)) * Math.sqrt((p * (1 - p)) / trials + z2 / (4 * trials * trials));
  return {
    mean: p,
    low: Math.max(0, Math.min(p, centre - half)),
    high: Math.min(1, Math.max(p, centre + half)),
  };
}

/** Newcombe's interval (1998, method 10) for `to` minus `from`, taken as independent. */
export function differenceInterval(from: Interval95, to: Interval95): Interval95 {
  const mean = to.mean - from.mean;
  return {
    mean,
    low: mean - Math.hypot(to.mean - to.low, from.high - from.mean),
    high: mean + Math.hypot(to.high - to.mean, from.mean - from.low),
  };
}

/**
 * The interval of a share in the results of an evaluation; null where it is not there or the number
 * of problems is not known.
 */
export function accuracyInterval(
  results: Readonly<Record<string, number | undefined>>,
  metric = 'pass1',
): Interval95 | null {
  const { [metric]: share, problems } = results;
  if (share === undefined || problems === undefined || problems < 1) return null;
  return wilsonInterval(share * problems, problems);
}
