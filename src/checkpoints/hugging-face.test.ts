import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configureFaults, faultCounts } from '../base/faults.js';
import { loadHuggingFace, MODEL_FILES, saveHuggingFace } from './hugging-face.js';
import { toBfloat16 } from './numbers.js';
import { writeSafetensors } from './safetensors.js';
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
  added_tokens: ['<pad>', '<s>', '</s>', '<think>'].map((content, id) => ({ id, content, special: true })),
};
const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

describe('model folders', () => {
  it('come back as they were saved, with what other programs need beside them', async () => {
    const folder = join(root, 'model');
    const saved = await saveHuggingFace(folder, { config, tensors, tokenizer });
    expect(readdirSync(folder).sort()).toEqual([...MODEL_FILES].sort());
    expect(saved).toMatchObject({ tensors: 2, parameters: 9 });
    expect(saved.bytes).toBe(MODEL_FILES.reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0));
    expect(json(join(folder, 'special_tokens_map.json'))).toEqual({ bos_token: '<s>', eos_token: '</s>', pad_token: '<pad>' });
    expect(json(join(folder, 'tokenizer_config.json'))).toMatchObject({
      tokenizer_class: 'PreTrainedTokenizerFast',
      pad_token: '<pad>',
      model_max_length: 64,
    });
    expect(json(join(folder, 'generation_config.json'))).toMatchObject({ eos_token_id: [2], pad_token_id: 0 });
    const model = loadHuggingFace(folder);
    expect(model.config).toEqual({ ...config, torch_dtype: 'float32' });
    expect(model.tokenizerJson).toEqual(tokenizer);
    expect(model.tensors.names).toEqual(tensors.map(({ name }) => name));
    for (const tensor of tensors) expect(model.tensors.read(tensor.name)).toEqual(tensor);
    expect(() => model.tensors.read('lm_head.weight')).toThrow('has no tensor lm_head.weight; is config.json of another model?');
    model.tensors.close();
  });

  it('hold BF16 when asked, and say so', async () => {
    const folder = join(root, 'model');
    await saveHuggingFace(folder, { config: { ...config, dtype: 'float32' }, tensors, dtype: 'BF16' });
    const model = loadHuggingFace(folder);
    expect(model.config).toMatchObject({ torch_dtype: 'bfloat16', dtype: 'bfloat16' });
    expect(model.tokenizerJson).toBeNull();
    expect(model.tensors.dtype('model.norm.weight')).toBe('BF16');
    expect(model.tensors.readBfloat16('model.norm.weight')).toEqual(toBfloat16(tensors[1].data));
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
      await expect(saveHuggingFace(folder, { config, tensors: [tensors[0]], tokenizer })).rejects.toThrow('the disk is full');
      configureFaults(undefined);
      expect(readdirSync(root)).toEqual(['model']);
      expect(readFileSync(join(folder, 'model.safetensors')).equals(before)).toBe(true);
    }
  });

  it('may be a snapshot', async () => {
    const folder = join(root, '000010');
    const foundation = foundationHere({ version: '0', recipeHash: '', seed: 1, workers: 1, fingerprint: '' });
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

  it('may be in several files, which stay in the folder', () => {
    writeFileSync(join(root, 'config.json'), '{}');
    const index = join(root, 'model.safetensors.index.json');
    expect(() => loadHuggingFace(root)).toThrow('it has no model.safetensors');
    writeSafetensors(join(root, 'a.safetensors'), [tensors[0]]);
    writeSafetensors(join(root, 'b.safetensors'), [tensors[1]]);
    const map = (file: unknown): void => writeFileSync(index, JSON.stringify({ weight_map: { x: 'a.safetensors', y: file } }));
    map('b.safetensors');
    const model = loadHuggingFace(root);
    expect([...model.tensors.names].sort()).toEqual(tensors.map(({ name }) => name));
    expect(model.tensors.read('model.norm.weight')).toEqual(tensors[1]);
    model.tensors.close();
    copyFileSync(join(root, 'a.safetensors'), join(root, 'c.safetensors'));
    map('c.safetensors');
    expect(() => loadHuggingFace(root)).toThrow(
      /c\.safetensors has tensor model\.embed_tokens\.weight, and so has .*a\.safetensors/,
    );
    for (const file of ['../b.safetensors', '/etc/passwd', '..\\b.safetensors', 'b.bin', 1, null]) {
      map(file);
      expect(() => loadHuggingFace(root)).toThrow('not a safetensors file beside it');
    }
  });

  it('are refused with what is wrong', () => {
    expect(() => loadHuggingFace(root)).toThrow('is not a model folder: it has no config.json');
    writeFileSync(join(root, 'config.json'), '[]');
    expect(() => loadHuggingFace(root)).toThrow('is not a JSON object');
    writeFileSync(join(root, 'config.json'), '{}');
    writeFileSync(join(root, 'pytorch_model.bin'), '');
    expect(() => loadHuggingFace(root)).toThrow('would run code on loading; convert it to safetensors');
  });
});
