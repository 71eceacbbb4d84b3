/**
 * @file SwiGLU (Shazeer 2020): silu(gate) · up, silu(g) = g·σ(g), with gate and up side by side
 * from one matrix product. silu′(g) = σ·(1 + g·(1 − σ)).
 */
import { matrixOf } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { declare, f32, flag } from './declare.js';
import { at, demand, put } from './reference-kernel.js';

/** gateUp [N, 2F] = [gate | up], contiguous; returns [N, F]. */
export function swiglu(tape: Tape, gateUp: Variable): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(gateUp.value);
  demand(columns % 2 === 0, `swiglu: ${columns} columns cannot be halved`);
  const out = tape.output([rows, columns / 2], gateUp);
  backend.swiglu({ out: out.value, gateUp: gateUp.value });
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(gateUp);
    if (slot)
      backend.swigluBackward({
        dGateUp: slot.tensor,
        dOut: gradient,
        gateUp: gateUp.value,
        accumulate: slot.accumulate,
      });
  });
  return out;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const swigluOperations = {
  swiglu: declare({
    args: { out: f32('N', 'F'), gateUp: f32('N', '2*F') },
    reference({ out, gateUp }, { N, F }) {
      for (let n = 0; n < N; n++) {
        for (let i = 0; i < F; i++) {
          const gate = at(gateUp, n, i);
          put(out, n, i, gate * sigmoid(gate) * at(gateUp, n, F + i));
        }
      }
    },
  }),
  swigluBackward: declare({
    args: {
      dGateUp: f32('N', '2*F'),
      dOut: f32('N', 'F'),
      gateUp: f32('N', '2*F'),
      accumulate: flag(),
    },
    reference({ dGateUp, dOut, gateUp }, { N, F, accumulate }) {
      for (let n = 0; n < N; n++) {
        for (let i = 0; i < F; i++) {
          const gate = at(gateUp, n, i);
          const sigma = sigmoid(gate);
          const dy = at(dOut, n, i);
          const dGate = dy * at(gateUp, n, F + i) * sigma * (1 + gate * (1 - sigma));
          put(dGateUp, n, i, dGate, accumulate);
          put(dGateUp, n, F + i, dy * gate * sigma, accumulate);
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    swiglu: typeof swigluOperations.swiglu;
    swigluBackward: typeof swigluOperations.swigluBackward;
  }
}
