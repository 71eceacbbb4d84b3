import { expect, it } from 'vitest';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { flopsPart, microBatches, packBatch } from './batch.js';

const read = async (sequences: Parameters<typeof packBatch>[1]) => {
  const backend = createReferenceBackend();
  const batch = packBatch(backend, sequences);
  const list = async (name: 'ids' | 'positions' | 'segments' | 'rows' | 'targets') =>
    Array.from(await backend.read(batch[name]));
  return {
    ids: await list('ids'),
    positions: await list('positions'),
    segments: await list('segments'),
    rows: await list('rows'),
    targets: await list('targets'),
    predictions: batch.predictions,
    tokens: batch.tokens,
  };
};

it('packs sequences one after the other, each without its last token, and predicts from where it says', async () => {
  const batch = await read([
    { tokens: [1, 10, 11, 12, 2], predictFrom: 3 },
    { tokens: [1, 20, 2], predictFrom: 1 },
  ]);
  expect(batch).toEqual({
    ids: [1, 10, 11, 12, 1, 20],
    positions: [0, 1, 2, 3, 0, 1],
    segments: [0, 4, 6],
    // Token 12 is predicted from row 2, which holds 11; the second sequence's 20 from row 4, which
    // holds its first token.
    rows: [2, 3, 4, 5],
    targets: [12, 2, 20, 2],
    predictions: 4,
    tokens: 6,
  });
});

it('predicts the last token alone, and nothing of an empty batch', async () => {
  expect(await read([{ tokens: [1, 5, 6], predictFrom: 2 }])).toMatchObject({
    ids: [1, 5],
    rows: [1],
    targets: [6],
  });
  expect(await read([])).toMatchObject({
    ids: [],
    segments: [0],
    rows: [],
    predictions: 0,
    tokens: 0,
  });
});

it('counts for the FLOPs what goes through the layers and what goes through the head', () => {
  expect(flopsPart({ tokens: [1, 10, 11, 12, 2], predictFrom: 3 })).toEqual({
    tokens: 4,
    headTokens: 2,
  });
});

it('cuts micro-batches in order, never above the limit unless one item is', () => {
  const cut = (sizes: number[], limit: number) => microBatches(sizes, (size) => size, limit);
  expect(cut([3, 3, 4, 1, 9, 2], 6)).toEqual([[3, 3], [4, 1], [9], [2]]);
  expect(cut([5, 5], 10)).toEqual([[5, 5]]);
  expect(cut([], 10)).toEqual([]);
});
