/**
 * @file How far a serving prediction may be off.
 *
 * The errors are ratios, so an interval is a factor. Its parts are independent and add as squares
 * of logarithms.
 */
export interface Uncertain {
  /**
   * What bounds the figure: a full machine, a stated concurrency, a single prompt, or a layout that
   * was itself searched for.
   */
  regime: 'saturated' | 'concurrent' | 'prompt' | 'search';
  /** A pool that only reads prompts or only decodes. */
  pool: boolean;
  /** The engine is one that its accelerators' maker tunes. */
  tuned: boolean;
  experts: boolean;
  /**
   * Software that its makers or testers call early, or a model outside the path that engines are
   * tuned for (vision).
   */
  early: boolean;
  /** Settings that the row left out and that were assumed. */
  assumed: number;
  /** The price that a cost rests on, with its interval. */
  price: { value: number; low: number; high: number } | null;
}

const NORMAL_90 = 1.645;

/**
 * Standard deviations of the logarithm of measured over predicted, from sources that the fit did
 * not see.
 */
const SPREAD = { saturated: 0.18, concurrent: 0.25, prompt: 0.4, search: 0.5 } as const;
const SATURATED_EXPERTS = 0.26;
const UNTUNED = 0.25;
const ASSUMED = 0.2;
const EARLY = 0.6;

/** high / value = value / low of the 90% interval. */
export function intervalFactor(uncertain: Uncertain): number {
  const spread =
    uncertain.regime === 'saturated' && uncertain.experts
      ? SATURATED_EXPERTS
      : SPREAD[uncertain.regime];
  let variance = spread ** 2 + uncertain.assumed * ASSUMED ** 2;
  if (!uncertain.tuned) variance += UNTUNED ** 2;
  if (uncertain.early) variance += EARLY ** 2;
  if (uncertain.price !== null && uncertain.price.low > 0)
    variance += (Math.log(uncertain.price.high / uncertain.price.low) / 2 / NORMAL_90) ** 2;
  return Math.exp(NORMAL_90 * Math.sqrt(variance));
}
