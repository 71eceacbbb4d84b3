/**
 * @file Causal grouped-query attention over packed sequences, which may share a prefix.
 *
 * Scores s = scale·q·k over the keys up to one's own position, p = softmax(s), out = Σ p·v. Only
 * log Σ exp(s) is kept for the derivative, which recomputes p (Dao et al. 2022, appendix B): with D
 * = dout·out,
 *   dv += p·dout,   ds = p·(dout·v − D),   dq += scale·ds·k,   dk += scale·ds·q.
 * Query head h uses key-value head ⌊h · kvHeads / heads⌋ (Ainslie et al. 2023).
 *
 * Sequences that begin alike (the completions of one prompt) need what they share only once: a
 * segment of its own, which the segments that go on from it name as their prefix. Their queries see
 * all of it, and its keys and values get the sum of what each of them gives, in their order.
 */
import { matrixOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import {
  type ArgumentsOf,
  count,
  declare,
  f32,
  flags,
  i32,
  optional,
  real,
  strided,
} from './declare.js';
import { at, clearUnless, demand, dot, logSumExp as logSumExpOf, put } from './reference-kernel.js';

/** `kvHeads` divides `heads`; `scale` multiplies the scores, usually 1/√dk. */
export type AttentionOptions = Pick<
  ArgumentsOf<typeof attentionOperations.attention>,
  'heads' | 'kvHeads' | 'scale'
>;

/** Which rows of a packed batch belong together. */
export interface Sequences {
  /** i32 [S + 1]: rows segments[s] … segments[s + 1] are segment s. */
  segments: Tensor;
  /** i32 [S]: the earlier segment that segment s goes on from, or -1; left out: none has one. */
  prefixes?: Tensor | null;
}

/** The segment that segment s goes on from, or -1: only an earlier one is taken. */
export function prefixOf(prefixes: ArrayLike<number> | null, s: number): number {
  const prefix = prefixes === null ? -1 : prefixes[s];
  return prefix >= 0 && prefix < s ? prefix : -1;
}

/**
 * @param q [N, heads·dk], @param k [N, kvHeads·dk], @param v [N, kvHeads·dv]; all may be column
 * views
 * @returns [N, heads·dv]
 */
export function attention(
  tape: Tape,
  q: Variable,
  k: Variable,
  v: Variable,
  { segments, prefixes = null }: Partial<Sequences>,
  options: AttentionOptions,
): Variable {
  const { backend } = tape;
  if (!segments) throw new Error('attention: a packed batch needs segments');
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
  backend.attention({
    out: out.value,
    logSumExp,
    q: q.value,
    k: k.value,
    v: v.value,
    segments,
    prefixes,
    ...options,
  });
  tape.record(out, (gradient) => {
    // All three are computed together; one that nobody wants goes to scratch.
    const slotOf = (x: Variable) =>
      tape.gradientOf(x) ?? { tensor: backend.allocate('f32', x.shape), accumulate: false };
    const [dq, dk, dvSlot] = [slotOf(q), slotOf(k), slotOf(v)];
    backend.attentionBackward({
      dq: dq.tensor,
      dk: dk.tensor,
      dv: dvSlot.tensor,
      dOut: gradient,
      out: out.value,
      logSumExp,
      q: q.value,
      k: k.value,
      v: v.value,
      segments,
      prefixes,
      ...options,
      accumulate: { dq: dq.accumulate, dk: dk.accumulate, dv: dvSlot.accumulate },
    });
  });
  return out;
}

/** The rows whose keys row i of segment s sees, in order. */
function rowsSeen(
  segments: ArrayLike<number>,
  prefixes: ArrayLike<number> | null,
  s: number,
  i: number,
): number[] {
  const prefix = prefixOf(prefixes, s);
  const seen: number[] = [];
  if (prefix >= 0) for (let j = segments[prefix]; j < segments[prefix + 1]; j++) seen.push(j);
  for (let j = segments[s]; j <= i; j++) seen.push(j);
  return seen;
}

export const attentionOperations = {
  /**
   * Rows segments[s] … segments[s + 1] are segment s. A row sees those of its segment up to itself,
   * and all rows of segment prefixes[s], where that is an earlier one (-1: none). logSumExp is kept
   * for the derivative, which recomputes the probabilities.
   */
  attention: declare({
    args: {
      out: f32('N', 'heads*dv'),
      logSumExp: f32('N', 'heads'),
      q: strided('N', 'heads*dk'),
      k: strided('N', 'kvHeads*dk'),
      v: strided('N', 'kvHeads*dv'),
      segments: i32('S + 1'),
      prefixes: optional(i32('S')),
      heads: count(),
      kvHeads: count(),
      scale: real(),
    },
    where: ['heads = kvHeads*share'],
    ends: { segments: 'N' },
    reference(t, { S, heads, kvHeads, dk, dv, scale }) {
      const { out, logSumExp, q, k, v, segments, prefixes } = t;
      for (let s = 0; s < S; s++) {
        for (let i = segments[s]; i < segments[s + 1]; i++) {
          const seen = rowsSeen(segments, prefixes, s, i);
          for (let h = 0; h < heads; h++) {
            const kvHead = Math.floor((h * kvHeads) / heads);
            const scores = seen.map((j) => scale * dot(q, i, h * dk, k, j, kvHead * dk, dk));
            const lse = logSumExpOf(scores);
            put(logSumExp, i, h, lse);
            for (let d = 0; d < dv; d++) {
              let sum = 0;
              seen.forEach((j, n) => {
                sum += Math.exp(scores[n] - lse) * at(v, j, kvHead * dv + d);
              });
              put(out, i, h * dv + d, sum);
            }
          }
        }
      }
    },
  }),
  attentionBackward: declare({
    args: {
      dq: strided('N', 'heads*keyDim'),
      dk: strided('N', 'kvHeads*keyDim'),
      dv: strided('N', 'kvHeads*valueDim'),
      dOut: f32('N', 'heads*valueDim'),
      out: f32('N', 'heads*valueDim'),
      logSumExp: f32('N', 'heads'),
      q: strided('N', 'heads*keyDim'),
      k: strided('N', 'kvHeads*keyDim'),
      v: strided('N', 'kvHeads*valueDim'),
      segments: i32('S + 1'),
      prefixes: optional(i32('S')),
      heads: count(),
      kvHeads: count(),
      scale: real(),
      accumulate: flags('dq', 'dk', 'dv'),
    },
    where: ['heads = kvHeads*share'],
    ends: { segments: 'N' },
    reference(t, { S, heads, kvHeads, keyDim, valueDim, scale, accumulate }, minus) {
      const { dq, dk, dv, dOut, out, logSumExp, q, k, v, segments, prefixes } = t;
      clearUnless(accumulate.dq, dq);
      clearUnless(accumulate.dk, dk);
      clearUnless(accumulate.dv, dv);
      const pair = (i: number, j: number, h: number): void => {
        const [own, ownValue] = [h * keyDim, h * valueDim];
        const kvHead = Math.floor((h * kvHeads) / heads);
        const [shared, sharedValue] = [kvHead * keyDim, kvHead * valueDim];
        const outDotGradient = dot(dOut, i, ownValue, out, i, ownValue, valueDim);
        const score = scale * dot(q, i, own, k, j, shared, keyDim);
        const p = Math.exp(score - at(logSumExp, i, h));
        const dp = dot(dOut, i, ownValue, v, j, sharedValue, valueDim);
        const ds = p * minus(dp, outDotGradient);
        for (let c = 0; c < valueDim; c++)
          put(dv, j, sharedValue + c, p * at(dOut, i, ownValue + c), true);
        for (let c = 0; c < keyDim; c++) {
          put(dq, i, own + c, scale * ds * at(k, j, shared + c), true);
          put(dk, j, shared + c, scale * ds * at(q, i, own + c), true);
        }
      };
      for (let s = 0; s < S; s++)
        for (let i = segments[s]; i < segments[s + 1]; i++) {
          const seen = rowsSeen(segments, prefixes, s, i);
          for (let h = 0; h < heads; h++) for (const j of seen) pair(i, j, h);
        }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    attention: typeof attentionOperations.attention;
    attentionBackward: typeof attentionOperations.attentionBackward;
  }
}
