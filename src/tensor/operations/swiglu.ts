/**
 * @file SwiGLU (Shazeer 2020): silu(gate) · up, silu(g) = g·σ(g), with gate and up side by side
 * from one matrix product. silu′(g) = σ·(1 + g·(1 − σ)).
 */
import { matrixOf } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

/** gateUp [N, 2F] = [gate | up], contiguous; returns [N, F]. */
export function swiglu(tape: Tape, gateUp: Variable): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(gateUp.value);
  demand(columns % 2 === 0, `swiglu: ${columns} columns cannot be halved`);
  const out = tape.output([rows, columns / 2], gateUp);
  backend.swiglu(out.value, gateUp.value);
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(gateUp);
    if (slot) backend.swigluBackward(slot.tensor, gradient, gateUp.value, slot.accumulate);
  });
  return out;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** `f` is F, half the columns of gateUp. */
export function swigluReference(out: Float64Array, gateUp: Float64Array, f: number): void {
  for (let n = 0; n * f < out.length; n++) {
    for (let i = 0; i < f; i++) {
      const gate = gateUp[n * 2 * f + i];
      const up = gateUp[n * 2 * f + f + i];
      out[n * f + i] = gate * sigmoid(gate) * up;
    }
  }
}

export function swigluBackwardReference(
  dGateUp: Float64Array,
  dOut: Float64Array,
  gateUp: Float64Array,
  accumulate: boolean,
  f: number,
): void {
  if (!accumulate) dGateUp.fill(0);
  for (let n = 0; n * f < dOut.length; n++) {
    for (let i = 0; i < f; i++) {
      const gateAt = n * 2 * f + i;
      const upAt = gateAt + f;
      const gate = gateUp[gateAt];
      const sigma = sigmoid(gate);
      dGateUp[gateAt] += dOut[n * f + i] * gateUp[upAt] * sigma * (1 + gate * (1 - sigma));
      dGateUp[upAt] += dOut[n * f + i] * gate * sigma;
    }
  }
}
