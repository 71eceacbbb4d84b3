import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadHuggingFace, saveHuggingFace } from '../checkpoints/hugging-face.js';
import { createModel, parseModelConfig } from '../models/index.js';
import { createTask } from '../tasks/index.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createCharacterTokenizer, tokenizerFiles } from '../tokenizers/character.js';
import { openModel, taskOf } from './open.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-open-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A model folder whose tensors are those of a decoder of another width when `tensorWidth` says so. */
async function save(reckoner: unknown, tensorWidth = 8): Promise<string> {
  const task = createTask({ name: 'sums' });
  const tokenizer = createCharacterTokenizer(task.alphabet);
  const config = {
    model_type: 'llama',
    vocab_size: tokenizer.vocabularySize,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    head_dim: 4,
    reckoner,
  };
  const backend = createReferenceBackend();
  const model = createModel(backend, parseModelConfig({ ...config, hidden_size: tensorWidth }));
  model.store.initialize(3);
  const tensors = await Promise.all(
    model.store.parameters.map(async ({ spec, value }) => {
      return { name: spec.name, shape: spec.shape, data: Float32Array.from(await backend.read(value)) };
    }),
  );
  const path = join(folder, 'model');
  await saveHuggingFace(path, { config: { ...config, hidden_size: 8 }, tensors, ...tokenizerFiles(tokenizer) });
  return path;
}

it('opens what was saved: the same weights, the tokenizer, and the task it was trained on', async () => {
  const opened = await openModel(await save({ recipe: 'x', task: { name: 'sums', terms: [5, 6] } }), { blas: false });
  const again = createReferenceBackend();
  const expected = createModel(again, opened.config);
  expected.store.initialize(3);
  for (const { spec, value } of opened.model.store.parameters) {
    const there = expected.store.parameters.find((parameter) => parameter.spec.name === spec.name);
    const want = Float32Array.from(await again.read(there?.value ?? value));
    expect(Float32Array.from(await opened.backend.read(value))).toEqual(want);
  }
  expect(opened.tokenizer.decode(opened.tokenizer.encode('12+7='))).toBe('12+7=');
  expect(opened.task).toEqual({ name: 'sums', terms: [5, 6] });
  // A longer chain needs room for longer prompts: the model's own options count, unless another task is named.
  expect(taskOf(opened).maxPromptLength).toBeGreaterThan(createTask({ name: 'sums' }).maxPromptLength);
  expect(taskOf(opened, 'sums').maxPromptLength).toBe(taskOf(opened).maxPromptLength);
  expect(taskOf(opened, 'countdown').name).toBe('countdown');
  await opened.close();
});

it('asks for a task when the model names none', async () => {
  const opened = await openModel(await save(undefined), { blas: false });
  expect(opened.task).toBeNull();
  expect(() => taskOf(opened)).toThrow(/name a task with --task/);
  expect(taskOf(opened, 'sums').name).toBe('sums');
  await opened.close();
});

it('refuses tensors, and a tokenizer, of another model', async () => {
  await expect(openModel(await save(undefined, 16), { blas: false })).rejects.toThrow(/and config\.json says .*different models/);
  const path = await save(undefined);
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, vocab_size: 9 }));
  await expect(openModel(path, { blas: false })).rejects.toThrow(/tokens and config\.json 9/);
  rmSync(join(path, 'tokenizer.json'));
  await expect(openModel(path, { blas: false })).rejects.toThrow(/has no tokenizer\.json/);
});

it('refuses a tensor that the model would leave out', async () => {
  const path = await save(undefined);
  const loaded = loadHuggingFace(path);
  const bias = { name: 'model.layers.0.self_attn.q_proj.bias', shape: [8], data: new Float32Array(8) };
  const again = { name: 'model.layers.0.self_attn.rotary_emb.inv_freq', shape: [2], data: new Float32Array(2) };
  const tensors = loaded.tensors.names.map((name) => loaded.tensors.read(name));
  const { config, tokenizerJson } = loaded;
  loaded.tensors.close();
  const tokenizer = tokenizerJson ?? {};
  await saveHuggingFace(path, { config, tokenizer, tensors: [...tensors, again] });
  await (await openModel(path, { blas: false })).close();
  await saveHuggingFace(path, { config, tokenizer, tensors: [...tensors, bias] });
  await expect(openModel(path, { blas: false })).rejects.toThrow(
    /q_proj\.bias", for which a llama of this config\.json has no place/,
  );
});
