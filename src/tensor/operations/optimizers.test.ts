/**
 * @file AdamW's first step by hand, and what Muon promises: updates whose singular values are all
 * about 1.
 */
import { expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import type { Backend, Tensor } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';

function floats(backend: Backend, shape: number[], values: number[]): Tensor {
  const made = backend.allocate('f32', shape);
  backend.write(made, values);
  return made;
}

it('the first AdamW step moves by lr against the sign of the gradient, and decays apart from it', async () => {
  const backend = createReferenceBackend();
  const parameter = floats(backend, [3], [1, 1, 2]);
  const [first, second] = [floats(backend, [3], [0, 0, 0]), floats(backend, [3], [0, 0, 0])];
  const gradient = floats(backend, [3], [8, -0.5, 0]);
  const options = { lr: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-12, weightDecay: 0.5, step: 1 };
  backend.adamw({
    parameter,
    firstMoment: first,
    secondMoment: second,
    gradient,
    gradientScale: floats(backend, [1], [0.25]),
    ...options,
  });
  const expected = [0.95 - 0.1, 0.95 + 0.1, 1.9];
  (await backend.read(parameter)).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 9);
  });
  expect((await backend.read(first))[0]).toBeCloseTo(0.1 * 2, 12);
  expect((await backend.read(second))[0]).toBeCloseTo(0.01 * 4, 12);
});

for (const [rows, columns] of [
  [6, 6],
  [4, 12],
  [12, 4],
]) {
  it(`a Muon update of [${rows}, ${columns}] is nearly orthogonal, in the gradient's own directions`, async () => {
    const backend = createReferenceBackend();
    const random = new Random('muon', rows, columns);
    const side = Math.min(rows, columns);
    const values = Array.from({ length: rows * columns }, () => random.normal());
    const zeros = values.map(() => 0);
    const parameter = floats(backend, [rows, columns], zeros);
    const gradient = floats(backend, [rows, columns], values);
    const before = backend.memory().localBytes;
    const [momentum, gradientScale] = [
      floats(backend, [rows, columns], zeros),
      floats(backend, [1], [1]),
    ];
    backend.muon({
      parameter,
      momentum,
      gradient,
      gradientScale,
      lr: 1,
      beta: 0.95,
      weightDecay: 0,
    });
    // All scratch was given back: what is left is the momentum and the scale of this call.
    expect(backend.memory().localBytes - before).toBe(8 * (rows * columns + 1));

    // The update −U has UUᵀ (or UᵀU) with eigenvalues in about 0.7² … 1.2², times max(1, rows /
    // columns).
    const gram = backend.allocate('f32', [side, side]);
    backend.matmul({
      out: gram,
      a: parameter,
      b: parameter,
      ...(rows > columns ? { transposeA: true } : { transposeB: true }),
    });
    const eigenvalues = symmetricEigenvalues(await backend.read(gram), side).map(
      (x) => x / Math.max(1, rows / columns),
    );
    expect(Math.min(...eigenvalues)).toBeGreaterThan(0.6 ** 2);
    expect(Math.max(...eigenvalues)).toBeLessThan(1.25 ** 2);

    // G Uᵀ of the exact polar factor is symmetric; a wrong side or sign would not be.
    const product = backend.allocate('f32', [rows, rows]);
    backend.matmul({ out: product, a: gradient, b: parameter, transposeB: true, alpha: -1 });
    const p = await backend.read(product);
    for (let i = 0; i < rows; i++) {
      expect(p[i * rows + i]).toBeGreaterThan(0);
      for (let j = 0; j < i; j++) expect(p[i * rows + j]).toBeCloseTo(p[j * rows + i], 9);
    }
  });
}

/** Jacobi's method; enough for a handful of rows. */
function symmetricEigenvalues(matrix: ArrayLike<number>, n: number): number[] {
  const a = Array.from(matrix);
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const angle = 0.5 * Math.atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[k * n + p], a[k * n + q]];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[p * n + k], a[q * n + k]];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
      }
    }
  }
  return Array.from({ length: n }, (_, i) => a[i * n + i]);
}
