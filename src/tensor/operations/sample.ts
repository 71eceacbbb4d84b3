/**
 * @file Drawing a token: the cumulative softmax is inverted at a given uniform number.
 *
 * The random number comes from outside (keyed by seed, step, prompt and sample), so a draw depends
 * on nothing but its key, and every backend draws the same token up to rounding of the cumulative
 * sum.
 */
import { atLeastZero, declare, f32, i32 } from './declare.js';
import { at, logSumExp } from './reference-kernel.js';

export const sampleOperations = {
  /**
   * One token a row, by inverting the cumulative softmax of logits / temperature at a uniform
   * number in [0, 1): the first token whose cumulative probability exceeds it. Temperature 0 takes
   * the first largest logit. logProbabilities are under the same tempered distribution (under
   * temperature 1 when temperature is 0).
   */
  sample: declare({
    args: {
      ids: i32('B'),
      logProbabilities: f32('B'),
      logits: f32('B', 'V'),
      uniforms: f32('B'),
      temperature: atLeastZero(),
    },
    where: ['1 <= V'],
    reference({ ids, logProbabilities, logits, uniforms }, { B, V, temperature }, minus) {
      const greedy = temperature === 0;
      for (let b = 0; b < B; b++) {
        const z = new Float64Array(V);
        for (let v = 0; v < V; v++) z[v] = at(logits, b, v) / (greedy ? 1 : temperature);
        const lse = logSumExp(z);
        let id = 0;
        if (greedy) {
          for (let v = 1; v < V; v++) if (z[v] > z[id]) id = v;
        } else {
          let cumulative = 0;
          for (let v = 0; v < V; v++) {
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
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    sample: typeof sampleOperations.sample;
  }
}
