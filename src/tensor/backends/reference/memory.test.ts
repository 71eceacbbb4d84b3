/**
 * @file The reference's memory shows mistakes: unwritten and released numbers are NaN, views stay
 * inside.
 */
import { expect, it } from 'vitest';
import { createReferenceBackend } from '../reference.js';

it('has NaN where nobody wrote and where memory was released', async () => {
  const backend = createReferenceBackend();
  const mark = backend.mark();
  const tensor = backend.allocate('f32', [2]);
  expect([...(await backend.read(tensor))]).toEqual([Number.NaN, Number.NaN]);
  backend.write(tensor, [1, 2]);
  backend.release(mark);
  expect([...(await backend.read(tensor))]).toEqual([Number.NaN, Number.NaN]);
});

it('refuses views beyond the allocation, wrong shapes and marks that are gone', () => {
  const backend = createReferenceBackend();
  const mark = backend.mark();
  const tensor = backend.allocate('f32', [4]);
  expect(() => backend.view(tensor, 1, [4])).toThrow('view: offset 1 does not fit');
  expect(() => backend.write(tensor, [1, 2, 3, 4, 5])).toThrow('write: 5 numbers do not fit');
  expect(() => backend.add({ out: tensor, a: tensor, b: backend.allocate('f32', [3]) })).toThrow(
    'add: b [n] has 3 numbers, and n is 4: out f32 [4], a f32 [4], b f32 [3]',
  );
  const later = backend.mark();
  backend.release(mark);
  expect(() => backend.release(later)).toThrow('above the top of the stack');
});

it('asks for memory that there is not in one line', () => {
  const backend = createReferenceBackend();
  expect(() => backend.allocate('f32', [1e6, 1e9])).toThrow(
    'out of memory: 1000000000000000 numbers were asked for',
  );
});

it('reads frozen bfloat16 as the upper half of a float32', async () => {
  const backend = createReferenceBackend();
  const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x3e20).buffer);
  const frozen = backend.freeze([{ form: 'bf16', rows: 1, bytes }], 3);
  const [out, ids] = [backend.allocate('f32', [1, 3]), backend.allocate('i32', [1])];
  backend.write(ids, [0]);
  backend.embedding({ out, table: frozen, ids });
  expect([...(await backend.read(out))]).toEqual([1, -2, 0.15625]);
});
