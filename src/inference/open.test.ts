import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadGguf } from '../checkpoints/gguf/open.js';
import { saveGguf } from '../checkpoints/gguf/save.js';
import { loadHuggingFace, saveHuggingFace } from '../checkpoints/hugging-face.js';
import { createModel, parseModelConfig } from '../models/index.js';
import { logitsOf } from '../models/testing.js';
import { createTask } from '../tasks/index.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createCharacterTokenizer, tokenizerFiles } from '../tokenizers/character.js';
import { createSampler } from './index.js';
import { openModel, taskOf } from './open.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-open-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/**
 * A model folder whose tensors are those of a decoder of another width when `tensorWidth` says so.
 */
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
      return {
        name: spec.name,
        shape: spec.shape,
        data: Float32Array.from(await backend.read(value)),
      };
    }),
  );
  const path = join(folder, 'model');
  await saveHuggingFace(path, {
    config: { ...config, hidden_size: 8 },
    tensors,
    ...tokenizerFiles(tokenizer),
  });
  return path;
}

it.each(['BF16', 'F16'] as const)(
  'keeps matrices in the form of a %s file, and computes what their float32 gives',
  async (form) => {
    const path = await save({ recipe: 'x', task: { name: 'sums' } });
    const loaded = loadHuggingFace(path);
    const [short, long] = ['short.gguf', 'long.gguf'].map((name) => join(folder, name));
    saveGguf(short, loaded, form);
    loaded.tensors.close();
    const rounded = loadGguf(short);
    saveGguf(long, rounded, 'F32');
    rounded.tensors.close();
    const results = [];
    for (const file of [short, long]) {
      for (const threads of [1, 3]) {
        const opened = await openModel(file, { threads });
        const forms = opened.model.store.frozen.map(({ rows }) => rows?.form);
        expect(new Set(forms)).toEqual(new Set(file === short ? [form.toLowerCase()] : []));
        const sampler = createSampler(opened.backend, opened.model, {
          capacity: 2,
          maxPrompt: 4,
          maxTokens: 12,
          eos: -1,
        });
        results.push(
          await sampler.generate([[1, 4, 2]], {
            samples: 2,
            maxTokens: 12,
            temperature: 1,
            key: [1],
          }),
        );
        await opened.close();
      }
    }
    for (const other of results.slice(1)) expect(other).toEqual(results[0]);
  },
);

it('opens a GGUF file as the folder that it was made from', async () => {
  const path = await save({ recipe: 'x', task: { name: 'sums' } });
  const loaded = loadHuggingFace(path);
  saveGguf(join(folder, 'model.gguf'), loaded, 'F32');
  loaded.tensors.close();
  const logits: number[][][] = [];
  for (const from of [path, join(folder, 'model.gguf')]) {
    const opened = await openModel(from, { products: 'wasm' });
    logits.push(await logitsOf(opened, opened.tokenizer.encode('12+7=')));
    await opened.close();
  }
  expect(logits[1]).toEqual(logits[0]);
});

it('opens what was saved: the same weights, the tokenizer, and the task it was trained on', async () => {
  const opened = await openModel(
    await save({ recipe: 'x', task: { name: 'sums', terms: [5, 6] } }),
    { products: 'wasm' },
  );
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
  // A longer chain needs room for longer prompts: the model's own options count, unless another
  // task is named.
  expect(taskOf(opened).maxPromptLength).toBeGreaterThan(
    createTask({ name: 'sums' }).maxPromptLength,
  );
  await opened.close();
});

it('asks for a task when the model names none', async () => {
  const opened = await openModel(await save(undefined), { products: 'wasm' });
  expect(opened.task).toBeNull();
  expect(() => taskOf(opened)).toThrow(/name a task with --task/);
  await opened.close();
});

it('refuses tensors, and a tokenizer, of another model', async () => {
  await expect(openModel(await save(undefined, 16), { products: 'wasm' })).rejects.toThrow(
    /and config\.json says .*different models/,
  );
  const path = await save(undefined);
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, vocab_size: 9 }));
  await expect(openModel(path, { products: 'wasm' })).rejects.toThrow(/tokens and config\.json 9/);
  rmSync(join(path, 'tokenizer.json'));
  await expect(openModel(path, { products: 'wasm' })).rejects.toThrow(/has no tokenizer\.json/);
});

it('opens a DeepSeek-V3 with its layer of multi-token prediction, as released, and refuses one that promises the layer only', async () => {
  const tokenizer = createCharacterTokenizer('0123456789+-=');
  const config = {
    model_type: 'deepseek_v3',
    vocab_size: tokenizer.vocabularySize,
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    kv_lora_rank: 4,
    qk_nope_head_dim: 4,
    qk_rope_head_dim: 2,
    v_head_dim: 4,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 4,
    num_nextn_predict_layers: 1,
    initializer_range: 0.4,
  };
  const backend = createReferenceBackend();
  const model = createModel(backend, parseModelConfig(config));
  model.store.initialize(3);
  const tensors = await Promise.all(
    model.store.parameters.map(async ({ spec, value }) => {
      return {
        name: spec.name,
        shape: spec.shape,
        data: Float32Array.from(await backend.read(value)),
      };
    }),
  );
  const path = join(folder, 'v3');
  // Released folders have the shared embedding and head in that layer again.
  const again = ['embed_tokens.weight', 'shared_head.head.weight'].map((name) => {
    const shared = tensors.find(
      (tensor) => tensor.name === 'model.embed_tokens.weight',
    ) as (typeof tensors)[0];
    return { ...shared, name: `model.layers.2.${name}` };
  });
  await saveHuggingFace(path, {
    config,
    tensors: [...tensors, ...again],
    ...tokenizerFiles(tokenizer),
  });
  const opened = await openModel(path, { products: 'wasm' });
  for (const { spec, value } of opened.model.store.parameters) {
    const want = tensors.find(({ name }) => name === spec.name)?.data;
    expect(Float32Array.from(await opened.backend.read(value)), spec.name).toEqual(want);
  }
  const limits = { capacity: 2, maxPrompt: 4, maxTokens: 8, eos: -1, draft: 'mtp' } as const;
  const prompt = opened.tokenizer.prompt('1+2');
  const [drawn] = await createSampler(opened.backend, opened.model, limits).generate([prompt], {
    samples: 1,
    maxTokens: 8,
    temperature: 0,
    key: [],
  });
  expect(drawn.drafts?.offered).toBeGreaterThan(0);
  await opened.close();

  const without = tensors.filter(({ name }) => !name.startsWith('model.layers.2.'));
  await saveHuggingFace(path, { config, tensors: without, ...tokenizerFiles(tokenizer) });
  await expect(openModel(path, { products: 'wasm' })).rejects.toThrow(
    /config\.json has num_nextn_predict_layers 1, and the tensor "model\.layers\.2\.\S+" is missing; set it to 0/,
  );
  await saveHuggingFace(path, {
    config: { ...config, num_nextn_predict_layers: 0 },
    tensors: without,
    ...tokenizerFiles(tokenizer),
  });
  await (await openModel(path, { products: 'wasm' })).close();
});

it('refuses a tensor that the model would leave out', async () => {
  const path = await save(undefined);
  const loaded = loadHuggingFace(path);
  const bias = {
    name: 'model.layers.0.self_attn.q_proj.bias',
    shape: [8],
    data: new Float32Array(8),
  };
  const again = {
    name: 'model.layers.0.self_attn.rotary_emb.inv_freq',
    shape: [2],
    data: new Float32Array(2),
  };
  const tensors = loaded.tensors.names.map((name) => loaded.tensors.read(name));
  const { config, tokenizerJson } = loaded;
  loaded.tensors.close();
  const tokenizer = tokenizerJson ?? {};
  await saveHuggingFace(path, { config, tokenizer, tensors: [...tensors, again] });
  await (await openModel(path, { products: 'wasm' })).close();
  await saveHuggingFace(path, { config, tokenizer, tensors: [...tensors, bias] });
  await expect(openModel(path, { products: 'wasm' })).rejects.toThrow(
    /q_proj\.bias", for which a llama of this config\.json has no place/,
  );
});
