/**
 * @file GeGLU (Shazeer 2020) with the usual approximation of GELU (Hendrycks and Gimpel 2016):
 * gelu(gate) · up, with gate and up side by side from one matrix product.
 *
 * gelu(g) = g/2·(1 + tanh u) with u = √(2/π)·(g + 0.044715·g³), which is g·σ(2u). Its derivative is
 * σ + g·σ·(1 − σ)·2u′, 2u′ = 2·√(2/π)·(1 + 3·0.044715·g²).
 */
import { matrixOf } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { declare, f32, flag } from './declare.js';
import { at, demand, put } from './reference-kernel.js';

/** gateUp [N, 2F] = [gate | up], contiguous; returns [N, F]. */
export function geglu(tape: Tape, gateUp: Variable): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(gateUp.value);
  demand(columns % 2 === 0, `geglu: ${columns} columns cannot be halved`);
  const out = tape.output([rows, columns / 2], gateUp);
  backend.geglu({ out: out.value, gateUp: gateUp.value });
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(gateUp);
    if (slot)
      backend.gegluBackward({
        dGateUp: slot.tensor,
        dOut: gradient,
        gateUp: gateUp.value,
        accumulate: slot.accumulate,
      });
  });
  return out;
}

/** 2·√(2/π), and the factor of the cube. */
export const [SLOPE, CUBE] = [2 * Math.sqrt(2 / Math.PI), 0.044715];

const share = (g: number): number => 1 / (1 + Math.exp(-SLOPE * (g + CUBE * g ** 3)));

export const gegluOperations = {
  geglu: declare({
    args: { out: f32('N', 'F'), gateUp: f32('N', '2*F') },
    reference({ out, gateUp }, { N, F }) {
      for (let n = 0; n < N; n++) {
        for (let i = 0; i < F; i++) {
          const gate = at(gateUp, n, i);
          put(out, n, i, gate * share(gate) * at(gateUp, n, F + i));
        }
      }
    },
  }),
  gegluBackward: declare({
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
          const s = share(gate);
          const dy = at(dOut, n, i);
          const inner = SLOPE * (1 + 3 * CUBE * gate ** 2);
          const slope = s + gate * s * (1 - s) * inner;
          put(dGateUp, n, i, dy * at(gateUp, n, F + i) * slope, accumulate);
          put(dGateUp, n, F + i, dy * gate * s, accumulate);
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    geglu: typeof gegluOperations.geglu;
    gegluBackward: typeof gegluOperations.gegluBackward;
  }
}
