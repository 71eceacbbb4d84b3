/**
 * @file Drawing a token: the cumulative softmax is inverted at a given uniform number.
 *
 * The random number comes from outside (keyed by seed, step, prompt and sample), so a draw depends
 * on nothing but its key, and every backend draws the same token up to rounding of the cumulative
 * sum.
 */
import { at, logSumExp, type Matrix, type Minus } from './reference-kernel.js';

export function sampleReference(
  ids: Int32Array,
  logProbabilities: Float64Array,
  logits: Matrix,
  uniforms: Float64Array,
  temperature: number,
  minus: Minus,
): void {
  const greedy = temperature === 0;
  for (let b = 0; b < logits.rows; b++) {
    const z = new Float64Array(logits.columns);
    for (let v = 0; v < z.length; v++) z[v] = at(logits, b, v) / (greedy ? 1 : temperature);
    const lse = logSumExp(z);
    let id = 0;
    if (greedy) {
      for (let v = 1; v < z.length; v++) if (z[v] > z[id]) id = v;
    } else {
      let cumulative = 0;
      for (let v = 0; v < z.length; v++) {
        const p = Math.exp(z[v] - lse);
        // so that a cumulative sum that rounds to less than the uniform ends at a possible token
        if (p > 0) id = v;
        cumulative += p;
        if (cumulative > uniforms[b]) break;
      }
    }
    ids[b] = id;
    logProbabilities[b] = minus(z[id], lse);
  }
}
