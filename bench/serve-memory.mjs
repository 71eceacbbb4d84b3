/**
 * @file The most memory that `reckoner serve` takes while 200 clients each send a schema of the
 * largest size that is admitted, all different.
 *
 *   node bench/serve-memory.mjs [--clients 200] [--vocabulary 16000] [--batch 64] [--only <kind>]
 *
 * A server is started on a small random model with a byte-level vocabulary, in a process of its
 * own. Its resident memory is read from /proc before and after, and its high-water mark (VmHWM)
 * last. Each of the kinds of schema below fills the limits in another way: bytes, rules, states.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { saveHuggingFace } from '../dist/checkpoints/hugging-face.js';
import { createModel, parseModelConfig, transformersClass } from '../dist/models/index.js';
import { createReferenceBackend } from '../dist/tensor/backends/reference.js';
import { BYTE_LETTERS } from '../dist/tokenizers/patterns.js';

const { values: options } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    vocabulary: { type: 'string', default: '16000' },
    batch: { type: 'string', default: '64' },
    /** One kind of schema by its name, on a server of its own. */
    only: { type: 'string' },
  },
});
const clients = Number(options.clients);
const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
/** Bytes of a schema's JSON (src/serve/requests.ts). */
const MOST_SCHEMA_BYTES = 128 * 1024;

/** Bytes, and random letters up to a size: the masks of a grammar grow with it. */
function tokenizerFile(size) {
  const vocab = Object.fromEntries(BYTE_LETTERS.map((letter, id) => [letter, id]));
  let state = 1;
  const letter = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return String.fromCharCode(97 + ((state >>> 16) % 26));
  };
  while (Object.keys(vocab).length < size - 1) {
    const word = Array.from({ length: 2 + (state % 6) }, letter).join('');
    vocab[word] ??= Object.keys(vocab).length;
  }
  vocab['<eos>'] = size - 1;
  return {
    version: '1.0',
    added_tokens: [{ id: size - 1, content: '<eos>', special: true, normalized: false }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges: [] },
  };
}

async function writeModel(folder, size) {
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: size,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 256,
  });
  const backend = createReferenceBackend();
  const model = createModel(backend, config);
  model.store.initialize(7);
  const tensors = [];
  for (const { spec, value } of model.store.parameters)
    tensors.push({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    });
  await saveHuggingFace(folder, {
    config: { ...config, eos_token_id: size - 1, architectures: [transformersClass(config)] },
    tensors,
    tokenizer: tokenizerFile(size),
    tokenizerConfig: { eos_token: '<eos>', chat_template: '{{ messages[0].content }}' },
    specialTokensMap: { eos_token: '<eos>' },
  });
  await backend.close();
}

/** A list of parts, as many as stay within the bytes. */
function filled(make, wrap) {
  const parts = [];
  let bytes = JSON.stringify(wrap([])).length;
  for (let k = 0; ; k++) {
    const part = make(k);
    bytes += JSON.stringify(part).length + 1;
    if (bytes > MOST_SCHEMA_BYTES) return wrap(parts);
    parts.push(part);
  }
}

const word = (i, k, length) => `${i}-${k}-`.padEnd(length, 'abcdefghijklmnopqrstuvwxyz');
const object = (names) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string', maxLength: 9 }])),
});
/** What a client sends, by its number; each name has another way to fill the limits. */
const KINDS = {
  'one long word': (i) => ({ enum: [word(i, 0, MOST_SCHEMA_BYTES - 20)] }),
  'many words': (i) =>
    filled(
      (k) => word(i, k, 40),
      (words) => ({ enum: words }),
    ),
  'many properties': (i) => object(Array.from({ length: 1800 }, (_, k) => word(i, k, 30))),
  'many alternatives': (i) =>
    filled(
      (k) => object([word(i, k, 20), 'b']),
      (anyOf) => ({ anyOf }),
    ),
  'long counts': (i) => ({
    type: 'array',
    items: { type: 'string', minLength: i % 7, maxLength: 4000 + i },
    maxItems: 4000,
  }),
};

const memoryOf = (pid, field) =>
  Number(
    new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(
      readFileSync(`/proc/${pid}/status`, 'utf8'),
    )?.[1],
  ) / 1024;

const folder = mkdtempSync(join(tmpdir(), 'reckoner-memory-'));
await writeModel(join(folder, 'model'), Number(options.vocabulary));
const server = spawn(
  process.execPath,
  [
    MAIN,
    'serve',
    join(folder, 'model'),
    ...['--name', 'm', '--port', '0', '--json', '--no-usage', '--batch', options.batch],
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
let text = '';
const { url, pid } = await new Promise((resolve) => {
  server.stdout.on('data', (part) => {
    text += part;
    try {
      resolve(JSON.parse(text));
    } catch {
      // Not all of it yet.
    }
  });
});
console.log(
  `${clients} clients, ${options.vocabulary} tokens, ${options.batch} completions at once, Node ${process.version}`,
);
console.log(`at rest: ${memoryOf(pid, 'VmRSS').toFixed(0)} MB`);
console.log('| schema | bytes | statuses | seconds | resident after, MB |');
console.log('|---|---:|---|---:|---:|');
for (const [name, make] of Object.entries(KINDS)) {
  if (options.only !== undefined && name !== options.only) continue;
  const start = performance.now();
  const seen = {};
  let bytes = 0;
  await Promise.all(
    Array.from({ length: clients }, async (_, i) => {
      const schema = make(i);
      bytes = Math.max(bytes, JSON.stringify(schema).length);
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        // A connection each: a client of its own.
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({
          model: 'm',
          messages: [{ role: 'user', content: 'a' }],
          max_tokens: 4,
          response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
        }),
      });
      await response.text();
      seen[response.status] = (seen[response.status] ?? 0) + 1;
    }),
  );
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const row = [name, bytes, JSON.stringify(seen), seconds, memoryOf(pid, 'VmRSS').toFixed(0)];
  console.log(`| ${row.join(' | ')} |`);
}
const health = await fetch(`${url}/healthz`);
console.log(`high-water mark: ${memoryOf(pid, 'VmHWM').toFixed(0)} MB; /healthz ${health.status}`);
server.kill('SIGTERM');
rmSync(folder, { recursive: true, force: true });
process.exitCode = health.status === 200 ? 0 : 1;
