import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import type { Backend, Tensor } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { Tape, Variable } from '../tape.js';
import { groupedMatmul } from './grouped-matmul.js';
import { linear } from './linear.js';
import { groupedMatmulFp8, linearFp8 } from './linear-fp8.js';

const random = new Random('fp8');

/**
 * Numbers that E4M3 has with the scale 1: every row and column of 7 × 7 has 448 as its largest, so
 * nothing is rounded.
 */
const exact = (size: number) =>
  Array.from({ length: size }, (_, i) => (i % 8 === 0 ? 448 : 16 * random.integer(-15, 15)));
const normal = (size: number) => Array.from({ length: size }, () => random.normal());

function run(
  numbers: (size: number) => number[],
  grouped: boolean,
  fp8: boolean,
  data?: number[][],
) {
  const backend = createReferenceBackend();
  const [n, k, m, groups] = [7, 7, 7, grouped ? 2 : 1];
  const values = data ?? [numbers(n * k), numbers(groups * m * k), numbers(n * m)];
  const upload = (shape: number[], list: number[]): Tensor => {
    const tensor = backend.allocate('f32', shape);
    backend.write(tensor, list);
    return tensor;
  };
  const x = new Variable(upload([n, k], values[0]), true);
  const w = new Variable(upload([groups * m, k], values[1]), true);
  const tape = new Tape(backend);
  const offsets = backend.allocate('i32', [3]);
  backend.write(offsets, [0, 2, 7]);
  const out = grouped
    ? (fp8 ? groupedMatmulFp8 : groupedMatmul)(tape, x, w, offsets)
    : (fp8 ? linearFp8 : linear)(tape, x, w);
  tape.backward(out, upload([n, m], values[2]));
  return {
    values,
    read: () => readAll(backend, [out.value, x.gradient as Tensor, w.gradient as Tensor]),
  };
}

async function readAll(backend: Backend, tensors: Tensor[]): Promise<number[][]> {
  return Promise.all(tensors.map(async (tensor) => Array.from(await backend.read(tensor))));
}

describe.each([
  ['linear', false],
  ['grouped', true],
] as const)('%s', (_, grouped) => {
  it('is the product where nothing is rounded', async () => {
    const fp8 = run(exact, grouped, true);
    expect(await fp8.read()).toEqual(await run(exact, grouped, false, fp8.values).read());
  });

  it('rounds to three bits otherwise: about 2% a term, in all three products', async () => {
    const fp8 = run(normal, grouped, true);
    const [a, b] = [await fp8.read(), await run(normal, grouped, false, fp8.values).read()];
    a.forEach((list, i) => {
      const norm = (x: number[]) => Math.hypot(...x);
      const error = norm(list.map((x, j) => x - b[i][j])) / norm(b[i]);
      expect(error).toBeGreaterThan(0.005);
      expect(error).toBeLessThan(0.06);
    });
  });
});
