/**
 * @file Some 139,000 mutated files against everything that reads what a stranger sends: models,
 * runs, recipes, usage files. Each is read, or refused with a `UserError` of one line; nothing else
 * is thrown, none takes two seconds, and the process stays small. Seeded, so a failure is found
 * again; a case prints what it was.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { UserError } from '../../src/base/errors.js';
import { canonicalJson, hashOf } from '../../src/base/files.js';
import { holderOfLock, provenHolderOfLock } from '../../src/base/lock.js';
import { Random } from '../../src/base/random.js';
import { generationDefaults } from '../../src/checkpoints/generation.js';
import { ggufTokenizer } from '../../src/checkpoints/gguf/tokenizer.js';
import { encodeGguf } from '../../src/checkpoints/gguf/write.js';
import { parseObject } from '../../src/checkpoints/model-folder.js';
import { parseSafetensors } from '../../src/checkpoints/safetensors.js';
import { encodeSafetensors, writeSafetensors } from '../../src/checkpoints/safetensors-writer.js';
import { latestSnapshot, loadSnapshot, saveSnapshot } from '../../src/checkpoints/snapshot.js';
import { openTensors } from '../../src/checkpoints/weights.js';
import { parseRules } from '../../src/ledger/book/allocation-rules.js';
import { computeBill, costRates, defaultPriceBook } from '../../src/ledger/index.js';
import { computeUsageBill } from '../../src/ledger/statement/usage.js';
import { parseModelConfig } from '../../src/models/index.js';
import { recipeSchema } from '../../src/recipe/schema.js';
import { parseLines } from '../../src/studio/log-fold.js';
import { addEvent, createRunState } from '../../src/studio/run-state.js';
import { admitReferences } from '../../src/tasks/index.js';
import { createChatTemplate } from '../../src/tokenizers/chat-template.js';
import { openTokenizer } from '../../src/tokenizers/hugging-face.js';

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

/** No reader may take longer, of processor time: the machine may be busy with other work. */
const LIMIT_MS = 2000;
/** Of the whole process, at its end. */
const MOST_BYTES = 500 * 1024 * 1024;
const startBytes = process.memoryUsage.rss();
afterAll(() => {
  expect(process.memoryUsage.rss() - startBytes).toBeLessThan(MOST_BYTES);
});

/** Reads `count` mutations; returns how many were read. */
async function fuzz(
  name: string,
  count: number,
  make: (random: Random) => string | Uint8Array,
  read: (input: never) => unknown,
): Promise<number> {
  const random = new Random(7, 'fuzz', name);
  // The tokenizer library speaks to the console of what it does not know.
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  // Most of the time goes into the traces of errors that nobody reads.
  Error.stackTraceLimit = 5;
  let sound = 0;
  for (let i = 0; i < count; i++) {
    const input = make(random);
    const fail = (why: string): never => {
      const shown = typeof input === 'string' ? input : Buffer.from(input).toString('latin1');
      throw new Error(`${name} ${i} ${why}\n${shown.slice(0, 20_000)}`);
    };
    const before = process.cpuUsage();
    try {
      const result = read(input as never);
      // To wait for each would take longer than most readers do.
      if (result instanceof Promise) await result;
      sound++;
    } catch (error) {
      if (!(error instanceof UserError)) fail(`throws ${(error as Error).stack}`);
      const { message } = error as Error;
      if (message.includes('\n') || message.length > 600) fail(`says: ${message}`);
    }
    const { user, system } = process.cpuUsage(before);
    if (user + system > 1000 * LIMIT_MS) fail(`took ${(user + system) / 1000} ms`);
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

it('safetensors: 60,000', async () => {
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
  const sound = await fuzz('safetensors', 60_000, make, (bytes: Uint8Array) => {
    const file = parseSafetensors(bytes);
    for (const name of file.tensors.keys()) {
      const { shape, data } = file.read(name);
      if (data.length !== shape.reduce((x, y) => x * y, 1))
        throw new Error(`${name}: ${data.length} numbers for [${shape}]`);
    }
  });
  between(sound, 500, 30_000);
});

it('config.json and generation_config.json: 30,000', async () => {
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
  const sound = await fuzz(
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

it('tokenizer.json and a text: 8,000', async () => {
  const { tokenizer } = JSON.parse(
    readFileSync(new URL('../fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
  );
  const vocab = Object.fromEntries(
    Object.entries(tokenizer.model.vocab as Record<string, number>).slice(0, 12),
  );
  const small = { ...tokenizer, model: { ...tokenizer.model, vocab, merges: [] } };
  const text = JSON.stringify(small);
  const sound = await fuzz(
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

it('the index: 2,000', async () => {
  for (const name of ['a', 'b']) {
    writeSafetensors(join(root, `${name}.safetensors`), [
      { name, shape: [1], data: Float32Array.of(1) },
    ]);
  }
  const text = JSON.stringify({
    metadata: { total_size: 8 },
    weight_map: { a: 'a.safetensors', b: 'b.safetensors' },
  });
  const sound = await fuzz(
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

const TEMPLATE = `{%- set ns = namespace(found=false) -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message['content'] | trim }}{%- set ns.found = true -%}
{%- elif loop.first and not ns.found -%}You are {{ "a" ~ "b" }}.{%- endif -%}
{{ '<|' + message['role'] + '|>' + message.content.split('</think>')[-1] + eos_token }}
{%- endfor -%}{%- if add_generation_prompt -%}<think>{{ range(3) | join(',') }}{%- endif -%}`;

it('chat templates: 6,000', async () => {
  const pieces = [
    ...['{%', '%}', '{{', '}}', '|', 'for x in range(999999999)', 'endfor', 'messages * 99', '~'],
    ...["'a' * 999999999", 'loop', 'set y = [y, y]', 'macro f() ', 'f()', '[0]', '.constructor'],
  ];
  const sound = await fuzz(
    'template',
    6_000,
    (random) => {
      const text = mutate(TEMPLATE, random);
      const at = random.integer(0, text.length);
      return random.chance(0.5) ? text : text.slice(0, at) + random.pick(pieces) + text.slice(at);
    },
    (text: string) =>
      createChatTemplate(text, { eos_token: '</s>' })([{ role: 'user', content: 'a' }]),
  );
  between(sound, 300, 5_700);
});

it('the headers of GGUF, of mutated tokenizers: 1,000', async () => {
  const { tokenizer } = JSON.parse(
    readFileSync(new URL('../fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
  );
  const vocab = { a: 0, b: 1, '<|im_end|>': 2 };
  const small = { ...tokenizer, model: { ...tokenizer.model, vocab, merges: [] } };
  const text = JSON.stringify({ ...small, added_tokens: [] });
  const sound = await fuzz(
    'gguf',
    1_000,
    (random) => (random.chance(0.3) ? text : mutate(text, random)),
    (mutated: string) => {
      const json = parseObject(mutated, 'tokenizer.json', 'tokenizer');
      const opened = openTokenizer({ tokenizerJson: json, config: { eos_token_id: 1 } });
      const [head] = encodeGguf(ggufTokenizer(opened, TEMPLATE, 9), []);
      expect(Buffer.from(head.subarray(0, 4)).toString()).toBe('GGUF');
    },
  );
  between(sound, 100, 900);
});

it('recipes: 8,000', async () => {
  const recipe = JSON.parse(
    readFileSync(new URL('../../recipes/r1-mini.json', import.meta.url), 'utf8'),
  );
  const text = JSON.stringify(recipe);
  const sound = await fuzz(
    'recipe',
    8_000,
    (random) => mutate(text, random),
    (mutated: string) => {
      const value = parseObject(mutated, 'recipe.json', 'recipe');
      admitReferences(value, { folder: root, project: root });
      recipeSchema().safeParse(value);
    },
  );
  between(sound, 100, 6_000);
});

const MACHINE = { cpu: 'x', cores: 1, memoryBytes: 1, platform: 'x', node: 'x' };
const LINES = [
  { type: 'started', recipe: 'x', version: '0', workers: 1, fingerprint: 'f', machine: MACHINE },
  { type: 'stage-started', stage: 'a', kind: 'grpo', steps: 3 },
  { type: 'metrics', stage: 'a', kind: 'grpo', stageStep: 1, values: { reward: 0.5, loss: 2 } },
  {
    type: 'usage',
    usage: {
      ...{ stage: 'a', purpose: 'training', wallSeconds: 1, workerSeconds: 2, tokensIn: 3 },
      ...{ tokensOut: 4, modelFlops: 5, energyJoules: 6, energyBasis: 'estimated' },
      ...{ peakMemoryBytes: 7, storedBytes: 8, basis: 'measured' },
    },
  },
  { type: 'evaluation', stage: 'b', task: 'sums', label: 'b', results: { pass1: 0.5 } },
  { type: 'resumed', fromStep: 1, version: '0', workers: 1, fingerprint: 'f', machine: MACHINE },
  { type: 'ended', reason: 'completed' },
].map((event) =>
  JSON.stringify({ attempt: 0, step: 1, time: '2026-01-01T00:00:00.000Z', ...event }),
);

it('events: 20,000', async () => {
  const rates = costRates(defaultPriceBook());
  const sound = await fuzz(
    'events',
    20_000,
    (random) => LINES.map((line) => (random.chance(0.3) ? mutate(line, random) : line)).join('\n'),
    (text: string) => {
      const { events } = parseLines(Buffer.from(`${text}\n`), rates);
      const state = createRunState();
      for (const event of events) addEvent(state, event, 64);
      if (random0.chance(0.02)) {
        const run = { name: 'x', events, unreadableLines: 0, keptBytes: 0 };
        computeBill([run], defaultPriceBook());
      }
    },
  );
  between(sound, 15_000, 20_001);
});
const random0 = new Random(1, 'bills');

it('snapshot.json, with its digest made good: 2,000', async () => {
  const foundation = { version: '0', recipeHash: 'h', seed: 1, workers: 1, fingerprint: 'f' };
  const machine = { node: 'v20', platform: 'linux x64', cpu: 'x' };
  const place = { step: 3, stageIndex: 0, stageStep: 3, attempt: 0 };
  const checkpoints = join(root, 'checkpoints');
  await saveSnapshot(join(checkpoints, '000003'), {
    state: { ...foundation, ...machine, ...place },
    tensors: { weights: [{ name: 'a', shape: [1], data: Float32Array.of(1) }] },
    json: { 'config.json': {} },
  });
  const file = join(checkpoints, '000003', 'snapshot.json');
  const text = readFileSync(file, 'utf8');
  const sound = await fuzz(
    'snapshot',
    2_000,
    (random) => {
      const mutated = mutate(text, random);
      try {
        const { digest: _, ...body } = JSON.parse(mutated);
        return JSON.stringify({ ...body, digest: hashOf(canonicalJson(body)) });
      } catch {
        return mutated;
      }
    },
    (mutated: string) => {
      writeFileSync(file, mutated);
      latestSnapshot(checkpoints);
      const { state, files, read } = loadSnapshot(join(checkpoints, '000003'));
      for (const count of [state.step, state.stageIndex, state.stageStep, state.attempt])
        if (!Number.isSafeInteger(count) || count < 0) throw new Error(`the state has ${count}`);
      for (const name of files) read(name);
    },
  );
  between(sound, 10, 1_500);
});

it('run.lock: 2,000', async () => {
  const lock = { pid: process.pid, host: hostname(), started: '', time: '2026-01-01T00:00:00Z' };
  const file = join(root, 'run.lock');
  const sound = await fuzz(
    'lock',
    2_000,
    (random) => (random.chance(0.1) ? JSON.stringify(lock) : mutate(JSON.stringify(lock), random)),
    (mutated: string) => {
      writeFileSync(file, mutated);
      // Nobody has this file open, so it must never name a process that may be signalled.
      if (provenHolderOfLock(file) !== null) throw new Error('a process is proved by text alone');
      const holder = holderOfLock(file);
      if (holder === null) throw new UserError('data', 'no holder');
      if (!Number.isInteger(holder) || holder <= 0) throw new Error(`the holder is ${holder}`);
    },
  );
  between(sound, 150, 1_900);
});

it('Parquet: 60', async () => {
  const good = readFileSync(new URL('../fixtures/ledger/focus-tags-map.parquet', import.meta.url));
  let files = 0;
  const sound = await fuzz(
    'parquet',
    60,
    (random) => {
      const bytes = Uint8Array.from(good);
      for (let k = random.integer(1, 4); k > 0; k--) {
        // The footer, which says where everything is, is at the end.
        const from = random.chance(0.5) ? bytes.length - 600 : 0;
        bytes[random.integer(Math.max(0, from), bytes.length - 1)] = random.integer(0, 255);
      }
      return random.chance(0.2) ? bytes.subarray(0, random.integer(0, bytes.length)) : bytes;
    },
    async (bytes: Uint8Array) => {
      const path = join(root, `${files++}.parquet`);
      writeFileSync(path, bytes);
      await computeUsageBill([path], { rules: parseRules({}, 'none'), threads: 1 });
    },
  );
  between(sound, 2, 60);
});
