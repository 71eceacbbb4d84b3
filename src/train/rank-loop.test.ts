import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { saveHuggingFace } from '../checkpoints/hugging-face.js';
import { type LoadedAdapter, mergeAdapter, openWithAdapter } from '../checkpoints/peft.js';
import { foundationHere, latestSnapshot, loadSnapshot } from '../checkpoints/snapshot.js';
import { openModel } from '../inference/open.js';
import { logitsOf } from '../models/testing.js';
import { parseRecipe } from '../recipe/index.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { STOP_REQUESTS } from './protocol.js';
import { runProgram } from './rank-loop.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-program-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const model = {
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 64,
};
const base = {
  name: 'test',
  model,
  task: { name: 'sums', maximum: 9, terms: [2, 2] },
  checkpoints: { every: 2, keep: 5 },
  stages: [{ id: 'sft', kind: 'sft', steps: 5, batch: 4, schedule: { kind: 'constant' } }],
};
const evaluation = { id: 'after', kind: 'eval', problems: 2, samples: 1, maxTokens: 16 };

/**
 * Runs one rank of a recipe in this thread; asks it to stop after `stopAt` steps. Gives what it
 * said and how it ended.
 */
async function run(
  name: string,
  recipe: object,
  { stopAt = Number.POSITIVE_INFINITY, resume = false } = {},
) {
  const runFolder = join(folder, name);
  const backend = await createWasmBackend({
    sharedBytes: 1 << 20,
    localBytes: 1 << 24,
    products: 'wasm',
    build: 'plain',
  });
  const known = {
    version: '0',
    recipeHash: '',
    seed: 1,
    workers: 1,
    fingerprint: backend.fingerprint,
  };
  const control = new SharedArrayBuffer(4);
  const stages: string[] = [];
  const job = {
    rank: 0,
    backend: { kind: 'reference', fingerprint: backend.fingerprint } as const,
    recipe: parseRecipe(recipe, 'recipe.json'),
    runFolder,
    attempt: 0,
    resumeFrom: resume
      ? (latestSnapshot(join(runFolder, 'checkpoints'), () => {})?.folder ?? null)
      : null,
    fromStage: null,
    foundation: foundationHere(known),
    control,
  };
  const outcome = await runProgram(job, backend, {
    send: (message) => {
      if (message.kind === 'at') stages.push(message.stage);
      if (message.kind === 'spent' && message.step >= stopAt) {
        Atomics.store(new Int32Array(control), 0, STOP_REQUESTS.indexOf('interrupted'));
      }
    },
    flush: async () => {},
  });
  return { ...outcome, stages, folder: runFolder };
}

const weightsOf = (name: string): Buffer =>
  readFileSync(join(folder, name, 'model', 'model.safetensors'));
const checkpointsOf = (name: string): string[] =>
  readdirSync(join(folder, name, 'checkpoints')).sort();

describe('a run', () => {
  it('stops between steps, and goes on as if it never had', async () => {
    const recipe = { ...base, stages: [...base.stages, evaluation] };
    const whole = await run('whole', recipe);
    expect(whole).toMatchObject({
      reason: 'completed',
      step: 6,
      stages: ['sft', 'after', 'finish'],
    });
    expect(checkpointsOf('whole')).toHaveLength(4); // 2, 4, the end of sft, the end of the evaluation
    expect(await run('parts', recipe, { stopAt: 3 })).toMatchObject({
      reason: 'interrupted',
      step: 3,
    });
    expect(existsSync(join(folder, 'parts', 'model'))).toBe(false);
    const stopped = latestSnapshot(join(folder, 'parts', 'checkpoints'), () => {});
    const backend = { kind: 'reference', products: 'wasm', precision: 'f32' };
    expect(stopped?.state.backend).toEqual(backend);
    expect(await run('parts', recipe, { resume: true, stopAt: 5 })).toMatchObject({
      reason: 'interrupted',
      step: 5,
    });
    const end = await run('parts', recipe, { resume: true });
    expect(end).toMatchObject({ reason: 'completed', step: 6, stages: ['after', 'finish'] });
    expect(weightsOf('parts').equals(weightsOf('whole'))).toBe(true);
  });

  it('that diverges says where, and leaves the checkpoints before', async () => {
    const broken = { ...base.stages[0], optimizer: { matrices: 'adamw', lr: 1e30 } };
    const { reason, message } = await run('broken', {
      ...base,
      stages: [base.stages[0], { ...broken, id: 'broken' }],
    });
    expect(reason).toBe('diverged');
    expect(message).toMatch(/^stage broken, step [12]: /);
    expect(checkpointsOf('broken').at(-1)).toMatch(/5$/);
  });
});

describe('a recipe with init', () => {
  it('starts from the weights of another model', async () => {
    await run('first', base);
    await run('second', {
      ...base,
      init: { from: join(folder, 'first', 'model') },
      stages: [evaluation],
    });
    expect(weightsOf('second').equals(weightsOf('first'))).toBe(true);
  });

  it.each([
    ['num_attention_heads', { num_attention_heads: 4 }],
    ['rope_theta', { rope_theta: 500 }],
    ['rms_norm_eps', { rms_norm_eps: 1e-3 }],
    ['model_type', { model_type: 'qwen3' }],
  ])('refuses a model with another %s, whatever its shapes', async (field, more) => {
    await run('first', base);
    const recipe = {
      ...base,
      model: { ...model, ...more },
      init: { from: join(folder, 'first', 'model') },
      stages: [evaluation],
    };
    await expect(run('second', recipe)).rejects.toMatchObject({
      code: 'data',
      field: `model.${field}`,
    });
  });

  it('refuses weights of another width or vocabulary', async () => {
    await run('first', base);
    const init = { from: join(folder, 'first', 'model') };
    const wide = {
      ...base,
      init,
      model: { ...model, intermediate_size: 16 },
      stages: [evaluation],
    };
    await expect(run('second', wide)).rejects.toThrow(
      /gate_proj.weight is \[12, 8\], and config\.json says \[16, 8\]/,
    );
    const other = {
      ...base,
      init,
      task: { name: 'countdown' },
      stages: [{ ...evaluation, maxTokens: 32 }],
    };
    await expect(run('third', other)).rejects.toThrow(
      /init\.from: .* has another vocabulary than the recipe's tasks/,
    );
  });
});

describe('a recipe with an adapter', () => {
  const recipe = (name = 'first') => ({
    ...base,
    model: undefined,
    init: { from: join(folder, name, 'model') },
    adapter: { kind: 'lora', rank: 2, alpha: 4, targets: ['q_proj', 'v_proj', 'down_proj'] },
    recompute: true,
    stages: [
      { ...base.stages[0], steps: 3, optimizer: { lr: 0.01 } },
      {
        id: 'rl',
        kind: 'grpo',
        steps: 3,
        prompts: 2,
        samples: 2,
        maxTokens: 8,
        klCoefficient: 0.1,
        schedule: { kind: 'constant' },
      },
    ],
  });
  const adapterOf = (name: string): Buffer =>
    readFileSync(join(folder, name, 'model', 'adapter_model.safetensors'));

  it('trains the adapter alone, keeps it alone, and goes on as if it had never stopped', async () => {
    await run('first', base);
    const before = weightsOf('first');
    const whole = await run('whole', recipe());
    expect(whole).toMatchObject({ reason: 'completed', step: 6, stages: ['sft', 'rl', 'finish'] });
    expect(await run('parts', recipe(), { stopAt: 2 })).toMatchObject({
      reason: 'interrupted',
      step: 2,
    });
    expect(await run('parts', recipe(), { resume: true, stopAt: 5 })).toMatchObject({
      reason: 'interrupted',
      step: 5,
    });
    expect(await run('parts', recipe(), { resume: true })).toMatchObject({
      reason: 'completed',
      step: 6,
    });
    expect(adapterOf('parts').equals(adapterOf('whole'))).toBe(true);
    expect(weightsOf('first').equals(before)).toBe(true);

    const snapshot = latestSnapshot(join(folder, 'parts', 'checkpoints'));
    const saved = snapshot?.read('weights') ?? [];
    expect(saved).toHaveLength(6);
    expect(
      saved.every(({ name }) =>
        /^base_model\.model\.model\.layers\.0\..*\.lora_[AB]\.weight$/.test(name),
      ),
    ).toBe(true);
    expect(
      saved
        .filter(({ name }) => name.includes('lora_B'))
        .every(({ data }) => data.some((x) => x !== 0)),
    ).toBe(true);
    // No reference policy beside the optimizer: it is the base.
    const middle = loadSnapshot(join(folder, 'parts', 'checkpoints', '000005'));
    expect(middle.read('optimizer').map(({ name }) => name)).toEqual([
      'adamw.first',
      'adamw.second',
    ]);
  });

  it('leaves a model that is opened with its base, and is the same when merged into it', async () => {
    await run('first', base);
    await run('tuned', recipe());
    const tuned = join(folder, 'tuned', 'model');
    const opened = await openModel(tuned, { products: 'wasm' });
    const { loaded, adapter, close } = openWithAdapter(tuned);
    const merged = join(folder, 'merged');
    const tensors = loaded.tensors.names.map((name) =>
      mergeAdapter(loaded.tensors.read(name), adapter as LoadedAdapter),
    );
    await saveHuggingFace(merged, {
      config: loaded.config,
      tensors,
      tokenizer: loaded.tokenizerJson ?? undefined,
    });
    close();
    const whole = await openModel(merged, { products: 'wasm' });
    const first = await openModel(join(folder, 'first', 'model'), { products: 'wasm' });
    expect(opened.task).toEqual(first.task);
    const [a, b, c] = [
      await logitsOf(opened, [1, 8, 9]),
      await logitsOf(whole, [1, 8, 9]),
      await logitsOf(first, [1, 8, 9]),
    ];
    expect(a).not.toEqual(c);
    a.flat().forEach((logit, i) => {
      expect(logit).toBeCloseTo(b.flat()[i], 5);
    });
  });

  it('wants a base, no adapter under it, and targets that the model has', async () => {
    const { init: _, ...without } = { ...recipe(), model };
    expect(() => parseRecipe(without, 'r.json')).toThrow(/adapter: needs init/);
    await run('first', base);
    const wrong = {
      ...recipe(),
      adapter: { kind: 'lora', rank: 2, alpha: 4, targets: ['q_projection'] },
    };
    expect(() => parseRecipe(wrong, 'r.json')).toThrow(
      /adapter\.targets: the model has no q_projection; choose from q_proj, /,
    );
    await run('tuned', recipe());
    expect(() => parseRecipe(recipe('tuned'), 'r.json')).toThrow(
      /init\.from: .* is an adapter; merge it/,
    );
  });
});
