// Load on the server: many clients at once, each streaming one completion after another, each text
// held against the one that its prompt and seed give alone.
//
//   node bench/serve-load.mjs [--clients 200] [--seconds 600] [--batch 64] [--tokens 64] [--no-blas] [--json]
//
// A model of random weights (width 96, 3 layers, printable ASCII) behind a server on a port of this
// machine; the clients are in this process, on its main thread, beside the server's. Reported:
// streams, how many were lost or wrong (the command fails if any was), tokens per second, time to
// the first token, and the memory of the process after a quarter of the time and at the end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, table, whole } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '600' },
    batch: { type: 'string', default: '64' },
    tokens: { type: 'string', default: '64' },
    'no-blas': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { saveHuggingFace } = await import('../dist/checkpoints/hugging-face.js');
const { createModel, parseModelConfig } = await import('../dist/models/index.js');
const { createService, listen } = await import('../dist/serve/index.js');
const { createReferenceBackend } = await import('../dist/tensor/backends/reference.js');
const { createCharacterTokenizer, tokenizerFiles } = await import(
  '../dist/tokenizers/character.js'
);

const [clients, seconds, tokens] = [flags.clients, flags.seconds, flags.tokens].map(Number);
/** Different prompts; each has its text computed alone before the load begins. */
const PROMPTS = 50;

const folder = mkdtempSync(join(tmpdir(), 'reckoner-load-'));
const tokenizer = createCharacterTokenizer(
  Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join(''),
);
const { bos, eos, pad } = tokenizer.special;
const config = parseModelConfig({
  model_type: 'llama',
  vocab_size: tokenizer.vocabularySize,
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  max_position_embeddings: 256,
  initializer_range: 0.1,
});
const backend = createReferenceBackend();
const model = createModel(backend, config);
model.store.initialize(1);
const tensors = await Promise.all(
  model.store.parameters.map(async ({ spec, value }) => {
    return {
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    };
  }),
);
const ids = { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad };
await saveHuggingFace(join(folder, 'model'), {
  config: { ...config, ...ids },
  tensors,
  ...tokenizerFiles(tokenizer),
});
const service = await createService({
  folder: join(folder, 'model'),
  name: 'load',
  capacity: Number(flags.batch),
  queue: clients,
  products: flags['no-blas'] ? 'wasm' : 'auto',
  usageFile: null,
});
const server = await listen(service, { port: 0, hasKeys: false });

const latencies = [];
let drawn = 0;

/** The text of prompt i, as a stream brings it. */
async function stream(i, counts) {
  const start = performance.now();
  const prompt = `${(i * 7919) % 1000} and ${'so on '.repeat(1 + (i % 8))}${i}?`;
  const body = JSON.stringify({
    model: 'load',
    prompt,
    seed: i,
    max_tokens: tokens,
    stream: true,
    stream_options: { include_usage: true },
  });
  const response = await fetch(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  if (response.status !== 200)
    throw new Error(`status ${response.status}: ${await response.text()}`);
  let text = '';
  let rest = '';
  let ended = false;
  const decoder = new TextDecoder();
  for await (const bytes of response.body) {
    if (counts && rest === '' && text === '') latencies.push(performance.now() - start);
    const events = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (event === 'data: [DONE]') {
        ended = true;
        continue;
      }
      const { choices, usage } = JSON.parse(event.slice('data: '.length));
      text += choices[0]?.text ?? '';
      if (counts && usage) drawn += usage.completion_tokens;
    }
  }
  if (!ended) throw new Error('a stream broke off');
  return text;
}

const alone = [];
for (let i = 0; i < PROMPTS; i++) alone.push(await stream(i, false));
const start = performance.now();
const until = start + seconds * 1000;
let streams = 0;
let lost = 0;
let wrong = 0;
let next = 0;
let early = 0;
const timer = setTimeout(() => {
  early = process.memoryUsage.rss();
}, seconds * 250);
await Promise.all(
  Array.from({ length: clients }, async () => {
    while (performance.now() < until) {
      const i = next++ % PROMPTS;
      streams++;
      try {
        if ((await stream(i, true)) !== alone[i]) wrong++;
      } catch (error) {
        lost++;
        process.stderr.write(`${error.message}\n`);
      }
    }
  }),
);
clearTimeout(timer);
const elapsed = (performance.now() - start) / 1000;
const late = process.memoryUsage.rss();
latencies.sort((a, b) => a - b);
const quantile = (q) =>
  latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0;
const result = {
  clients,
  seconds: elapsed,
  streams,
  lost,
  wrong,
  tokensPerSecond: drawn / elapsed,
  firstTokenMs: { median: quantile(0.5), p99: quantile(0.99) },
  memoryBytes: { early, late },
  engine: service.engine.info.backend,
};
await server.close();
rmSync(folder, { recursive: true, force: true });
const about = machine(`node bench/serve-load.mjs ${process.argv.slice(2).join(' ')}`.trim());
if (flags.json)
  console.log(JSON.stringify({ benchmark: 'serve-load', machine: about, ...result }, null, 2));
else {
  console.log('## Serving under load\n');
  console.log(`${describe(about)}\n\n${result.engine}.\n`);
  const mb = (bytes) => `${whole(bytes / 2 ** 20)} MB`;
  const head = [
    'clients',
    'seconds',
    'streams',
    'lost',
    'wrong',
    'tokens/s',
    'first token, median',
    'p99',
    'memory at a quarter',
    'at the end',
  ];
  const { median, p99 } = result.firstTokenMs;
  const cells = [
    clients,
    whole(elapsed),
    whole(streams),
    lost,
    wrong,
    whole(result.tokensPerSecond),
    `${whole(median)} ms`,
    `${whole(p99)} ms`,
  ];
  console.log(`${table(head, [[...cells, mb(early), mb(late)].map(String)])}\n`);
}
if (lost + wrong > 0) process.exitCode = 1;
