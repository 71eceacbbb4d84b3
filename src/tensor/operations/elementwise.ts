/**
 * @file Sums, multiples and copies. `add` and `scaled` are what models need on the tape; the rest
 * serve gradients and optimizers.
 */
import { isContiguous } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { declare, f32, flag, numbers, real, strided } from './declare.js';
import { at, demand, put } from './reference-kernel.js';

/** a + b, of one shape. */
export function add(tape: Tape, a: Variable, b: Variable): Variable {
  const { backend } = tape;
  demand(a.shape.join() === b.shape.join(), `add: shapes [${a.shape}] and [${b.shape}] differ`);
  const out = tape.output(a.shape, a, b);
  if (isContiguous(a.value) && isContiguous(b.value))
    backend.add({ out: out.value, a: a.value, b: b.value });
  else {
    backend.copy({ out: out.value, a: a.value });
    backend.scale({ out: out.value, a: b.value, scale: 1, accumulate: true });
  }
  tape.record(out, (gradient) => {
    // b copies, then a adopts: giving the same buffer to both would let later additions to one
    // change the other.
    const slot = tape.gradientOf(b);
    if (slot)
      backend.scale({ out: slot.tensor, a: gradient, scale: 1, accumulate: slot.accumulate });
    tape.give(a, gradient);
  });
  return out;
}

/** factor · a, contiguous; a may be a column view. */
export function scaled(tape: Tape, a: Variable, factor: number): Variable {
  const { backend } = tape;
  const out = tape.output(a.shape, a);
  backend.scale({ out: out.value, a: a.value, scale: factor, accumulate: false });
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(a);
    if (slot)
      backend.scale({
        out: slot.tensor,
        a: gradient,
        scale: factor,
        accumulate: slot.accumulate,
      });
  });
  return out;
}

export const elementwiseOperations = {
  fill: declare({
    args: { out: numbers('n'), value: real() },
    reference({ out }, { value }) {
      out.fill(value);
    },
  }),
  /** out = a. */
  copy: declare({
    args: { out: strided('N', 'D'), a: strided('N', 'D') },
    reference({ out, a }, { N, D }) {
      for (let i = 0; i < N; i++) for (let j = 0; j < D; j++) put(out, i, j, at(a, i, j));
    },
  }),
  /** out = a + b; `out` may be `a` or `b`. */
  add: declare({
    args: { out: f32('n'), a: f32('n'), b: f32('n') },
    reference({ out, a, b }, { n }) {
      for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
    },
  }),
  /** out = scale·a, or out += scale·a when accumulating. `out` may be `a`. */
  scale: declare({
    args: { out: strided('N', 'D'), a: strided('N', 'D'), scale: real(), accumulate: flag() },
    reference({ out, a }, { N, D, scale, accumulate }) {
      for (let i = 0; i < N; i++)
        for (let j = 0; j < D; j++) put(out, i, j, scale * at(a, i, j), accumulate);
    },
  }),
  /** out = a · s[0] with a scalar that stays on the device; `out` may be `a`. */
  scaleBy: declare({
    args: { out: f32('n'), a: f32('n'), s: f32('1') },
    reference({ out, a, s }, { n }) {
      const factor = s[0];
      for (let i = 0; i < n; i++) out[i] = a[i] * factor;
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    fill: typeof elementwiseOperations.fill;
    copy: typeof elementwiseOperations.copy;
    add: typeof elementwiseOperations.add;
    scale: typeof elementwiseOperations.scale;
    scaleBy: typeof elementwiseOperations.scaleBy;
  }
}
