/**
 * @file GGUF files as models. What blocks stand for comes from llama.cpp's own Python package:
 * test/fixtures/gguf-blocks.json, written by bench/peers/gguf_blocks.py.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { explicitConfig, parametersOf, parseModelConfig } from '../../models/index.js';
import { createCharacterTokenizer, tokenizerFiles } from '../../tokenizers/character.js';
import { openTokenizer } from '../../tokenizers/hugging-face.js';
import { loadHuggingFace, saveHuggingFace } from '../hugging-face.js';
import { fromBfloat16, toBfloat16 } from '../numbers.js';
import { FORMATS } from './blocks.js';
import { loadGguf } from './open.js';
import { saveGguf } from './save.js';
import { ggufTokenizer } from './tokenizer.js';
import { tokenizerOf } from './tokenizer-in.js';
import { encodeGguf, type GgufValue } from './write.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-gguf-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const read = (path: string) =>
  JSON.parse(readFileSync(new URL(`../../../test/fixtures/${path}`, import.meta.url), 'utf8'));

describe('blocks', () => {
  const cases: Record<string, { blocks: string; values: string }> = read('gguf-blocks.json');
  const bytesOf = (text: string): Uint8Array<ArrayBuffer> =>
    Uint8Array.from(Buffer.from(text, 'base64'));

  it.each(Object.keys(cases))('of %s are the numbers that llama.cpp reads', (name) => {
    const format = [...FORMATS.values()].find((known) => known.name === name);
    const expected = new Float32Array(bytesOf(cases[name].values).buffer);
    const out = new Float32Array(expected.length);
    format?.decode(bytesOf(cases[name].blocks), out);
    const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (const [i, value] of out.entries())
      expect(Math.abs(value - expected[i])).toBeLessThanOrEqual(largest * 2 ** -23);
  });

  it('have as many bytes as the fixtures', () => {
    for (const { name, numbers, bytes } of FORMATS.values()) {
      if (!(name in cases)) continue;
      expect(bytesOf(cases[name].blocks).length).toBe(3 * bytes);
      expect(bytesOf(cases[name].values).length).toBe(3 * 4 * numbers);
    }
  });
});

const CONFIG = {
  vocab_size: 13,
  hidden_size: 8,
  intermediate_size: 6,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 4,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 100_000,
  bos_token_id: 1,
  eos_token_id: 2,
};

/** A model folder with drawn weights; every number is one of BF16. */
async function folderOf(config: object): Promise<string> {
  const parsed = parseModelConfig({ ...CONFIG, ...config });
  const random = new Random(1, 'gguf');
  const tensors = parametersOf(parsed).map(({ name, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: size }, () => random.normal());
    return { name, shape, data: fromBfloat16(toBfloat16(data)) };
  });
  const folder = join(root, 'folder');
  const files = tokenizerFiles(createCharacterTokenizer('abc é'));
  await saveHuggingFace(folder, { config: explicitConfig(parsed), tensors, ...files });
  return folder;
}

async function exported(config: object, dtype: 'F32' | 'BF16' = 'F32'): Promise<string> {
  const loaded = loadHuggingFace(await folderOf(config));
  const path = join(root, 'model.gguf');
  saveGguf(path, loaded, dtype);
  loaded.tensors.close();
  return path;
}

const FAMILIES: Record<string, object> = {
  llama: { model_type: 'llama' },
  'llama, tied': { model_type: 'llama', tie_word_embeddings: true },
  qwen2: { model_type: 'qwen2' },
  qwen3: { model_type: 'qwen3' },
  'llama with the positions of Llama 3': {
    model_type: 'llama',
    head_dim: 16,
    rope_theta: 500_000,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
  },
  'llama with biases': { model_type: 'llama', attention_bias: true },
  granite: {
    model_type: 'granite',
    embedding_multiplier: 12,
    residual_multiplier: 0.25,
    attention_multiplier: 0.5,
    logits_scaling: 8,
  },
  smollm3: { model_type: 'smollm3', num_hidden_layers: 5 },
  olmo2: { model_type: 'olmo2' },
  phi3: { model_type: 'phi3' },
  'phi3 with partial positions, stretched': {
    model_type: 'phi3',
    head_dim: 8,
    partial_rotary_factor: 0.75,
    original_max_position_embeddings: 32,
    rope_scaling: {
      rope_type: 'longrope',
      short_factor: [1, 1.5, 2],
      long_factor: [1, 2, 4],
      attention_factor: 1.5,
    },
  },
  qwen3_moe: {
    model_type: 'qwen3_moe',
    num_experts: 3,
    num_experts_per_tok: 2,
    moe_intermediate_size: 4,
    norm_topk_prob: true,
  },
  olmoe: { model_type: 'olmoe', num_experts: 3, num_experts_per_tok: 2 },
  gemma: { model_type: 'gemma' },
  gemma3: { model_type: 'gemma3_text', query_pre_attn_scalar: 4, sliding_window: 64 },
  'qwen2 with YaRN': {
    model_type: 'qwen2',
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 },
  },
};

describe('a model', () => {
  it.each(Object.keys(FAMILIES))('of %s comes back as it was written', async (name) => {
    const path = await exported(FAMILIES[name]);
    const [from, back] = [loadHuggingFace(join(root, 'folder')), loadGguf(path)];
    try {
      const { rope_scaling: scaling, ...rest } = parseModelConfig(from.config);
      const { torch_dtype: _, architectures: __, ...known } = rest;
      const theirs = explicitConfig(parseModelConfig(back.config));
      expect(theirs).toMatchObject(known);
      expect(theirs.rope_scaling ?? null).toEqual(
        scaling ? expect.objectContaining(scaling) : null,
      );
      expect([...back.tensors.names].sort()).toEqual([...from.tensors.names].sort());
      for (const tensor of from.tensors.names)
        expect(back.tensors.read(tensor)).toEqual(from.tensors.read(tensor));
      expect(back.tokenizerJson).toEqual(from.tokenizerJson);
    } finally {
      from.tensors.close();
      back.tensors.close();
    }
  });

  const refusals: Record<string, [(bytes: Buffer) => Buffer, string]> = {
    'that is cut off': [(b) => b.subarray(0, b.length - 400), 'truncated'],
    'that is cut off in its header': [(b) => b.subarray(0, 60), 'truncated'],
    'that is none': [() => Buffer.from('not a model at all'), 'does not begin with GGUF'],
    'that is a pointer of Git LFS': [
      () => Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
      'git lfs pull',
    ],
    'with more tensors than anyone has': [
      (b) => {
        b.writeBigUInt64LE(1n << 60n, 8);
        return b;
      },
      'the number of tensors is',
    ],
    'with a key of an endless text': [
      (b) => {
        b.writeBigUInt64LE(1n << 40n, 24);
        return b;
      },
      'bytes',
    ],
  };
  it.each(Object.keys(refusals))('%s is refused', async (what) => {
    const path = await exported({ model_type: 'llama' });
    const [change, words] = refusals[what];
    writeFileSync(path, change(readFileSync(path)));
    expect(() => loadGguf(path)).toThrow(UserError);
    expect(() => loadGguf(path)).toThrow(words);
  });

  it('of another architecture or number format is refused by name', () => {
    const write = (keys: Record<string, GgufValue>): string => {
      const path = join(root, 'other.gguf');
      writeFileSync(path, Buffer.concat([...encodeGguf(keys, [])]));
      return path;
    };
    expect(() => loadGguf(write({ 'general.architecture': 'mamba' }))).toThrow(
      'its architecture is "mamba"; llama, qwen2, qwen3',
    );
    expect(() => loadGguf(write({}))).toThrow('it has no general.architecture');
    const tensor = {
      name: 'x',
      shape: [4, 32],
      dtype: 'F32' as const,
      data: () => [new Float32Array(128)],
    };
    const path = join(root, 'iq.gguf');
    const bytes = Buffer.concat([...encodeGguf({ 'general.architecture': 'llama' }, [tensor])]);
    bytes.writeUInt32LE(20, bytes.indexOf('x', 40) + 1 + 4 + 16);
    writeFileSync(path, bytes);
    expect(() => loadGguf(path)).toThrow('is IQ4_NL; F32, F16, Q4_0');
  });
});

describe('a tokenizer', () => {
  const fail = (why: string): never => {
    throw new Error(why);
  };
  const texts = [
    'Hello, world!',
    " It's 12345 and 3.14;\n\n\tnaïve café — 你好 🙂",
    '<|im_start|>user\nhi<|im_end|>\n',
    '   spaces   ',
  ];

  it.each(['qwen', 'llama'])('of %s cuts text as before', (name) => {
    const { tokenizer: tokenizerJson, tokenizerConfig } = read(`tokenizers/${name}.json`);
    const before = openTokenizer({ tokenizerJson, tokenizerConfig });
    const keys = new Map<string, unknown>(
      Object.entries(ggufTokenizer(before, 'template', before.vocabularySize)).map(
        ([key, value]) => [key, typeof value === 'object' && 'i32s' in value ? value.i32s : value],
      ),
    );
    const back = tokenizerOf(keys, fail);
    const after = openTokenizer({ ...back, tokenizerJson: back.tokenizerJson ?? {} });
    expect(back.tokenizerConfig?.chat_template).toBe('template');
    expect(after.special).toEqual(before.special);
    for (const text of texts) {
      expect(after.encode(text)).toEqual(before.encode(text));
      expect(after.decode(after.encode(text))).toBe(before.decode(before.encode(text)));
    }
  });

  it('of SentencePiece merges by its scores', () => {
    const pieces = ['<unk>', '<s>', '</s>', '<0x41>', '▁', 'a', 'b', 'c', 'ab', 'bc', '▁ab'];
    const scores = [0, 0, 0, 0, -9, -9, -9, -9, -3, -2, -1];
    const types = [2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1];
    const keys = new Map<string, unknown>([
      ['tokenizer.ggml.model', 'llama'],
      ['tokenizer.ggml.tokens', pieces],
      ['tokenizer.ggml.scores', scores],
      ['tokenizer.ggml.token_type', types],
      ['tokenizer.ggml.bos_token_id', 1],
      ['tokenizer.ggml.eos_token_id', 2],
      ['tokenizer.ggml.unknown_token_id', 0],
    ]);
    const back = tokenizerOf(keys, fail);
    const tokenizer = openTokenizer({ ...back, tokenizerJson: back.tokenizerJson ?? {} });
    const cut = (text: string): string[] => tokenizer.encode(text).map((id) => pieces[id]);
    // "bc" scores higher than "ab", and comes first although it stands later.
    expect(cut('abc')).toEqual(['▁', 'a', 'bc']);
    expect(cut('ab')).toEqual(['▁ab']);
    expect(cut('A')).toEqual(['▁', '<0x41>']);
    expect(tokenizer.special).toMatchObject({ bos: 1, eos: 2 });
    expect(tokenizer.decode(tokenizer.encode('ab c'))).toBe('ab c');
  });

  it('that is not known here is refused by name', () => {
    const of = (more: Record<string, unknown>): (() => unknown) => {
      const keys = { model: 'gpt2', tokens: ['a'], merges: [], ...more };
      const entries = Object.entries(keys).map(([k, v]) => [`tokenizer.ggml.${k}`, v] as const);
      return () => tokenizerOf(new Map<string, unknown>(entries), fail);
    };
    expect(of({ model: 'rwkv' })).toThrow('its tokenizer is "rwkv"; gpt2, llama can be read');
    expect(of({ pre: 'chameleon' })).toThrow('by the rule "chameleon"');
    expect(of({ pre: 'qwen2', eos_token_id: 7 })).toThrow('eos_token_id is 7');
    expect(of({ tokens: [1] })).toThrow('not a list of strings');
  });
});
