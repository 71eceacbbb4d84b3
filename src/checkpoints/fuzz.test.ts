/**
 * @file 100,000 mutated files against everything that reads a stranger's model folder: each is
 * read, or refused with a `UserError` of one line; nothing else is thrown. Seeded, so a failure is
 * found again; a case prints what it was.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { parseModelConfig } from '../models/index.js';
import { openTokenizer } from '../tokenizers/hugging-face.js';
import { generationDefaults } from './generation.js';
import { parseObject } from './model-folder.js';
import { parseSafetensors } from './safetensors.js';
import { encodeSafetensors, writeSafetensors } from './safetensors-writer.js';
import { openTensors } from './weights.js';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-fuzz-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

// biome-ignore format: a bag of pieces
const SNIPPETS = [
  '-1', '0', '4', '1e400', '1e308', '9007199254740993', '""', '{}', '[]', '[', ']', '{', '}', ',', ':', '\\', '"', 'null', 'true',
  '__proto__', 'constructor', '\\u0000', '\\ud800', ' ', '../', '/etc/passwd', 'BF16', 'F8_E4M3', 'I64', 'yarn', 'llama3', 'Split', 'Regex',
];

/** One to three snippets in place of what is somewhere. */
function mutate(text: string, random: Random): string {
  let out = text;
  for (let k = random.integer(1, 3); k > 0; k--) {
    const at = random.integer(0, out.length);
    out = out.slice(0, at) + random.pick(SNIPPETS) + out.slice(at + random.integer(0, 6));
  }
  return out;
}

/** Reads `count` mutations; returns how many were read. */
function fuzz(
  name: string,
  count: number,
  make: (random: Random) => string | Uint8Array,
  read: (input: never) => void,
): number {
  const random = new Random(7, 'fuzz', name);
  // The tokenizer library speaks to the console of what it does not know.
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  // Most of the time goes into the traces of errors that nobody reads.
  Error.stackTraceLimit = 5;
  let sound = 0;
  for (let i = 0; i < count; i++) {
    const input = make(random);
    try {
      read(input as never);
      sound++;
    } catch (error) {
      const shown = typeof input === 'string' ? input : Buffer.from(input).toString('latin1');
      if (!(error instanceof UserError))
        throw new Error(`${name} ${i}: ${(error as Error).stack}\n${shown}`);
      if (error.message.includes('\n') || error.message.length > 600)
        throw new Error(`${name} ${i} says: ${error.message}\n${shown}`);
    }
  }
  return sound;
}

/**
 * Some mutations do no harm, and most do: a reader that takes all or nothing is not being tested.
 */
const between = (sound: number, low: number, high: number): void => {
  expect(sound).toBeGreaterThan(low);
  expect(sound).toBeLessThan(high);
};

it('safetensors: 60,000', () => {
  const tensors = [
    { name: 'a', shape: [2, 3], data: new Float32Array(6) },
    { name: 'b', shape: [1], data: new Float32Array(1) },
  ];
  const good = Buffer.concat([...encodeSafetensors(tensors, 'F32', { format: 'pt' })]);
  const length = Number(good.readBigUInt64LE());
  const header = good.toString('utf8', 8, 8 + length);
  const make = (random: Random): Uint8Array => {
    if (random.chance(0.4)) {
      // Bytes anywhere: length, header or data; sometimes cut.
      const bytes = Uint8Array.from(good);
      for (let k = random.integer(1, 3); k > 0; k--)
        bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
      return random.chance(0.2) ? bytes.subarray(0, random.integer(0, bytes.length)) : bytes;
    }
    const text = Buffer.from(mutate(header, random));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([size, text, good.subarray(8 + length)]);
  };
  const sound = fuzz('safetensors', 60_000, make, (bytes: Uint8Array) => {
    const file = parseSafetensors(bytes);
    for (const name of file.tensors.keys()) {
      const { shape, data } = file.read(name);
      if (data.length !== shape.reduce((x, y) => x * y, 1))
        throw new Error(`${name}: ${data.length} numbers for [${shape}]`);
    }
  });
  between(sound, 500, 30_000);
});

it('config.json and generation_config.json: 30,000', () => {
  const configs = [
    {
      model_type: 'llama',
      rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    },
    {
      model_type: 'qwen2',
      rope_parameters: { rope_type: 'yarn', factor: 4, rope_theta: 1e6 },
      layer_types: ['full_attention'],
    },
    {
      model_type: 'qwen3',
      head_dim: 4,
      tie_word_embeddings: true,
      eos_token_id: [1, 2],
      do_sample: true,
      temperature: 0.6,
    },
  ];
  const sizes = {
    vocab_size: 9,
    hidden_size: 8,
    intermediate_size: 6,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  };
  const texts = configs.map((config) => JSON.stringify({ ...sizes, ...config }));
  const sound = fuzz(
    'config',
    30_000,
    (random) => mutate(random.pick(texts), random),
    (text: string) => {
      const json = parseObject(text, 'config.json', 'model configuration');
      generationDefaults(json);
      parseModelConfig(json);
    },
  );
  between(sound, 200, 11_000);
});

it('tokenizer.json and a text: 8,000', () => {
  const { tokenizer } = JSON.parse(
    readFileSync(new URL('../../test/fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
  );
  const vocab = Object.fromEntries(
    Object.entries(tokenizer.model.vocab as Record<string, number>).slice(0, 12),
  );
  const small = { ...tokenizer, model: { ...tokenizer.model, vocab, merges: [] } };
  const text = JSON.stringify(small);
  const sound = fuzz(
    'tokenizer',
    8_000,
    (random) => mutate(text, random),
    (mutated: string) => {
      const json = parseObject(mutated, 'tokenizer.json', 'tokenizer');
      const opened = openTokenizer({ tokenizerJson: json, config: { eos_token_id: 1 } });
      opened.decode(opened.encode('a1 <think>'));
    },
  );
  between(sound, 60, 4_000);
});

it('the index: 2,000', () => {
  for (const name of ['a', 'b']) {
    writeSafetensors(join(root, `${name}.safetensors`), [
      { name, shape: [1], data: Float32Array.of(1) },
    ]);
  }
  const text = JSON.stringify({
    metadata: { total_size: 8 },
    weight_map: { a: 'a.safetensors', b: 'b.safetensors' },
  });
  const sound = fuzz(
    'index',
    2_000,
    (random) => mutate(text, random),
    (mutated: string) => {
      writeFileSync(join(root, 'model.safetensors.index.json'), mutated);
      const reader = openTensors(root);
      for (const name of reader.names) reader.read(name);
      reader.close();
    },
  );
  between(sound, 10, 480);
});
