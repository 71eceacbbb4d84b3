/**
 * @file The WebGPU backend against the reference, on whatever adapter there is. The package
 * `webgpu` is an optional peer: where it is missing there is nothing to test; `.ci/run` installs it
 * and demands that there is.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Backend, OperationName } from '../../backend.js';
import { OPERATIONS } from '../../operations/index.js';
import { operationCases } from '../../testing/cases/index.js';
import { describeBackend } from '../../testing/describe-backend.js';
import { Draw, execute } from '../../testing/problem.js';
import { refusalsOf } from '../../testing/refusals.js';
import { createReferenceBackend } from '../reference.js';
import { createWebGpuBackend, describeAdapter, findAdapter } from './index.js';

const adapter = await findAdapter();
const demanded = process.env.RECKONER_REQUIRE_WEBGPU === '1';

it('finds an adapter where one is demanded', () => {
  expect(adapter !== null || !demanded).toBe(true);
});

/** Every operation refuses bad arguments in the reference's words. */
function refusals(create: () => Promise<Backend>): void {
  it.each(Object.keys(OPERATIONS) as OperationName[])('%s', async (name) => {
    const backend = await create();
    for (const index of [0, 1]) {
      const expected = refusalsOf(createReferenceBackend(), name, index);
      expect(refusalsOf(backend, name, index)).toEqual(expected);
    }
    await backend.sync();
    await backend.close();
  });
}

/**
 * Each operand is rounded once, to 11 bits; and sums of a slice of 16 are f16 as well where there
 * are no matrix units.
 */
const HALF_ROUNDING = 2 ** -11;

/**
 * Large products are near the f32 ones, whatever the size of their numbers; and training learns.
 */
function mixed(create: () => Promise<Backend>): void {
  let backend: Backend;
  beforeAll(async () => {
    backend = await create();
  });
  afterAll(() => backend?.close());

  it('is named', () => expect(backend.fingerprint).toMatch(/, f16( units .*)?$/));

  /** Numbers that f16 alone could not hold: some underflow, some overflow. */
  it.each([1, 1e-9, 1e9])('multiplies numbers around %s', async (size) => {
    const mark = backend.mark();
    for (const [m, n, k] of [
      [160, 160, 160],
      [161, 83, 165],
    ]) {
      for (const layout of [0, 1, 2, 3]) {
        const [transposeA, transposeB, accumulate] = [layout % 2 === 1, layout > 1, layout === 2];
        const draw = new Draw('f16 products', m + layout, 'large');
        const one = draw.numbers(transposeA ? [k, m] : [m, k], size).data as Float32Array;
        const other = draw.numbers(transposeB ? [n, k] : [k, n]).data as Float32Array;
        const [out, a, b] = [
          [m, n],
          transposeA ? [k, m] : [m, k],
          transposeB ? [n, k] : [k, n],
        ].map((shape) => backend.allocate('f32', shape));
        backend.write(a, one);
        backend.write(b, other);
        backend.fill({ out, value: size });
        backend.matmul({ out, a, b, transposeA, transposeB, accumulate, alpha: 0.5 });
        const found = await backend.read(out);
        let worst = 0;
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            let sum = accumulate ? size : 0;
            let magnitude = Math.abs(sum);
            for (let t = 0; t < k; t++) {
              const product =
                0.5 *
                one[transposeA ? t * m + i : i * k + t] *
                other[transposeB ? j * k + t : t * n + j];
              sum += product;
              magnitude += Math.abs(product);
            }
            worst = Math.max(worst, Math.abs(found[i * n + j] - sum) / magnitude);
          }
        }
        // Rounded it is: an f32 product would be a thousand times nearer.
        expect(worst).toBeGreaterThan(HALF_ROUNDING / 100);
        expect(worst).toBeLessThan(4 * HALF_ROUNDING);
      }
    }
    backend.release(mark);
  });
}

// A software adapter takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 600_000 });
if (adapter) {
  const { hardware, subgroups, halfPrecision } = describeAdapter(adapter);
  const problems = hardware ? undefined : 10;
  describeBackend(
    'webgpu, kernels in tiles',
    () => createWebGpuBackend({ plain: false }),
    problems,
  );
  describeBackend(
    'webgpu, kernels without barriers',
    () => createWebGpuBackend({ plain: true }),
    problems,
  );

  describe('refuses what the reference refuses:', () => refusals(() => createWebGpuBackend()));

  describe.runIf(halfPrecision)('mixed precision', () =>
    mixed(() => createWebGpuBackend({ precision: 'mixed', plain: false })),
  );

  // The order of a sum is one tree, whatever joins it. A driver for hardware may still fuse what
  // comes before it in another way.
  describe.runIf(subgroups && !hardware)('subgroups change no bit of', () => {
    let sides: Backend[];
    beforeAll(async () => {
      sides = await Promise.all(
        [true, false].map((subgroups) => createWebGpuBackend({ plain: false, subgroups })),
      );
    });
    afterAll(() => Promise.all(sides.map((side) => side.close())));
    it.each([
      'rmsNorm',
      'attention',
      'tokenLogProbabilities',
      'sample',
      'Loss',
      'combineRows',
      'quantizeFp8',
      'sumSquares',
      'few rows',
    ])('%s', async (part) => {
      const cases = operationCases.filter(({ name }) => name.includes(part));
      expect(cases).not.toEqual([]);
      for (const operation of cases) {
        for (const index of [2, 5]) {
          const problem = operation.draw(new Draw(operation.name, index, 'large'));
          const [one, other] = [await execute(problem, sides[0]), await execute(problem, sides[1])];
          expect(one, problem.label).toEqual(other);
        }
      }
    });
  });
}
