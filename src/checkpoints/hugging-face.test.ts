import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configureFaults, faultCounts } from '../base/faults.js';
import { isModelFile, loadHuggingFace, saveHuggingFace } from './hugging-face.js';
import { toBfloat16 } from './numbers.js';
import { foundationHere, saveSnapshot } from './snapshot.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-hf-'));
});
afterEach(() => {
  configureFaults(undefined);
  rmSync(root, { recursive: true, force: true });
});

const tensors = [
  { name: 'model.embed_tokens.weight', shape: [2, 3], data: Float32Array.of(0.1, 2, 3, 4, 5, 6) },
  { name: 'model.norm.weight', shape: [3], data: Float32Array.of(1, 1, 1.001) },
];
const config = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  bos_token_id: 1,
  eos_token_id: [2],
  pad_token_id: 0,
  max_position_embeddings: 64,
};
const tokenizer = {
  model: { type: 'WordLevel' },
  added_tokens: ['<pad>', '<s>', '</s>', '<think>'].map((content, id) => ({
    id,
    content,
    special: true,
  })),
};
const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

describe('model folders', () => {
  it('come back as they were saved, with what other programs need beside them', async () => {
    const folder = join(root, 'model');
    const saved = await saveHuggingFace(folder, { config, tensors, tokenizer });
    const names = readdirSync(folder).sort();
    expect(names).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(names.every(isModelFile)).toBe(true);
    expect(isModelFile('model.safetensors.bak')).toBe(false);
    expect(saved).toMatchObject({ tensors: 2, parameters: 9 });
    expect(saved.bytes).toBe(
      names.reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0),
    );
    expect(json(join(folder, 'special_tokens_map.json'))).toEqual({
      bos_token: '<s>',
      eos_token: '</s>',
      pad_token: '<pad>',
    });
    expect(json(join(folder, 'tokenizer_config.json'))).toMatchObject({
      tokenizer_class: 'PreTrainedTokenizerFast',
      pad_token: '<pad>',
      model_max_length: 64,
    });
    expect(json(join(folder, 'generation_config.json'))).toMatchObject({
      eos_token_id: [2],
      pad_token_id: 0,
    });
    const model = loadHuggingFace(folder);
    expect(model.config).toEqual({ ...config, torch_dtype: 'float32' });
    expect(model.tokenizerJson).toEqual(tokenizer);
    expect(model.tensors.names).toEqual(tensors.map(({ name }) => name));
    for (const tensor of tensors) expect(model.tensors.read(tensor.name)).toEqual(tensor);
    expect(() => model.tensors.read('lm_head.weight')).toThrow(
      'has no tensor "lm_head.weight"; is config.json of another model?',
    );
    model.tensors.close();
  });

  it('write whole numbers as floats where transformers takes nothing else', async () => {
    const folder = join(root, 'model');
    const own = {
      ...config,
      routed_scaling_factor: 1,
      rms_norm_eps: 1e-6,
      initializer_range: 0.02,
      first_k_dense_replace: 1,
    };
    await saveHuggingFace(folder, { config: own, tensors });
    const text = readFileSync(join(folder, 'config.json'), 'utf8');
    expect(text).toContain('"routed_scaling_factor": 1.0,');
    expect(text).toContain('"rms_norm_eps": 0.000001,');
    expect(text).toContain('"first_k_dense_replace": 1,');
    expect(loadHuggingFace(folder).config).toMatchObject(own);
  });

  it('hold BF16 when asked, and say so', async () => {
    const folder = join(root, 'model');
    await saveHuggingFace(folder, {
      config: { ...config, dtype: 'float32' },
      tensors,
      dtype: 'BF16',
    });
    const model = loadHuggingFace(folder);
    expect(model.config).toMatchObject({ torch_dtype: 'bfloat16', dtype: 'bfloat16' });
    expect(model.tokenizerJson).toBeNull();
    expect(model.tensors.dtype('model.norm.weight')).toBe('BF16');
    const bytes = new Uint8Array(2 * tensors[1].data.length);
    model.tensors.readRows('model.norm.weight', bytes);
    expect(new Uint16Array(bytes.buffer)).toEqual(toBfloat16(tensors[1].data));
    model.tensors.close();
  });

  it('keep the earlier model when the disk fills up', async () => {
    const folder = join(root, 'model');
    await saveHuggingFace(folder, { config, tensors, tokenizer });
    const before = readFileSync(join(folder, 'model.safetensors'));
    configureFaults('count');
    await saveHuggingFace(folder, { config, tensors: [tensors[0]], tokenizer });
    const { writes } = faultCounts();
    configureFaults(undefined);
    await saveHuggingFace(folder, { config, tensors, tokenizer });
    for (let n = 1; n <= writes; n++) {
      configureFaults(`enospc@${n}`);
      await expect(
        saveHuggingFace(folder, { config, tensors: [tensors[0]], tokenizer }),
      ).rejects.toThrow('the disk is full');
      configureFaults(undefined);
      expect(readdirSync(root)).toEqual(['model']);
      expect(readFileSync(join(folder, 'model.safetensors')).equals(before)).toBe(true);
    }
  });

  it('may be a snapshot', async () => {
    const folder = join(root, '000010');
    const foundation = foundationHere({
      version: '0',
      recipeHash: '',
      seed: 1,
      workers: 1,
      fingerprint: '',
    });
    const state = { ...foundation, step: 10, stageIndex: 0, stageStep: 10, attempt: 0 };
    await saveSnapshot(folder, {
      state,
      tensors: { weights: tensors, optimizer: [] },
      json: { 'config.json': config, 'tokenizer.json': tokenizer },
    });
    const model = loadHuggingFace(folder);
    expect(model.tensors.read('model.norm.weight')).toEqual(tensors[1]);
    expect(model.tokenizerJson).toEqual(tokenizer);
    model.tensors.close();
  });

  it('are written in several files when large, with an index that other programs read', async () => {
    const folder = join(root, 'model');
    const three = [...tensors, { name: 'lm_head.weight', shape: [1], data: Float32Array.of(7) }];
    const saved = await saveHuggingFace(folder, {
      config,
      tensors: three,
      shardBytes: 28,
      chatTemplate: '{{ 1 }}',
    });
    expect(json(join(folder, 'model.safetensors.index.json'))).toEqual({
      metadata: { total_size: 40 },
      weight_map: {
        'model.embed_tokens.weight': 'model-00001-of-00002.safetensors',
        'model.norm.weight': 'model-00002-of-00002.safetensors',
        'lm_head.weight': 'model-00002-of-00002.safetensors',
      },
    });
    expect(saved.sha256).toBe(saved.files['model.safetensors.index.json'].sha256);
    expect(Object.keys(saved.files).sort()).toEqual(readdirSync(folder).sort());
    expect(readdirSync(folder).every(isModelFile)).toBe(true);
    const model = loadHuggingFace(folder);
    for (const tensor of three) expect(model.tensors.read(tensor.name)).toEqual(tensor);
    expect(model.chatTemplate).toBe('{{ 1 }}');
    model.tensors.close();
  });

  it('packed for another program are refused', () => {
    const write = (quantization: object): void =>
      writeFileSync(
        join(root, 'config.json'),
        JSON.stringify({ quantization_config: quantization }),
      );
    write({ quant_method: 'awq', bits: 4 });
    expect(() => loadHuggingFace(root)).toThrow(
      'its weights are in quantization "awq"; load a model in BF16',
    );
    write({ quant_method: 'fp8', weight_block_size: [64, 64] });
    expect(() => loadHuggingFace(root)).toThrow('its weights are in FP8 in blocks of [64,64]');
  });

  it('are refused with what is wrong', () => {
    expect(() => loadHuggingFace(root)).toThrow('is not a model folder: it has no config.json');
    writeFileSync(join(root, 'config.json'), '[]');
    expect(() => loadHuggingFace(root)).toThrow('is not a JSON object');
    writeFileSync(join(root, 'config.json'), '{}');
    writeFileSync(join(root, 'pytorch_model.bin'), '');
    expect(() => loadHuggingFace(root)).toThrow(
      'would run code on loading; convert it to safetensors',
    );
  });
});
