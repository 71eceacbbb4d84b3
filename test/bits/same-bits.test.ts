import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { latestSnapshot } from '../../src/checkpoints/snapshot.js';
import { parseRecipe } from '../../src/recipe/index.js';
import { createWasmMemory, probeGemm } from '../../src/tensor/backends/wasm/index.js';
import { loadKernels } from '../../src/tensor/backends/wasm/load.js';
import { runRank } from '../../src/train/rank.js';
import { ranksOf, weightHashes } from './weight-hashes.mjs';

const before = JSON.parse(readFileSync(new URL('weight-hashes.json', import.meta.url), 'utf8'));

async function openedPlan(workers: number) {
  const kernels = loadKernels('plain');
  const choice = await probeGemm({ products: 'wasm', kernels });
  const memory = createWasmMemory({ worldSize: workers, sharedBytes: 1 << 26 });
  const fingerprint = `wasm plain ${kernels.id}, ${choice.name}`;
  return { kind: 'wasm', fingerprint, memory, choice, kernels };
}

// Every stage kind, a run that was stopped and resumed, and an adapter.
it.each([1, 2])(
  'every stage kind leaves the bits of 3a27261 on %i ranks',
  async (workers) => {
    const runRanks = ranksOf({ parseRecipe, openedPlan, runRank, latestSnapshot, patience: true });
    expect(await weightHashes(runRanks, workers)).toEqual(before[workers]);
  },
  300_000,
);
