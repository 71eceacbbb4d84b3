/**
 * @file An adapter that PEFT saved, and what PEFT computed with it: test/fixtures/peft.json,
 * written by bench/peers/peft_adapters.py, which also loads ours there.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { saveHuggingFace } from '../checkpoints/hugging-face.js';
import { saveAdapter } from '../checkpoints/peft.js';
import { createModel, explicitConfig, parseModelConfig } from '../models/index.js';
import { logitsOf } from '../models/testing.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import { openModel } from './open.js';

const fixtures = JSON.parse(
  readFileSync(new URL('../../test/fixtures/peft.json', import.meta.url), 'utf8'),
);

const common = {
  vocab_size: 13,
  hidden_size: 12,
  intermediate_size: 20,
  num_hidden_layers: 2,
  max_position_embeddings: 32,
  initializer_range: 0.4,
};
/** The same as in bench/peers/peft.mjs. */
const configs = {
  qwen3: {
    ...common,
    model_type: 'qwen3',
    num_attention_heads: 6,
    num_key_value_heads: 3,
    head_dim: 6,
  },
  deepseek_v3: {
    ...common,
    model_type: 'deepseek_v3',
    num_attention_heads: 3,
    q_lora_rank: 5,
    kv_lora_rank: 4,
    qk_nope_head_dim: 4,
    qk_rope_head_dim: 2,
    v_head_dim: 3,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 5,
    first_k_dense_replace: 1,
    routed_scaling_factor: 1.5,
    num_nextn_predict_layers: 1,
  },
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-peft-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** `base`, and PEFT's adapter of it in `theirs`. */
async function setUp(family: keyof typeof configs) {
  const fixture = fixtures[family];
  const config = parseModelConfig(configs[family]);
  const backend = createReferenceBackend();
  const { store } = createModel(backend, config);
  store.initialize(11);
  const tensors = [];
  for (const { spec, value } of store.parameters) {
    tensors.push({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    });
  }
  const tokenizer = createCharacterTokenizer('abcdef').toJSON();
  await saveHuggingFace(join(folder, 'base'), {
    config: explicitConfig(config),
    tensors,
    tokenizer,
  });
  await saveAdapter(join(folder, 'theirs'), {
    config: { ...fixture.config, base_model_name_or_path: join(folder, 'base') },
    tensors: [],
  });
  writeFileSync(
    join(folder, 'theirs', 'adapter_model.safetensors'),
    Buffer.from(fixture.safetensors, 'base64'),
  );
  return fixture;
}

it.each(['qwen3', 'deepseek_v3'] as const)(
  'computes with an adapter of PEFT what PEFT does: %s',
  async (family) => {
    const fixture = await setUp(family);
    const opened = await openModel(join(folder, 'theirs'), { products: 'wasm' });
    const logits: number[] = [];
    for (const tokens of fixture.sequences) logits.push(...(await logitsOf(opened, tokens)).flat());
    const plain = await openModel(join(folder, 'base'), { products: 'wasm' });
    const without = (await logitsOf(plain, fixture.sequences[0])).flat();
    const farthest = (a: readonly number[], b: readonly number[]): number =>
      Math.max(...a.map((x, i) => Math.abs(x - b[i])));
    expect(logits).toHaveLength(fixture.logits.length);
    expect(farthest(logits, fixture.logits)).toBeLessThan(1e-4);
    expect(farthest(without, fixture.logits)).toBeGreaterThan(0.1);
  },
);

it.each(['all-linear', '.*_proj', '(a+)+$'])(
  'takes the modules of %s as target_modules from the tensors',
  async (targets) => {
    const fixture = await setUp('qwen3');
    const path = join(folder, 'theirs', 'adapter_config.json');
    const base = { base_model_name_or_path: join(folder, 'base') };
    writeFileSync(path, JSON.stringify({ ...fixture.config, ...base, target_modules: targets }));
    const opened = await openModel(join(folder, 'theirs'), { products: 'wasm' });
    const logits: number[] = [];
    for (const tokens of fixture.sequences) logits.push(...(await logitsOf(opened, tokens)).flat());
    const far = Math.max(...logits.map((x, i) => Math.abs(x - fixture.logits[i])));
    expect(far).toBeLessThan(1e-4);
  },
);

it('refuses an adapter whose tensors are not those that its configuration says', async () => {
  const fixture = await setUp('qwen3');
  const path = join(folder, 'theirs', 'adapter_config.json');
  const changed = async (more: object): Promise<unknown> => {
    writeFileSync(
      path,
      JSON.stringify({ ...fixture.config, base_model_name_or_path: join(folder, 'base'), ...more }),
    );
    return openModel(join(folder, 'theirs'), { products: 'wasm' });
  };
  await expect(changed({ r: 3 })).rejects.toThrow(
    /lora_A\.weight is \[4, 12\], and the model wants \[3, 12\]/,
  );
  await expect(changed({ target_modules: ['q_proj'] })).rejects.toThrow(
    /which its configuration does not explain/,
  );
  await expect(changed({ target_modules: ['w_pack'] })).rejects.toThrow(/the model has no w_pack/);
  await expect(changed({ peft_type: 'IA3' })).rejects.toThrow(/peft_type: /);
});
