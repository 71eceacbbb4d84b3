/**
 * @file Rotary position embedding (Su et al. 2021), in the rotate-half form of Hugging Face's Llama.
 *
 * Entry i of a head is paired with entry i + d/2 and the pair is rotated by position · θ^(−2i/d). A rotation's derivative is
 * the rotation back.
 */
import { type Backend, matrixOf, type Placement, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, demand, type Matrix, type Minus, put } from './reference-kernel.js';

/** Cosines and sines of every angle, both [positions, headDim / 2]. */
export interface RopeTable {
  cosine: Tensor;
  sine: Tensor;
}

export interface RopeTableOptions {
  /** Numbers in a head (even). */
  headDim: number;
  /** The base of the angles' geometric series: `rope_theta` of a Hugging Face configuration. */
  theta: number;
  /** How many positions to prepare: the longest sequence. */
  positions: number;
  placement?: Placement;
}

export function ropeTable(backend: Backend, options: RopeTableOptions): RopeTable {
  const { headDim, theta, positions, placement = 'local' } = options;
  demand(headDim % 2 === 0, `rope: headDim ${headDim} is odd`);
  const half = headDim / 2;
  const cosines = new Float64Array(positions * half);
  const sines = new Float64Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = p * theta ** ((-2 * i) / headDim);
      cosines[p * half + i] = Math.cos(angle);
      sines[p * half + i] = Math.sin(angle);
    }
  }
  const cosine = backend.allocate('f32', [positions, half], placement);
  const sine = backend.allocate('f32', [positions, half], placement);
  backend.write(cosine, cosines);
  backend.write(sine, sines);
  return { cosine, sine };
}

/**
 * @param x [N, H·d], may be a column view
 * @param positions i32 [N], each below the table's length
 * @returns [N, H·d]
 */
export function rope(tape: Tape, x: Variable, positions: Tensor, table: RopeTable): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(x.value);
  const d = 2 * matrixOf(table.cosine).columns;
  demand(columns % d === 0, `rope: ${columns} columns are no multiple of the head dimension ${d}`);
  const out = tape.output([rows, columns], x);
  backend.rope(out.value, x.value, positions, table.cosine, table.sine, { inverse: false, accumulate: false });
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (!dx) return;
    backend.rope(dx.tensor, gradient, positions, table.cosine, table.sine, { inverse: true, accumulate: dx.accumulate });
  });
  return out;
}

export function ropeReference(
  out: Matrix,
  x: Matrix,
  positions: Int32Array,
  cosine: Matrix,
  sine: Matrix,
  options: { inverse: boolean; accumulate: boolean },
  minus: Minus,
): void {
  const { inverse, accumulate } = options;
  const half = cosine.columns;
  for (let n = 0; n < x.rows; n++) {
    for (let head = 0; head < x.columns; head += 2 * half) {
      for (let i = 0; i < half; i++) {
        const c = at(cosine, positions[n], i);
        const s = at(sine, positions[n], i);
        const first = at(x, n, head + i);
        const second = at(x, n, head + i + half);
        put(out, n, head + i, inverse ? c * first + s * second : minus(c * first, s * second), accumulate);
        put(out, n, head + i + half, inverse ? minus(c * second, s * first) : c * second + s * first, accumulate);
      }
    }
  }
}
