/**
 * @file The suite that every backend must pass: the contract's small print, agreement with the
 * reference on every operation, and the same bits twice.
 *
 * @example
 * describeBackend('wasm, without BLAS', () => createWasmBackend({ products: 'wasm' }));
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Backend, sizeOf } from '../backend.js';
import { disagreement, type Expected, judge } from './agree.js';
import { operationCases } from './cases/index.js';
import { Draw, execute, type OperationCase, type Problem } from './problem.js';

/** Problems a case; the first has an empty batch, the second size 1 everywhere. */
const PROBLEMS = 24;

/** What the reference said, shared by all backends that a test file describes. */
const judged = new Map<string, Promise<Expected>>();

function judgeOnce(operation: OperationCase, index: number, problem: Problem): Promise<Expected> {
  const key = `${operation.name} ${index}`;
  let expected = judged.get(key);
  if (!expected) {
    expected = judge(problem);
    judged.set(key, expected);
  }
  return expected;
}

/**
 * Registers the suite with Vitest; `create` is called once, and the backend is closed at the end.
 * @param problems drawn problems for each operation
 */
export function describeBackend(
  name: string,
  create: () => Promise<Backend>,
  problems = PROBLEMS,
): void {
  describe(`backend ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await create();
    });
    afterAll(() => backend?.close());

    it('keeps numbers, views and both stacks as the contract says', () => contract(backend));

    describe('agrees with the reference, and gives the same bits twice:', () => {
      for (const operation of operationCases) {
        it(operation.name, async () => {
          for (let index = 0; index < problems; index++) {
            const problem = operation.draw(new Draw(operation.name, index, 'large'));
            expect(
              await disagreement(problem, backend, await judgeOnce(operation, index, problem)),
            ).toBeNull();
            if (index % 4 === 3)
              expect(await execute(problem, backend)).toEqual(await execute(problem, backend));
          }
        });
      }
    });
  });
}

async function contract(backend: Backend): Promise<void> {
  const before = backend.memory();
  const mark = backend.mark();
  for (const placement of ['local', 'shared'] as const) {
    const numbers = backend.allocate('f32', [3, 4], placement);
    const integers = backend.allocate('i32', [5], placement);
    const nothing = backend.allocate('f32', [0, 7], placement);
    expect([sizeOf(numbers), numbers.rowStride, numbers.placement]).toEqual([12, 4, placement]);
    backend.write(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    backend.write(integers, [-1, 2, 2147483647, -2147483648, 0]);
    backend.write(backend.view(numbers, 4, [2]), new Float64Array([40, 50]));
    expect([...(await backend.read(numbers))]).toEqual([0, 1, 2, 3, 40, 50, 6, 7, 8, 9, 10, 11]);
    expect([...(await backend.read(integers))]).toEqual([-1, 2, 2147483647, -2147483648, 0]);
    expect((await backend.read(nothing)).length).toBe(0);
    const copy = await backend.read(numbers);
    copy[0] = 99;
    expect((await backend.read(numbers))[0]).toBe(0);
    const column = backend.allocate('f32', [3, 1]);
    backend.copy({ out: column, a: backend.view(numbers, 1, [3, 1], 4) });
    expect([...(await backend.read(column))]).toEqual([1, 50, 9]);
  }
  const during = backend.memory();
  expect(during.localBytes).toBeGreaterThan(before.localBytes);
  expect(during.sharedBytes).toBeGreaterThan(before.sharedBytes);
  expect(during.localHighWaterBytes).toBeGreaterThanOrEqual(during.localBytes);
  backend.release(mark);
  const after = backend.memory();
  expect([after.localBytes, after.sharedBytes]).toEqual([before.localBytes, before.sharedBytes]);
  expect(after.localHighWaterBytes).toBe(during.localHighWaterBytes);

  // A diverged gradient shows itself: NaN is not clipped away.
  const [scale, sum] = [backend.allocate('f32', [1]), backend.allocate('f32', [1])];
  backend.write(sum, [Number.NaN]);
  backend.clipScale({ out: scale, sumSquares: sum, maxNorm: 1 });
  expect([...(await backend.read(scale))]).toEqual([Number.NaN]);
  backend.write(sum, [4]);
  backend.clipScale({ out: scale, sumSquares: sum, maxNorm: Number.POSITIVE_INFINITY });
  expect([...(await backend.read(scale))]).toEqual([1]);
  backend.release(mark);

  expect([backend.ranks.rank, backend.ranks.worldSize]).toEqual([0, 1]);
  expect(await backend.ranks.sum([0.5, -2, 1e300])).toEqual([0.5, -2, 1e300]);
  expect(await backend.ranks.sum([])).toEqual([]);
  await backend.ranks.barrier();
  await backend.sync();
  expect(backend.name).not.toBe('');
  expect(backend.fingerprint).not.toBe('');
}
