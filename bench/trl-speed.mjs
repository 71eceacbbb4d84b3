// How many GRPO steps a second, rollouts included, against TRL: the same small model and weights,
// task, batch, on the same two cores, by turns.
//
//   node bench/trl-speed.mjs [--python PATH] [--rounds 3] [--steps 10]
//
// A round is a run of ours of so many steps, then one step of TRL, which waits in between; its
// first step is a warm-up. Needs bench/peers/requirements.txt. TRL samples with transformers'
// generate: vLLM, its fast sampler, is for GPUs.
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import {
  demandBuild,
  describe,
  findPython,
  machine,
  median,
  root,
  table,
  times,
} from './harness.mjs';

process.chdir(root);
demandBuild();
const { values: flags } = parseArgs({
  options: {
    python: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '10' },
    workers: { type: 'string', default: '2' },
  },
});
const python = findPython(flags.python);
if (!python)
  throw new Error('no Python with TRL; see bench/peers/README.md, or name one with --python');
const [rounds, steps, workers] = [flags.rounds, flags.steps, flags.workers].map(Number);
const [PROMPTS, SAMPLES, MAX_TOKENS] = [16, 8, 48];

const shared = {
  model: {
    model_type: 'llama',
    hidden_size: 96,
    intermediate_size: 256,
    num_hidden_layers: 3,
    num_attention_heads: 6,
    head_dim: 16,
    max_position_embeddings: 128,
  },
  task: { name: 'sums', maximum: 9 },
};
const constant = { kind: 'constant' };
const base = {
  ...shared,
  name: 'base',
  stages: [
    {
      id: 'sft',
      kind: 'sft',
      steps: 600,
      batch: 64,
      schedule: { kind: 'wsd', warmup: 20, decay: 200, final: 0.1 },
    },
  ],
};
const grpo = {
  id: 'grpo',
  kind: 'grpo',
  steps,
  prompts: PROMPTS,
  samples: SAMPLES,
  maxTokens: MAX_TOKENS,
  loss: 'dapo',
  aggregation: 'batch-tokens',
  resample: 0,
  optimizer: { matrices: 'adamw', lr: 4e-4 },
  schedule: constant,
};

function train(recipe, folder) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${recipe.name}.json`);
  writeFileSync(file, JSON.stringify(recipe));
  execFileSync(
    process.execPath,
    ['dist/cli/main.js', 'train', file, '--workers', String(workers), '--runs', folder, '--json'],
    {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, RECKONER_CALIBRATION: 'off' },
    },
  );
  return join(
    folder,
    readdirSync(folder).find((name) => existsSync(join(folder, name, 'recipe.json'))),
  );
}

/** TRL in a process of its own. Each call lets it take one step; the first one also starts it. */
function startTrl(model) {
  const flags = {
    model,
    steps: rounds + 1,
    prompts: PROMPTS,
    samples: SAMPLES,
    'max-tokens': MAX_TOKENS,
    threads: workers,
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(python, ['bench/peers/trl_grpo.py', '--gated', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lengths = [];
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{"step"')) return;
    const { seconds, length } = JSON.parse(line);
    if (length) lengths.push(length);
    if (seconds) waiting.shift()?.resolve(seconds);
  });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      for (const { reject: refuse } of waiting) refuse(new Error(`TRL ended with code ${code}`));
      resolve(code);
    });
  });
  let begun = false;
  const step = () => {
    if (begun) child.stdin.write('\n');
    begun = true;
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  };
  return { step, lengths, ended, stop: () => child.kill() };
}

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-trl-'));
let trl = null;
try {
  const model = join(train(base, join(scratch, 'base')), 'model');
  const sides = { reckoner: [], trl: [] };
  const lengths = { reckoner: [], trl: [] };
  trl = startTrl(model);
  console.error(`TRL's warm-up: ${(await trl.step()).toFixed(1)} s`);
  for (let round = 0; round < rounds; round++) {
    const run = train(
      { ...shared, name: 'ours', seed: round + 1, init: { from: model }, stages: [grpo] },
      join(scratch, `ours-${round}`),
    );
    const values = readFileSync(join(run, 'events.jsonl'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'metrics')
      .map((event) => event.values);
    // The first steps run before the compiler has seen them.
    const own = values.slice(2).map(({ step_time }) => step_time);
    sides.reckoner.push(...own);
    lengths.reckoner.push(...values.slice(2).map((one) => one['completions/mean_length']));
    sides.trl.push(await trl.step());
    console.error(
      `round ${round + 1}: ${median(own).toFixed(3)} s, TRL ${sides.trl.at(-1).toFixed(1)} s`,
    );
  }
  await trl.ended;
  lengths.trl.push(...trl.lengths.slice(1));
  const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const row = (name, label) => [
    label,
    (1 / median(sides[name])).toFixed(2),
    (median(sides[name]) * 1000).toFixed(0),
    `${(Math.min(...sides[name]) * 1000).toFixed(0)} – ${(Math.max(...sides[name]) * 1000).toFixed(0)}`,
    mean(lengths[name]).toFixed(1),
  ];
  const versions = execFileSync(
    python,
    ['-c', 'import trl, torch; print(trl.__version__, torch.__version__)'],
    {
      encoding: 'utf8',
    },
  );
  const [trlVersion, torchVersion] = versions.trim().split(' ');
  const rows = [
    row('reckoner', 'Reckoner'),
    row('trl', `TRL ${trlVersion}, PyTorch ${torchVersion}`),
  ];
  const text = `${describe(machine(`node bench/trl-speed.mjs --rounds ${rounds} --steps ${steps}`))}

${table(['side', 'steps/s', 'ms a step, median', 'range', 'tokens a completion'], rows)}

Ratio of steps a second: ${times(median(sides.trl) / median(sides.reckoner))}
`;
  console.log(text);
  mkdirSync('bench/results', { recursive: true });
  writeFileSync('bench/results/trl-speed.md', text);
} finally {
  trl?.stop();
  rmSync(scratch, { recursive: true, force: true });
}
