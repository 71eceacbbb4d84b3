import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { parametersOf, parseModelConfig } from '../../models/index.js';
import { createCharacterTokenizer, tokenizerFiles } from '../../tokenizers/character.js';
import { openTokenizer } from '../../tokenizers/hugging-face.js';
import { BYTE_LETTERS } from '../../tokenizers/patterns.js';
import { loadHuggingFace, saveHuggingFace } from '../hugging-face.js';
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../numbers.js';
import { ggufModel, saveGguf } from './save.js';
import { ggufTokenizer } from './tokenizer.js';
import { encodeGguf } from './write.js';

/**
 * A reader of its own, by the format's description: sizes innermost first, everything at multiples
 * of 32 bytes.
 */
function readGguf(bytes: Buffer) {
  let at = 0;
  const step = (n: number): number => {
    at += n;
    return at - n;
  };
  const u64 = (): number => Number(bytes.readBigUInt64LE(step(8)));
  const text = (): string => {
    const length = u64();
    return bytes.toString('utf8', at, step(length) + length);
  };
  const value = (type: number): unknown => {
    if (type === 4) return bytes.readUInt32LE(step(4));
    if (type === 5) return bytes.readInt32LE(step(4));
    if (type === 6) return bytes.readFloatLE(step(4));
    if (type === 7) return bytes[step(1)] === 1;
    if (type === 8) return text();
    if (type !== 9) throw new Error(`value type ${type}`);
    const of = bytes.readUInt32LE(step(4));
    return Array.from({ length: u64() }, () => value(of));
  };
  expect(bytes.toString('latin1', 0, step(4) + 4)).toBe('GGUF');
  expect(bytes.readUInt32LE(step(4))).toBe(3);
  const [tensorCount, keyCount] = [u64(), u64()];
  const keys: Record<string, unknown> = {};
  for (let i = 0; i < keyCount; i++) {
    const key = text();
    keys[key] = value(bytes.readUInt32LE(step(4)));
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const sizes = Array.from({ length: bytes.readUInt32LE(step(4)) }, u64);
    return { name, sizes, type: bytes.readUInt32LE(step(4)), offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  const tensors: Record<string, { sizes: number[]; type: number; data: Float32Array }> = {};
  for (const { name, sizes, type, offset } of infos) {
    expect(offset % 32).toBe(0);
    const count = sizes.reduce((a, b) => a * b, 1);
    const raw = new Uint8Array(
      bytes.subarray(start + offset, start + offset + count * (type === 0 ? 4 : 2)),
    ).buffer;
    const data =
      type === 0
        ? new Float32Array(raw)
        : (type === 1 ? fromFloat16 : fromBfloat16)(new Uint16Array(raw));
    tensors[name] = { sizes, type, data };
  }
  return { keys, tensors };
}

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-gguf-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const fixture = (name: string) =>
  JSON.parse(
    readFileSync(
      new URL(`../../../test/fixtures/tokenizers/${name}.json`, import.meta.url),
      'utf8',
    ),
  );

async function exported(
  config: object,
  tensors: Record<string, number[]>,
  dtype: 'F32' | 'F16' | 'BF16' = 'F32',
) {
  const { tokenizer, tokenizerConfig } = tokenizerFiles(createCharacterTokenizer('a é'));
  const data = (name: string, shape: readonly number[]): Float32Array =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + name.length / 64);
  const list = Object.entries(tensors).map(([name, shape]) => ({
    name,
    shape,
    data: data(name, shape),
  }));
  await saveHuggingFace(join(root, 'm'), {
    config: { vocab_size: 10, ...config },
    tensors: list,
    tokenizer,
    tokenizerConfig,
  });
  const loaded = loadHuggingFace(join(root, 'm'));
  try {
    const path = join(root, 'm.gguf');
    saveGguf(path, loaded, dtype);
    return {
      ...readGguf(readFileSync(path)),
      source: Object.fromEntries(list.map((t) => [t.name, t.data])),
    };
  } finally {
    loaded.tensors.close();
  }
}

const config = {
  hidden_size: 8,
  intermediate_size: 6,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 32,
};
const layer = (name: string): string => `model.layers.0.${name}`;
const tensors = {
  'model.embed_tokens.weight': [10, 8],
  'model.norm.weight': [8],
  'lm_head.weight': [10, 8],
  [layer('input_layernorm.weight')]: [8],
  [layer('post_attention_layernorm.weight')]: [8],
  [layer('self_attn.q_proj.weight')]: [8, 8],
  [layer('self_attn.k_proj.weight')]: [4, 8],
  [layer('self_attn.v_proj.weight')]: [4, 8],
  [layer('self_attn.o_proj.weight')]: [8, 8],
  [layer('mlp.gate_proj.weight')]: [6, 8],
  [layer('mlp.up_proj.weight')]: [6, 8],
  [layer('mlp.down_proj.weight')]: [8, 6],
};

describe('a model as GGUF', () => {
  it('has the sizes under llama.cpp’s keys and its own numbers under llama.cpp’s names', async () => {
    const {
      keys,
      tensors: out,
      source,
    } = await exported({ ...config, model_type: 'llama', rope_theta: 500 }, tensors);
    expect(keys).toMatchObject({
      'general.architecture': 'llama',
      'llama.block_count': 1,
      'llama.attention.head_count_kv': 1,
      'llama.attention.key_length': 4,
      'llama.rope.freq_base': 500,
      'llama.context_length': 32,
      'tokenizer.ggml.add_bos_token': true,
      'tokenizer.ggml.eos_token_id': 2,
    });
    expect(Object.keys(out)).toHaveLength(12);
    expect(out['blk.0.ffn_down.weight']).toMatchObject({
      sizes: [6, 8],
      type: 0,
      data: source[layer('mlp.down_proj.weight')],
    });
    expect(out['output.weight'].data).toEqual(source['lm_head.weight']);
    // Rows of a head of four: halves (0 1 | 2 3) become neighbours (0 2 1 3).
    const rows = (data: Float32Array): number[] =>
      Array.from({ length: data.length / 8 }, (_, r) => Math.floor(data[r * 8] / 8));
    expect(rows(out['blk.0.attn_q.weight'].data)).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
    expect(rows(out['blk.0.attn_k.weight'].data)).toEqual([0, 2, 1, 3]);
    expect(rows(out['blk.0.attn_v.weight'].data)).toEqual([0, 1, 2, 3]);
  });

  it('leaves Qwen’s rows where they are, has its biases, and rounds matrices but no vectors', async () => {
    const biases = { q: 8, k: 4, v: 4 };
    const more = Object.fromEntries(
      Object.entries(biases).map(([p, n]) => [layer(`self_attn.${p}_proj.bias`), [n]]),
    );
    const qwen = { ...config, model_type: 'qwen2', tie_word_embeddings: true };
    for (const [dtype, type, there] of [
      ['BF16', 30, (x: Float32Array) => fromBfloat16(toBfloat16(x))],
      ['F16', 1, (x: Float32Array) => fromFloat16(toFloat16(x))],
    ] as const) {
      const { tensors: out, source } = await exported(qwen, { ...tensors, ...more }, dtype);
      expect(out['output.weight']).toBeUndefined();
      const q = source[layer('self_attn.q_proj.weight')];
      expect(out['blk.0.attn_q.weight']).toEqual({ sizes: [8, 8], type, data: there(q) });
      expect(out['blk.0.attn_q.bias']).toEqual({
        sizes: [8],
        type: 0,
        data: source[layer('self_attn.q_proj.bias')],
      });
      expect(out['output_norm.weight'].type).toBe(0);
    }
  });

  it('says how positions are stretched', async () => {
    const rope = (rope_scaling: object) =>
      exported({ ...config, model_type: 'llama', rope_scaling }, tensors);
    const linear = await rope({ type: 'linear', factor: 3 });
    expect(linear.keys).toMatchObject({
      'llama.rope.scaling.type': 'linear',
      'llama.rope.scaling.factor': 3,
    });
    const bounds = {
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    };
    const llama3 = await rope({ rope_type: 'llama3', factor: 8, ...bounds });
    // One pair turns 5 times in 32 positions, and is left alone; the other 0.05 times, and is
    // slowed by 8.
    expect([...llama3.tensors['rope_freqs.weight'].data]).toEqual([1, 8]);
    await expect(rope({ type: 'yarn', factor: 2, attention_factor: 1.5 })).rejects.toThrow(
      'attention_factor 1.5 has no key in GGUF',
    );
  });

  it('of DeepSeek-V3 has experts as one tensor and keys apart from values, and leaves the prediction module out', async () => {
    const latent = {
      ...config,
      model_type: 'deepseek_v3',
      num_hidden_layers: 2,
      q_lora_rank: 3,
      kv_lora_rank: 3,
      qk_nope_head_dim: 2,
      qk_rope_head_dim: 4,
      v_head_dim: 1,
      n_routed_experts: 2,
      num_experts_per_tok: 1,
      moe_intermediate_size: 2,
      first_k_dense_replace: 1,
      num_nextn_predict_layers: 1,
      routed_scaling_factor: 2.5,
      rope_scaling: {
        type: 'yarn',
        factor: 4,
        original_max_position_embeddings: 8,
        mscale: 0.5,
        mscale_all_dim: 0.5,
      },
    };
    const shapes = (more: object) =>
      Object.fromEntries(
        parametersOf(parseModelConfig({ vocab_size: 10, ...latent, ...more })).map((s) => [
          s.name,
          [...s.shape],
        ]),
      );
    const { keys, tensors: out, source } = await exported(latent, shapes({}), 'BF16');
    expect(keys).toMatchObject({
      'general.architecture': 'deepseek2',
      'deepseek2.block_count': 2,
      'deepseek2.leading_dense_block_count': 1,
      'deepseek2.attention.head_count_kv': 1,
      'deepseek2.attention.key_length': 7,
      'deepseek2.attention.key_length_mla': 6,
      'deepseek2.attention.value_length_mla': 1,
      'deepseek2.expert_count': 2,
      'deepseek2.expert_weights_scale': 2.5,
      'deepseek2.expert_gating_func': 2,
      'deepseek2.rope.scaling.yarn_log_multiplier': Math.fround(0.05),
    });
    expect(Object.keys(out).filter((name) => name.startsWith('blk.2.'))).toEqual([]);
    // Of each of two heads two rows of keys, whose columns become rows, and a row of values.
    const up = fromBfloat16(toBfloat16(source['model.layers.1.self_attn.kv_b_proj.weight']));
    const at = (order: number[]): Float32Array => Float32Array.from(order, (i) => up[i]);
    expect(out['blk.1.attn_k_b.weight']).toMatchObject({
      sizes: [2, 3, 2],
      data: at([0, 3, 1, 4, 2, 5, 9, 12, 10, 13, 11, 14]),
    });
    expect(out['blk.1.attn_v_b.weight']).toMatchObject({
      sizes: [3, 1, 2],
      data: at([6, 7, 8, 15, 16, 17]),
    });
    const experts = [0, 1].flatMap((e) => [
      ...source[`model.layers.1.mlp.experts.${e}.down_proj.weight`],
    ]);
    expect(out['blk.1.ffn_down_exps.weight']).toMatchObject({
      sizes: [2, 8, 2],
      data: fromBfloat16(toBfloat16(Float32Array.from(experts))),
    });
    expect(out['blk.1.ffn_gate_inp.weight'].type).toBe(0);
    expect(out['blk.1.exp_probs_b.bias'].data).toEqual(
      source['model.layers.1.mlp.gate.e_score_correction_bias'],
    );
    // Where angles turn halves, only what is turned is put in order.
    const halves = await exported({ ...latent, rope_interleave: false }, shapes({}));
    const rows = (data: Float32Array, columns: number): number[] =>
      Array.from({ length: data.length / columns }, (_, r) =>
        Math.floor(data[r * columns] / columns),
      );
    expect(rows(halves.tensors['blk.0.attn_kv_a_mqa.weight'].data, 8)).toEqual([
      0, 1, 2, 3, 5, 4, 6,
    ]);
    expect(rows(halves.tensors['blk.0.attn_q_b.weight'].data, 3)).toEqual([
      0, 1, 2, 4, 3, 5, 6, 7, 8, 10, 9, 11,
    ]);
  });

  it.each([
    [
      'q_lora_rank',
      { q_lora_rank: null },
      /q_lora_rank is null in a model of 1 layers; .*\(deepseek2\.attention\.q_lora_rank\)/,
    ],
    [
      'rms_norm_eps',
      { rms_norm_eps: 1e-5 },
      /rms_norm_eps 0.00001 has no key in GGUF; it must be 0.000001/,
    ],
    ['n_group', { n_group: 2, topk_group: 1 }, /n_group 2 has no key in GGUF/],
    [
      'mscale',
      { rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 8 } },
      /rope_scaling.mscale/,
    ],
  ])(
    'of DeepSeek-V3 that llama.cpp would compute otherwise is refused by %s',
    (_field, more, message) => {
      const latent = {
        model_type: 'deepseek_v3',
        vocab_size: 10,
        q_lora_rank: 3,
        kv_lora_rank: 3,
        qk_nope_head_dim: 2,
        qk_rope_head_dim: 4,
        v_head_dim: 1,
        n_routed_experts: 2,
        num_experts_per_tok: 1,
        moe_intermediate_size: 2,
      };
      const own = parseModelConfig({ ...config, ...latent, ...more });
      const reader = { shape: () => [1], read: () => ({ data: new Float32Array(1) }) } as never;
      expect(() => ggufModel('m', own, reader, 'F32')).toThrow(message);
    },
  );

  it('refuses numbers that F16 cannot hold, and sizes that are not what is given', () => {
    const tensor = {
      name: 'w',
      shape: [1, 2],
      dtype: 'F16' as const,
      data: () => [Float32Array.of(1, 7e4)],
    };
    expect(() => [...encodeGguf({}, [tensor])]).toThrow(
      'w has numbers beyond ±65504, which F16 cannot hold; use bf16 or f32',
    );
    expect(() => [...encodeGguf({}, [{ ...tensor, dtype: 'F32', shape: [3] }])]).toThrow(
      'w has 2 numbers',
    );
  });
});

describe('a tokenizer as GGUF', () => {
  it('of characters is one of bytes, with merges that make up a character', () => {
    const keys = ggufTokenizer(createCharacterTokenizer('a é∎'), null, 11);
    expect(keys['tokenizer.ggml.tokens']).toEqual([
      ...['<pad>', '<bos>', '<eos>', '<think>', '</think>', '<answer>', '</answer>'],
      ...['Ġ', 'a', 'Ã©', 'âĪİ'],
    ]);
    expect(keys['tokenizer.ggml.merges']).toEqual(['Ã ©', 'â Ī', 'âĪ İ']);
    expect(keys['tokenizer.ggml.token_type']).toEqual({ i32s: [3, 3, 3, 4, 4, 4, 4, 1, 1, 1, 1] });
  });

  it('of bytes is as it was, with tokens for the rows beyond it', () => {
    const { tokenizer: tokenizerJson, tokenizerConfig } = fixture('qwen');
    const tokenizer = openTokenizer({ tokenizerJson, tokenizerConfig });
    const keys = ggufTokenizer(tokenizer, 'template', tokenizer.vocabularySize + 2);
    const tokens = keys['tokenizer.ggml.tokens'] as string[];
    expect(keys).toMatchObject({
      'tokenizer.ggml.pre': 'qwen2',
      'tokenizer.ggml.add_bos_token': false,
    });
    expect(keys['tokenizer.chat_template']).toBe('template');
    expect(tokens.slice(-2)).toEqual([`[PAD${tokens.length - 2}]`, `[PAD${tokens.length - 1}]`]);
    expect(tokens.indexOf('<|im_end|>')).toBe(tokenizer.special.eos);
    expect(fixture('llama').tokenizer.model.merges).toHaveLength(
      (keys['tokenizer.ggml.merges'] as string[]).length,
    );
  });

  it('that llama.cpp has no word for is refused by what stands in the way', () => {
    const { tokenizer: json } = fixture('qwen');
    const say = (more: object): string => {
      const config = { eos_token_id: 0 };
      try {
        ggufTokenizer(openTokenizer({ tokenizerJson: { ...json, ...more }, config }), null, 400);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        return (error as Error).message;
      }
      return '';
    };
    expect(say({ normalizer: { type: 'Lowercase' } })).toContain(
      'its normalizer has a step "Lowercase"',
    );
    expect(say({ pre_tokenizer: { type: 'Whitespace' } })).toContain(
      'its pre_tokenizer has a step "Whitespace"',
    );
    const split = { type: 'Split', pattern: { Regex: 'x+' }, behavior: 'Isolated', invert: false };
    const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
    const sequence = { type: 'Sequence', pretokenizers: [split, bytes] };
    expect(say({ pre_tokenizer: sequence })).toContain(
      'the pattern "x+" of its pre_tokenizer has no name there',
    );
  });

  it('has the names of its makers, however the file writes the same thing', () => {
    const { tokenizer: json } = fixture('qwen');
    const name = (normalizer: unknown, steps: unknown[]): unknown => {
      const tokenizerJson = {
        ...json,
        normalizer,
        pre_tokenizer: { type: 'Sequence', pretokenizers: steps },
      };
      const opened = openTokenizer({ tokenizerJson, config: { eos_token_id: 0 } });
      return ggufTokenizer(opened, null, 400)['tokenizer.ggml.pre'];
    };
    const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' });
    const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
    const empty = { type: 'Sequence', normalizers: [] };
    // As in DeepSeek-V3's own file: real carriage returns and line feeds.
    const deepseek = [
      split('\\p{N}{1,3}'),
      split('[一-龥\u3040-ゟ゠-ヿ]+'),
      split(
        '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
      ),
      bytes,
    ];
    expect(name(empty, deepseek)).toBe('deepseek-v3');
    const digits = { type: 'Digits', individual_digits: true };
    expect(name(null, [digits, { ...bytes, use_regex: true }])).toBe('smollm');
    expect(name(empty, [{ ...bytes, use_regex: true }])).toBe('gpt-2');
    expect(() => name(null, [digits, bytes])).toThrow('has no name there');
  });

  it('has a letter for every byte', () => {
    expect(new Set(BYTE_LETTERS).size).toBe(256);
    expect([0x20, 0x0a, 0x41, 0xad].map((b) => BYTE_LETTERS[b])).toEqual(['Ġ', 'Ċ', 'A', 'Ń']);
  });
});
