/**
 * @file Causal grouped-query attention over packed sequences.
 *
 * Scores s = scale·q·k over the keys up to one's own position, p = softmax(s), out = Σ p·v. Only
 * log Σ exp(s) is kept for the derivative, which recomputes p (Dao et al. 2022, appendix B): with D
 * = dout·out,
 *   dv += p·dout,   ds = p·(dout·v − D),   dq += scale·ds·k,   dk += scale·ds·q.
 * Query head h uses key-value head ⌊h · kvHeads / heads⌋ (Ainslie et al. 2023).
 */
import { type AttentionOptions, matrixOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import {
  at,
  clearUnless,
  demand,
  dot,
  logSumExp as logSumExpOf,
  type Matrix,
  type Minus,
  put,
} from './reference-kernel.js';

/**
 * @param q [N, heads·dk], @param k [N, kvHeads·dk], @param v [N, kvHeads·dv]; all may be column
 * views
 * @param segments i32 [S + 1]: rows segments[s] … segments[s + 1] are sequence s
 * @returns [N, heads·dv]
 */
export function attention(
  tape: Tape,
  q: Variable,
  k: Variable,
  v: Variable,
  segments: Tensor,
  options: AttentionOptions,
): Variable {
  const { backend } = tape;
  const { heads, kvHeads } = options;
  const { rows, columns } = matrixOf(q.value);
  demand(
    heads % kvHeads === 0,
    `attention: ${kvHeads} key-value heads do not divide ${heads} heads`,
  );
  demand(
    columns / heads === matrixOf(k.value).columns / kvHeads,
    'attention: queries and keys differ in head dimension',
  );
  demand(q !== k && k !== v && q !== v, 'attention: q, k and v must be different variables');
  const dv = matrixOf(v.value).columns / kvHeads;

  const out = tape.output([rows, heads * dv], q, k, v);
  const logSumExp = backend.allocate('f32', [rows, heads]);
  backend.attention(out.value, logSumExp, q.value, k.value, v.value, segments, options);
  tape.record(out, (gradient) => {
    // All three are computed together; one that nobody wants goes to scratch.
    const slotOf = (x: Variable) =>
      tape.gradientOf(x) ?? { tensor: backend.allocate('f32', x.shape), accumulate: false };
    const [dq, dk, dvSlot] = [slotOf(q), slotOf(k), slotOf(v)];
    backend.attentionBackward(
      { q: dq.tensor, k: dk.tensor, v: dvSlot.tensor },
      gradient,
      out.value,
      logSumExp,
      q.value,
      k.value,
      v.value,
      segments,
      options,
      { q: dq.accumulate, k: dk.accumulate, v: dvSlot.accumulate },
    );
  });
  return out;
}

export function attentionReference(
  out: Matrix,
  logSumExp: Matrix,
  q: Matrix,
  k: Matrix,
  v: Matrix,
  segments: Int32Array,
  options: AttentionOptions,
): void {
  const { heads, kvHeads, scale } = options;
  const dk = q.columns / heads;
  const dv = v.columns / kvHeads;
  for (let s = 0; s + 1 < segments.length; s++) {
    for (let i = segments[s]; i < segments[s + 1]; i++) {
      for (let h = 0; h < heads; h++) {
        const kvHead = Math.floor((h * kvHeads) / heads);
        const scores: number[] = [];
        for (let j = segments[s]; j <= i; j++)
          scores.push(scale * dot(q, i, h * dk, k, j, kvHead * dk, dk));
        const lse = logSumExpOf(scores);
        put(logSumExp, i, h, lse);
        for (let d = 0; d < dv; d++) {
          let sum = 0;
          for (let j = segments[s]; j <= i; j++)
            sum += Math.exp(scores[j - segments[s]] - lse) * at(v, j, kvHead * dv + d);
          put(out, i, h * dv + d, sum);
        }
      }
    }
  }
}

export function attentionBackwardReference(
  d: { q: Matrix; k: Matrix; v: Matrix },
  dOut: Matrix,
  out: Matrix,
  logSumExp: Matrix,
  q: Matrix,
  k: Matrix,
  v: Matrix,
  segments: Int32Array,
  options: AttentionOptions,
  accumulate: { q: boolean; k: boolean; v: boolean },
  minus: Minus,
): void {
  const { heads, kvHeads, scale } = options;
  const dk = q.columns / heads;
  const dv = v.columns / kvHeads;
  clearUnless(accumulate.q, d.q);
  clearUnless(accumulate.k, d.k);
  clearUnless(accumulate.v, d.v);
  for (let s = 0; s + 1 < segments.length; s++) {
    for (let i = segments[s]; i < segments[s + 1]; i++) {
      for (let h = 0; h < heads; h++) {
        const kvHead = Math.floor((h * kvHeads) / heads);
        const outDotGradient = dot(dOut, i, h * dv, out, i, h * dv, dv);
        for (let j = segments[s]; j <= i; j++) {
          const score = scale * dot(q, i, h * dk, k, j, kvHead * dk, dk);
          const p = Math.exp(score - at(logSumExp, i, h));
          const dp = dot(dOut, i, h * dv, v, j, kvHead * dv, dv);
          const ds = p * minus(dp, outDotGradient);
          for (let c = 0; c < dv; c++)
            put(d.v, j, kvHead * dv + c, p * at(dOut, i, h * dv + c), true);
          for (let c = 0; c < dk; c++) {
            put(d.q, i, h * dk + c, scale * ds * at(k, j, kvHead * dk + c), true);
            put(d.k, j, kvHead * dk + c, scale * ds * at(q, i, h * dk + c), true);
          }
        }
      }
    }
  }
}
