import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foundationHere } from '../checkpoints/snapshot.js';
import { countMemory, type MemorySettings, workerBytes } from '../plan/local/memory.js';
import { fitMemory, givenWay, type MemoryFit, memoryRefusal } from '../plan/local/memory-fit.js';
import { surveyRecipe } from '../plan/recipe-work.js';
import { parseRecipe, resolveRecipe } from '../recipe/index.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { runProgram } from './rank-loop.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-memory-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const LLAMA = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  max_position_embeddings: 64,
};
const EXPERTS = {
  ...LLAMA,
  model_type: 'deepseek_v3',
  moe_intermediate_size: 16,
  first_k_dense_replace: 1,
  n_routed_experts: 4,
  num_experts_per_tok: 2,
  n_shared_experts: 1,
  num_key_value_heads: 2,
  q_lora_rank: 16,
  kv_lora_rank: 16,
  qk_nope_head_dim: 8,
  qk_rope_head_dim: 8,
  v_head_dim: 8,
  num_nextn_predict_layers: 1,
};

const constant = { kind: 'constant' };
const sft = { id: 'sft', kind: 'sft', steps: 2, batch: 48, schedule: constant };
const grpo = {
  ...{ id: 'grpo', kind: 'grpo', steps: 2, prompts: 6, samples: 4, maxTokens: 24 },
  ...{ klCoefficient: 0.1, schedule: constant },
};
const task = { name: 'sums', maximum: 9 };

interface Memory {
  localHighWaterBytes: number;
  sharedHighWaterBytes: number;
}

/** Trains on one rank in this thread; the high-water marks after each stage. */
async function measured(name: string, recipe: object): Promise<Memory[]> {
  const backend = await createWasmBackend({
    ...{ sharedBytes: 1 << 24, localBytes: 1 << 28, products: 'wasm', build: 'plain' },
  });
  const { fingerprint } = backend;
  const known = { version: '0', recipeHash: '', seed: 1, workers: 1, fingerprint };
  const job = {
    ...{ rank: 0, backend: { kind: 'reference', fingerprint } as const, attempt: 0 },
    ...{ recipe: parseRecipe(recipe, 'recipe.json'), runFolder: join(folder, name) },
    ...{ resumeFrom: null, fromStage: null, foundation: foundationHere(known) },
    control: new SharedArrayBuffer(4),
  };
  const marks: Memory[] = [];
  await runProgram(job, backend, {
    send: (message) => void (message.kind === 'memory' && marks.push(message)),
    flush: async () => {},
  });
  await backend.close();
  return marks;
}

const counted = (recipe: object, settings: Partial<MemorySettings> = {}) => {
  const resolved = resolveRecipe(parseRecipe(recipe, 'recipe.json'));
  const { recompute, microBatchTokens } = resolved.recipe;
  return countMemory(
    { recipe: resolved.recipe, surveyed: surveyRecipe(resolved), workers: 1 },
    { recompute, microBatchTokens, sequences: null, ...settings },
  );
};

describe('the memory that is planned', () => {
  it.each([
    ['dense', { model: LLAMA }],
    ['experts and multi-token prediction', { model: EXPERTS }],
    ['in small micro-batches', { model: EXPERTS, microBatchTokens: 256 }],
    ['recomputed', { model: LLAMA, recompute: true }],
  ])('is what a run takes: %s', async (name, more) => {
    for (const stages of [[sft], [grpo]]) {
      const recipe = { name: 'memory', task, stages, ...more };
      const [plan] = await counted(recipe);
      const [run] = await measured(`${name} ${stages[0].id}`, recipe);
      // Lengths are drawn, and the plan is of the longest; the last stage's mark is the whole run's.
      const ratio = workerBytes(plan) / run.localHighWaterBytes;
      expect(ratio, stages[0].id).toBeGreaterThan(1);
      expect(ratio, stages[0].id).toBeLessThan(1.5);
      const shared = plan.sharedBytes / run.sharedHighWaterBytes;
      expect(shared, stages[0].id).toBeGreaterThan(0.99);
      expect(shared, stages[0].id).toBeLessThan(1.01);
    }
  });
});

const model = (width: number, layers: number, positions: number) => ({
  ...{ model_type: 'llama', hidden_size: width, intermediate_size: 3 * width },
  ...{ num_hidden_layers: layers, num_attention_heads: 4, max_position_embeddings: positions },
});
const resolved = (stages: object[], more: object) =>
  resolveRecipe(parseRecipe({ name: 'large', task, stages, ...more }, 'recipe.json'));
const MB = 2 ** 20;

/** Fits it into a worker's megabytes; what is refused names what would fit, and that fits. */
async function fitted(stages: object[], more: object, megabytes: number) {
  const { recipe, ...rest } = resolved(stages, more);
  const surveyed = surveyRecipe({ recipe, ...rest });
  const question = { recipe, surveyed, workers: 1 };
  const room = { workerBytes: megabytes * MB, machineBytes: 2 ** 36 };
  const { fit, worst } = await fitMemory(question, room);
  return { fit, recipe, refusal: () => memoryRefusal(question, room, worst, null) };
}

describe('a step that does not fit the memory', () => {
  it('has its activations computed again, then smaller micro-batches', async () => {
    const stages = [{ ...sft, batch: 400 }];
    const more = { model: model(64, 4, 64) };
    const { fit: all } = await fitted(stages, more, 1000);
    expect(all?.changed).toBe(false);
    const [whole] = (all as MemoryFit).stages;
    const { fit: again } = await fitted(stages, more, (0.95 * workerBytes(whole)) / MB);
    expect(again?.settings).toEqual({ recompute: true, microBatchTokens: 4096, sequences: null });
    const [smaller] = (again as MemoryFit).stages;
    const { fit: small, recipe } = await fitted(stages, more, (0.3 * workerBytes(smaller)) / MB);
    expect(small?.settings.microBatchTokens).toBeLessThan(2048);
    expect(givenWay(small as MemoryFit, recipe)).toMatch(
      /^to fit the memory, activations are computed again, and micro-batches have [\d,]+ tokens/,
    );
  });

  it('decodes fewer sequences at once where keys and values take the most', async () => {
    const stages = [{ ...grpo, prompts: 16, samples: 16, maxTokens: 1000 }];
    const { fit } = await fitted(stages, { model: model(64, 4, 1100) }, 160);
    expect(fit?.settings.sequences).toBeLessThan(256);
    expect(fit?.settings.sequences).toBeGreaterThan(1);
  });

  it('is refused with what would fit, and that fits', async () => {
    const stages = [{ ...grpo, maxTokens: 8000 }];
    const { fit, refusal } = await fitted(stages, { model: model(128, 4, 8192) }, 40);
    expect(fit).toBeNull();
    const { message, field } = await refusal();
    expect(field).toBe('stages.0.maxTokens');
    const advised = Number(/maxTokens ([\d,]+) would fit$/.exec(message)?.[1].replaceAll(',', ''));
    const shorter = [{ ...grpo, maxTokens: advised }];
    const { fit: then } = await fitted(shorter, { model: model(128, 4, 8192) }, 40);
    expect(then).not.toBeNull();
  });
});
