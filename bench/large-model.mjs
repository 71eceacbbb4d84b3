// A model of a published shape with random weights, by the commands a user types: it loads,
// answers, and takes a GRPO step that trains a LoRA adapter over the frozen weights. Prints tokens
// per second, the time of each part and the peak memory of each process.
//
//   node bench/large-model.mjs [--shape qwen3-0.6b | r1-distill-qwen-1.5b] [--folder DIR | FILE.gguf]
//     [--layers 28] [--tokens 256] [--workers 2] [--json]
//
// A BF16 folder (1.2 or 3.6 GB) is made where it is missing; without --folder in a temporary folder
// that is deleted at the end. For other formats: reckoner export --to gguf --dtype bf16, and
// peers/gguf_quantize.py. The step is 4 completions of 256 tokens, two groups of two so that two
// workers share them, after one supervised step: from the base itself the reference policy equals
// the policy and random weights earn no reward, so there would be no gradient. Random weights cost
// what trained ones cost.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, root, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    folder: { type: 'string' },
    shape: { type: 'string', default: 'qwen3-0.6b' },
    layers: { type: 'string', default: '28' },
    tokens: { type: 'string', default: '256' },
    workers: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { saveHuggingFace } = await import('../dist/checkpoints/hugging-face.js');
const { parametersOf, parseModelConfig } = await import('../dist/models/index.js');
const { createTask } = await import('../dist/tasks/index.js');
const { createCharacterTokenizer, tokenizerFiles } = await import(
  '../dist/tokenizers/character.js'
);

const TASK = { name: 'sums', maximum: 99, terms: [2, 3] };
const SHAPES = {
  'qwen3-0.6b': {
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    hidden_size: 1024,
    intermediate_size: 3072,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    max_position_embeddings: 40960,
    rope_theta: 1000000,
    tie_word_embeddings: true,
  },
  'r1-distill-qwen-1.5b': {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    hidden_size: 1536,
    intermediate_size: 8960,
    num_attention_heads: 12,
    num_key_value_heads: 2,
    max_position_embeddings: 131072,
    rope_theta: 10000,
    tie_word_embeddings: false,
  },
};
const CONFIG = {
  ...SHAPES[flags.shape],
  vocab_size: 151936,
  num_hidden_layers: Number(flags.layers),
  head_dim: 128,
  rms_norm_eps: 1e-6,
};

/** Numbers of a normal distribution's spread, a few megabytes at a time. */
function* numbers(size, init, salt) {
  let state = salt;
  for (let from = 0; from < size; from += 1 << 20) {
    const data = new Float32Array(Math.min(1 << 20, size - from));
    if (init === 'ones') data.fill(1);
    else {
      const scale = (Math.sqrt(3) * init) / 2 ** 31;
      for (let i = 0; i < data.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        data[i] = state * scale;
      }
    }
    yield data;
  }
}

async function makeFolder(folder) {
  const tokenizer = createCharacterTokenizer(createTask(TASK).alphabet);
  const { bos, eos, pad } = tokenizer.special;
  const config = { ...CONFIG, bos_token_id: bos, eos_token_id: eos, pad_token_id: pad };
  const tensors = parametersOf(parseModelConfig(config)).map(({ name, shape, init }, i) => ({
    name,
    shape,
    data: numbers(
      shape.reduce((a, b) => a * b, 1),
      init,
      i + 1,
    ),
  }));
  return saveHuggingFace(folder, { config, tensors, dtype: 'BF16', ...tokenizerFiles(tokenizer) });
}

/**
 * Runs the command; gives its JSON document, wall seconds, and the most memory that the process
 * held.
 */
function reckoner(...args) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(process.execPath, [`${root}dist/cli/main.js`, ...args, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err, peakKb] = ['', '', 0];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    const watch = setInterval(() => {
      try {
        peakKb = Number(
          /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? peakKb,
        );
      } catch {
        // Not Linux, or just gone.
      }
    }, 200);
    child.on('close', (code) => {
      clearInterval(watch);
      if (code !== 0)
        reject(new Error(`reckoner ${args.join(' ')}: ${err.slice(-2000)}${out.slice(-2000)}`));
      else
        resolve({
          document: JSON.parse(out),
          seconds: (performance.now() - start) / 1000,
          peakGb: peakKb / 1e6,
        });
    });
  });
}

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-large-'));
const results = {};
try {
  const folder = flags.folder ?? join(scratch, 'base');
  if (!folder.endsWith('.gguf') && !existsSync(join(folder, 'config.json'))) {
    const { parameters, bytes } = await makeFolder(folder);
    console.error(
      `made ${folder}: ${(parameters / 1e6).toFixed(1)}M parameters, ${(bytes / 1e9).toFixed(2)} GB`,
    );
  }
  const chat = await reckoner('chat', folder, '--prompt', '12+34=', '--max-tokens', '32');
  const { seconds, tokens } = chat.document;
  results.chat = {
    tokensPerSecond: tokens.completion / seconds,
    loadSeconds: chat.seconds - seconds,
    peakGb: chat.peakGb,
  };

  const recipe = {
    name: 'large',
    init: { from: folder },
    adapter: { kind: 'lora', rank: 8, alpha: 16, targets: 'all-linear' },
    recompute: true,
    microBatchTokens: 2048,
    task: TASK,
    stages: [
      { id: 'sft', kind: 'sft', steps: 1, batch: 4, schedule: { kind: 'constant' } },
      {
        id: 'rl',
        kind: 'grpo',
        steps: 1,
        prompts: 2,
        samples: 2,
        maxTokens: Number(flags.tokens),
        schedule: { kind: 'constant' },
      },
    ],
  };
  const file = join(scratch, 'large.json');
  writeFileSync(file, JSON.stringify(recipe));
  const train = await reckoner(
    'train',
    file,
    '--workers',
    flags.workers,
    '--runs',
    join(scratch, 'runs'),
  );
  const events = readFileSync(join(train.document.run.folder, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const { values } = events.find((event) => event.type === 'metrics' && event.kind === 'grpo');
  const usage = events
    .filter((event) => event.type === 'usage' && event.usage.stage === 'rl')
    .map((event) => event.usage);
  const sum = (name) => usage.reduce((total, part) => total + part[name], 0);
  results.step = {
    seconds: values.step_time,
    generated: sum('tokensOut'),
    rolloutSeconds: values.rolloutSeconds,
    gradientNorm: values.grad_norm,
    modelFlops: sum('modelFlops'),
    peakGb: train.peakGb,
    wallSeconds: train.seconds,
    memory: train.document.memory,
    backend: train.document.backend,
  };
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

if (flags.json) console.log(JSON.stringify(results, null, 2));
else {
  const { chat, step } = results;
  const f = (x, digits = 1) => (x === undefined ? '' : x.toFixed(digits));
  console.log(
    `${describe(machine(`node bench/large-model.mjs`))}\n\n${step.backend}, ${flags.workers} workers\n`,
  );
  console.log(
    table(
      ['what', 'result', 'peak memory'],
      [
        ['loading the folder to chat', `${f(chat.loadSeconds)} s`, null],
        [
          'one person chatting, one core',
          `${f(chat.tokensPerSecond, 2)} tokens/s`,
          `${f(chat.peakGb)} GB`,
        ],
        ['the GRPO step', `${f(step.seconds)} s, ${step.generated} tokens`, `${f(step.peakGb)} GB`],
        ['generated and trained on', `${f(step.generated / step.seconds, 2)} tokens/s`, null],
        ['model FLOP/s of the step', `${f(step.modelFlops / step.seconds / 1e9)} G`, null],
        ['the whole command', `${f(step.wallSeconds)} s`, null],
      ],
    ),
  );
}
