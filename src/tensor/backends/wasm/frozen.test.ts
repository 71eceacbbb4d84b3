import { describe, expect, it } from 'vitest';
import { Random } from '../../../base/random.js';
import { expandRows, FORMS, LAYOUTS } from '../../forms.js';
import { frozenPart } from '../../testing/problem.js';
import { createWasmBackend, type Products } from './index.js';

const size = { sharedBytes: 1 << 20, localBytes: 1 << 25 };

/** Blocks of every form in one matrix, one form below the other. */
function mixture(width: number, rows: number) {
  const random = new Random('frozen', width, rows);
  return FORMS.map((form) => frozenPart(random, form, rows, width));
}

/** −0 and 0 are one number here. */
const plain = (numbers: ArrayLike<number>): number[] => Array.from(numbers, (x) => x + 0);

describe.each<Products>(['auto', 'wasm'])('a frozen matrix, products %s', (products) => {
  it('has the numbers of its blocks, to the last bit', async () => {
    const backend = await createWasmBackend({ ...size, products });
    const width = 512;
    const parts = mixture(width, 3);
    const rows = 3 * FORMS.length;
    const [out, ids] = [backend.allocate('f32', [rows, width]), backend.allocate('i32', [rows])];
    // From the last row to the first, so that each is found in its part.
    backend.write(
      ids,
      Array.from({ length: rows }, (_, i) => rows - 1 - i),
    );
    backend.embedding({ out, table: backend.freeze(parts, width), ids });
    const found = await backend.read(out);
    const expected = expandRows(parts, width);
    for (let row = 0; row < rows; row++)
      expect(plain(found.subarray((rows - 1 - row) * width, (rows - row) * width))).toEqual(
        plain(expected.subarray(row * width, (row + 1) * width)),
      );
    await backend.close();
  });

  it.each([1, 2, 3, 16])('gives the bits of its float32 in products with %i rows', async (n) => {
    const backend = await createWasmBackend({ ...size, products });
    const width = 512;
    const parts = mixture(width, 5);
    const rows = 5 * FORMS.length;
    const random = new Random('rows', n);
    const x = backend.allocate('f32', [n, width]);
    backend.write(
      x,
      Float32Array.from({ length: n * width }, () => random.normal()),
    );
    const whole = backend.allocate('f32', [rows, width]);
    backend.write(whole, expandRows(parts, width));
    const [out, same] = [0, 1].map(() => backend.allocate('f32', [n, rows]));
    backend.matmul({ out, a: x, b: backend.freeze(parts, width), transposeB: true });
    backend.matmul({ out: same, a: x, b: whole, transposeB: true });
    expect(plain(await backend.read(out))).toEqual(plain(await backend.read(same)));
    await backend.close();
  });

  it('is viewed by whole rows alone, across its parts', async () => {
    const backend = await createWasmBackend({ ...size, products });
    const parts = mixture(256, 2);
    const table = backend.freeze(parts, 256);
    const view = backend.view(table, 3 * 256, [4, 256]);
    const [out, ids] = [backend.allocate('f32', [1, 256]), backend.allocate('i32', [1])];
    backend.write(ids, [2]);
    backend.embedding({ out, table: view, ids });
    const expected = expandRows(parts, 256).subarray(5 * 256, 6 * 256);
    expect(plain(await backend.read(out))).toEqual(plain(expected));
    for (const [offset, shape] of [
      [1, [2, 256]],
      [0, [2, 128]],
      [256 * 21, [2, 256]],
    ] as const)
      expect(() => backend.view(table, offset, shape)).toThrow('has whole rows');
    await backend.close();
  });
});

it('refuses bytes that are not the rows of a form', async () => {
  const backend = await createWasmBackend(size);
  const freeze = (form: 'q4_0' | 'bf16', bytes: number, columns: number) => () =>
    backend.freeze([{ form, rows: 1, bytes: new Uint8Array(bytes) }], columns);
  expect(freeze('q4_0', 18, 33)).toThrow('freeze: 18 bytes for q4_0 [1, 33]');
  expect(freeze('bf16', 6, 4)).toThrow('freeze: 6 bytes for bf16 [1, 4]');
  expect(LAYOUTS.q4_0.bytes).toBe(18);
  await backend.close();
});
