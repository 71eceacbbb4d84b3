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
  expect(() => backend.view(tensor, 1, [4])).toThrow('reaches beyond the 4 numbers there');
  expect(() => backend.write(tensor, [1, 2, 3, 4, 5])).toThrow('5 numbers do not fit into [4]');
  expect(() => backend.add(tensor, tensor, backend.allocate('f32', [3]))).toThrow(
    'add: b must be [1, 4], not [3]',
  );
  const later = backend.mark();
  backend.release(mark);
  expect(() => backend.release(later)).toThrow('released before');
});

it('asks for memory that there is not in one line', () => {
  const backend = createReferenceBackend();
  expect(() => backend.allocate('f32', [1e6, 1e9])).toThrow(
    'out of memory: 1000000000000000 numbers were asked for',
  );
});

it('reads frozen bfloat16 as the upper half of a float32', async () => {
  const backend = createReferenceBackend();
  const frozen = backend.freeze(Uint16Array.of(0x3f80, 0xc000, 0x3e20), [1, 3]);
  expect([...(await backend.read(frozen))]).toEqual([1, -2, 0.15625]);
});
