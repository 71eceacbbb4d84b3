import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { foundationHere } from '../checkpoints/snapshot.js';
import { describeRecipe } from '../plan/local/local-work.js';
import { parseRecipe, resolveRecipe } from '../recipe/index.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { runProgram } from './rank-loop.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-adapter-plan-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Spent {
  tokens: number;
  modelFlops: number;
}

/** Trains a recipe on one rank in this thread; what each stage reported. */
async function spentBy(name: string, recipe: object): Promise<Map<string, Spent>> {
  const backend = await createWasmBackend({
    sharedBytes: 1 << 22,
    localBytes: 1 << 26,
    products: 'wasm',
    build: 'plain',
  });
  const { fingerprint } = backend;
  const known = { version: '0', recipeHash: '', seed: 1, workers: 1, fingerprint };
  const job = {
    rank: 0,
    backend: { kind: 'reference', fingerprint } as const,
    recipe: parseRecipe(recipe, 'recipe.json'),
    runFolder: join(folder, name),
    attempt: 0,
    resumeFrom: null,
    fromStage: null,
    foundation: foundationHere(known),
    control: new SharedArrayBuffer(4),
  };
  const spent = new Map<string, Spent>();
  let now: Spent = { tokens: 0, modelFlops: 0 };
  const outcome = await runProgram(job, backend, {
    send(message) {
      if (message.kind === 'event' && message.event.type === 'stage-started') {
        now = { tokens: 0, modelFlops: 0 };
        spent.set(message.event.stage, now);
      }
      if (message.kind !== 'spent') return;
      now.tokens += message.tokensIn + message.tokensOut;
      now.modelFlops += message.modelFlops;
    },
    flush: async () => {},
  });
  await backend.close();
  expect(outcome.reason).toBe('completed');
  return spent;
}

const constant = { kind: 'constant' };
const task = { name: 'sums', maximum: 9, terms: [2, 2] };

it('the plan of a run with an adapter is that of an adapter, and holds what the run takes', async () => {
  const sft = { id: 'sft', kind: 'sft', schedule: constant };
  const model = {
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  };
  // Trained until its completions are as long as the task's.
  const optimizer = { matrices: 'adamw', lr: 0.01 };
  await spentBy('base', {
    ...{ name: 'base', model, task },
    stages: [{ ...sft, steps: 80, batch: 32, optimizer }],
  });
  const adapted = {
    ...{ name: 'adapted', task, init: { from: join(folder, 'base', 'model') } },
    adapter: { kind: 'lora', rank: 2, alpha: 4, targets: 'all-linear' },
    stages: [
      { ...sft, steps: 12, batch: 16 },
      {
        ...{ id: 'grpo', kind: 'grpo', steps: 6, prompts: 8, samples: 4, maxTokens: 32 },
        ...{ klCoefficient: 0.1, schedule: constant },
      },
    ],
  };
  const planOf = (recipe: object) =>
    describeRecipe(resolveRecipe(parseRecipe(recipe, 'recipe.json')), 1);
  const { stages, weightBytes } = planOf(adapted);
  const spent = await spentBy('adapted', adapted);
  for (const { id, tokensIn, tokensOut, modelFlops } of stages) {
    const measured = spent.get(id) as Spent;
    // Examples are drawn: their mean length is known to a few percent.
    const [low, high] = [0.95, 1.05];
    expect(measured.tokens, id).toBeGreaterThan(low * (tokensIn.low + tokensOut.low));
    expect(measured.tokens, id).toBeLessThan(high * (tokensIn.high + tokensOut.high));
    expect(measured.modelFlops, id).toBeGreaterThan(low * modelFlops.low);
    expect(measured.modelFlops, id).toBeLessThan(high * modelFlops.high);
  }
  // The derivative of frozen weights is not computed, and they are not in a checkpoint.
  const full = planOf({ ...adapted, adapter: undefined });
  expect(stages[0].modelFlops.value).toBeLessThan(0.85 * full.stages[0].modelFlops.value);
  expect(weightBytes).toBeLessThan(0.5 * full.weightBytes);
}, 60_000);
