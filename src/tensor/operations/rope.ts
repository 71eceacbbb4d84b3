/**
 * @file Rotary position embedding (Su et al. 2021), in both forms that are in use, and YaRN's
 * angles for longer contexts.
 *
 * Entry i of a head is paired with entry i + d/2 (the rotate-half form of Hugging Face's Llama), or
 * entry 2i with entry 2i + 1 (interleaved: the paper's, and DeepSeek's), and the pair is rotated by
 * position · θ^(−2i/d). A rotation's derivative is the rotation back.
 *
 * YaRN (Peng et al. 2023, arXiv:2309.00071, section 3.2) divides slow frequencies, those that turn
 * less than `betaSlow` times in the original context, by `factor`, leaves those alone that turn
 * more than `betaFast` times, and mixes in between.
 */
import {
  type Backend,
  columns,
  isContiguous,
  matrixOf,
  type Placement,
  type Tensor,
} from '../backend.js';
import { type Tape, Variable } from '../tape.js';
import { declare, f32, flag, i32, or, strided } from './declare.js';
import { at, demand, put } from './reference-kernel.js';

/** Cosines and sines of every angle, both [positions, headDim / 2]. */
export interface RopeTable {
  cosine: Tensor;
  sine: Tensor;
}

/**
 * YaRN's parameters, as `rope_scaling` or `rope_parameters` of a Hugging Face configuration has
 * them.
 */
export interface Yarn {
  /** How many times longer the context is made. */
  factor: number;
  originalPositions: number;
  betaFast: number;
  betaSlow: number;
  /** Multiplies cosines and sines. */
  attentionFactor: number;
}

export interface RopeTableOptions {
  /** Numbers in a head (even). */
  headDim: number;
  /** The base of the angles' geometric series: `rope_theta` of a Hugging Face configuration. */
  theta: number;
  /** How many positions to prepare: the longest sequence. */
  positions: number;
  placement?: Placement;
  yarn?: Yarn;
  /** Angles per position of each pair, for another scaling than YaRN's. */
  frequencies?: readonly number[];
  /** Multiplies cosines and sines; default: YaRN's attention factor, or 1. */
  scale?: number;
}

/**
 * Angles per position of each pair: θ^(−2i/d), scaled for a longer context where `yarn` is given.
 */
export function ropeFrequencies(headDim: number, theta: number, yarn?: Yarn): number[] {
  const plain = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  if (!yarn) return plain;
  const { factor, originalPositions, betaFast, betaSlow } = yarn;
  /** The (fractional) pair that turns `rotations` times in the original context. */
  const pairOf = (rotations: number): number =>
    (headDim * Math.log(originalPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(0, Math.floor(pairOf(betaFast)));
  const high = Math.min(headDim - 1, Math.ceil(pairOf(betaSlow)));
  const width = low === high ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const slow = Math.min(1, Math.max(0, (i - low) / width));
    return (frequency / factor) * slow + frequency * (1 - slow);
  });
}

export function ropeTable(backend: Backend, options: RopeTableOptions): RopeTable {
  const { headDim, theta, positions, placement = 'local', yarn } = options;
  demand(headDim % 2 === 0, `rope: headDim ${headDim} is odd`);
  const half = headDim / 2;
  // First of all, so that an absurd number of positions ends here.
  const cosine = backend.allocate('f32', [positions, half], placement);
  const sine = backend.allocate('f32', [positions, half], placement);
  const frequencies = options.frequencies ?? ropeFrequencies(headDim, theta, yarn);
  const scale = options.scale ?? yarn?.attentionFactor ?? 1;
  const cosines = new Float64Array(positions * half);
  const sines = new Float64Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = p * frequencies[i];
      cosines[p * half + i] = scale * Math.cos(angle);
      sines[p * half + i] = scale * Math.sin(angle);
    }
  }
  backend.write(cosine, cosines);
  backend.write(sine, sines);
  return { cosine, sine };
}

/**
 * @param x [N·R, H·d], may be a column view
 * @param positions i32 [N], each below the table's length; R rows after each other share one
 * @returns [N·R, H·d]
 */
export function rope(
  tape: Tape,
  x: Variable,
  positions: Tensor,
  table: RopeTable,
  interleaved = false,
): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(x.value);
  const d = 2 * matrixOf(table.cosine).columns;
  demand(columns % d === 0, `rope: ${columns} columns are no multiple of the head dimension ${d}`);
  const out = tape.output([rows, columns], x);
  const options = { inverse: false, accumulate: false, interleaved };
  backend.rope({
    out: out.value,
    x: x.value,
    positions,
    cosine: table.cosine,
    sine: table.sine,
    ...options,
  });
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (!dx) return;
    const { accumulate } = dx;
    backend.rope({
      out: dx.tensor,
      x: gradient,
      positions,
      cosine: table.cosine,
      sine: table.sine,
      inverse: true,
      accumulate,
      interleaved,
    });
  });
  return out;
}

/**
 * Rotates columns [from, from + d) of each of `heads` heads of x [N, heads·D] where they are, and
 * x's gradient likewise: for an x that nothing else reads, and that nothing before it needs for its
 * own derivative (the output of a linear layer).
 */
export function ropeInPlace(
  tape: Tape,
  x: Variable,
  positions: Tensor,
  table: RopeTable,
  { heads, from, interleaved }: { heads: number; from: number; interleaved: boolean },
): Variable {
  const { backend } = tape;
  const { rows, columns: width } = matrixOf(x.value);
  const d = 2 * matrixOf(table.cosine).columns;
  demand(isContiguous(x.value), 'ropeInPlace: x must be contiguous');
  const part = (tensor: Tensor): Tensor =>
    columns(backend, backend.view(tensor, 0, [rows * heads, width / heads]), from, from + d);
  const turn = (tensor: Tensor, inverse: boolean): void => {
    const options = { inverse, accumulate: false, interleaved };
    backend.rope({
      out: part(tensor),
      x: part(tensor),
      positions,
      cosine: table.cosine,
      sine: table.sine,
      ...options,
    });
  };
  turn(x.value, false);
  const out = new Variable(x.value, tape.recording && x.requiresGradient);
  tape.record(out, (gradient) => {
    turn(gradient, true);
    tape.give(x, gradient);
  });
  return out;
}

export const ropeOperations = {
  /**
   * Rotates the pairs of each head's d = 2·half numbers: entry i with i + half, or, `interleaved`,
   * entry 2i with 2i + 1; results lie where their entries lay. R rows after each other share a
   * position. `inverse` rotates back, which is the derivative. `out` may be `x`.
   */
  rope: declare({
    args: {
      out: strided('N*R', 'H*2*half'),
      x: strided('N*R', 'H*2*half'),
      positions: i32('N'),
      cosine: f32('P', 'half'),
      sine: f32('P', 'half'),
      inverse: flag(),
      accumulate: flag(),
      interleaved: or(false, flag()),
    },
    reference(t, { N, R, H, half, inverse, accumulate, interleaved }, minus) {
      const { out, x, positions, cosine, sine } = t;
      for (let n = 0; n < N * R; n++) {
        const position = positions[Math.floor(n / R)];
        for (let head = 0; head < H * 2 * half; head += 2 * half) {
          for (let i = 0; i < half; i++) {
            const c = at(cosine, position, i);
            const s = at(sine, position, i);
            const a = head + (interleaved ? 2 * i : i);
            const b = interleaved ? a + 1 : a + half;
            const u = at(x, n, a);
            const v = at(x, n, b);
            put(out, n, a, inverse ? c * u + s * v : minus(c * u, s * v), accumulate);
            put(out, n, b, inverse ? minus(c * v, s * u) : c * v + s * u, accumulate);
          }
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    rope: typeof ropeOperations.rope;
  }
}
