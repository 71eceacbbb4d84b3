/**
 * @file The WASM backend against the reference: both builds of the kernels, and the system's BLAS.
 * What this machine or this Node does not have runs with what it falls back to, which must be right
 * all the same.
 */
import { describe, expect, it } from 'vitest';
import { describeBackend } from '../../testing/describe-backend.js';
import { createWasmBackend, hasRelaxedSimd } from './index.js';

const memory = { sharedBytes: 64 * 2 ** 20, localBytes: 512 * 2 ** 20 };

describeBackend('wasm, plain kernels', () =>
  createWasmBackend({ ...memory, build: 'plain', products: 'wasm' }),
);
if (hasRelaxedSimd()) {
  describeBackend('wasm, relaxed kernels', () =>
    createWasmBackend({ ...memory, build: 'relaxed', products: 'wasm' }),
  );
}
describeBackend('wasm, with BLAS where there is one', () =>
  createWasmBackend({ ...memory, products: 'portable' }),
);
describeBackend('wasm, with machine code where this processor runs it', () =>
  createWasmBackend({ ...memory, products: 'auto' }),
);

describe('exp in the kernels', () => {
  it('is within two units in the last place, 0 below the normal numbers, and hands NaN on', async () => {
    const backend = await createWasmBackend({ ...memory, products: 'wasm' });
    // σ(x)·x·1 with x ≪ 0 is x·eˣ to 1e-9, so that swiglu shows the kernels' exp.
    const n = 20001;
    const x = Float32Array.from({ length: n }, (_, i) => -20 - (67 * i) / (n - 1));
    const gateUp = backend.allocate('f32', [1, 2 * n]);
    backend.write(gateUp, [...x, ...new Array<number>(n).fill(1)]);
    const out = backend.allocate('f32', [1, n]);
    backend.swiglu({ out, gateUp });
    const got = await backend.read(out);
    let worst = 0;
    for (let i = 0; i < n; i++)
      worst = Math.max(worst, Math.abs(got[i] / (x[i] / (1 + Math.exp(-x[i]))) - 1));
    expect(worst).toBeLessThan(4e-7);

    const extremes = backend.allocate('f32', [4, 2]);
    backend.write(extremes, [-1000, 1, 1000, 1, Number.NaN, 1, Number.NEGATIVE_INFINITY, 0]);
    const silu = backend.allocate('f32', [4, 1]);
    backend.swiglu({ out: silu, gateUp: extremes });
    const [low, high, nan] = await backend.read(silu);
    expect(Math.abs(low)).toBeLessThan(1e-34);
    expect(high).toBe(1000);
    expect(nan).toBeNaN();
  });

  it('gives masked tokens no probability, whatever the uniform', async () => {
    const backend = await createWasmBackend({ ...memory, products: 'wasm' });
    const masked = Number.NEGATIVE_INFINITY;
    const logits = backend.allocate('f32', [4, 7]);
    backend.write(
      logits,
      [masked, masked, 3, masked, 3, masked, masked].flatMap((_, i, row) =>
        i === 0 ? [...row, ...row, ...row, ...row] : [],
      ),
    );
    const uniforms = backend.allocate('f32', [4]);
    backend.write(uniforms, [0, 0.499, 0.501, 1 - 2 ** -24]);
    const ids = backend.allocate('i32', [4]);
    const logProbabilities = backend.allocate('f32', [4]);
    backend.sample({ ids, logProbabilities, logits, uniforms, temperature: 0.7 });
    expect([...(await backend.read(ids))]).toEqual([2, 2, 4, 4]);
    for (const p of await backend.read(logProbabilities)) expect(p).toBeCloseTo(-Math.LN2, 6);
  });
});
