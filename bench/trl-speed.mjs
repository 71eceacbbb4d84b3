// How many GRPO steps a second, rollouts included, against TRL: the same small model and weights, task, batch, on the same two cores, by turns.
//
//   node bench/trl-speed.mjs [--python PATH] [--rounds 3] [--steps 10]
//
// Needs bench/peers/requirements.txt. TRL samples with transformers' generate: vLLM, its fast sampler, is for GPUs.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { demandBuild, describe, findPython, machine, median, root, table, times } from './harness.mjs';

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
if (!python) throw new Error('no Python with TRL; see bench/peers/README.md, or name one with --python');
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
  stages: [{ id: 'sft', kind: 'sft', steps: 600, batch: 64, schedule: { kind: 'wsd', warmup: 20, decay: 200, final: 0.1 } }],
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
  execFileSync(process.execPath, ['dist/cli/main.js', 'train', file, '--workers', String(workers), '--runs', folder, '--json'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, RECKONER_CALIBRATION: 'off' },
  });
  return join(
    folder,
    readdirSync(folder).find((name) => existsSync(join(folder, name, 'recipe.json'))),
  );
}

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-trl-'));
try {
  const model = join(train(base, join(scratch, 'base')), 'model');
  const sides = { reckoner: [], trl: [] };
  const lengths = { reckoner: [], trl: [] };
  for (let round = 0; round < rounds; round++) {
    const ours = () => {
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
      // The first steps run before the compiler has seen them; TRL's are left out as well.
      sides.reckoner.push(...values.slice(2).map(({ seconds }) => seconds));
      lengths.reckoner.push(...values.map(({ length }) => length));
    };
    const theirs = () => {
      const args = [
        'bench/peers/trl_grpo.py',
        '--model',
        model,
        '--steps',
        String(steps),
        '--prompts',
        PROMPTS,
        '--samples',
        SAMPLES,
      ];
      args.push('--max-tokens', MAX_TOKENS, '--threads', workers);
      const out = execFileSync(python, args.map(String), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
      const lines = out
        .split('\n')
        .filter((line) => line.startsWith('{"step"'))
        .map((line) => JSON.parse(line));
      sides.trl.push(...lines.filter(({ step, seconds }) => seconds && step > 2).map(({ seconds }) => seconds));
      lengths.trl.push(...lines.filter(({ length }) => length).map(({ length }) => length));
    };
    for (const side of round % 2 === 0 ? [ours, theirs] : [theirs, ours]) side();
  }
  const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const row = (name, label) => [
    label,
    (1 / median(sides[name])).toFixed(2),
    (median(sides[name]) * 1000).toFixed(0),
    `${(Math.min(...sides[name]) * 1000).toFixed(0)} – ${(Math.max(...sides[name]) * 1000).toFixed(0)}`,
    mean(lengths[name]).toFixed(1),
  ];
  const rows = [row('reckoner', 'Reckoner'), row('trl', 'TRL 1.16.0, PyTorch')];
  const text = `${describe(machine(`node bench/trl-speed.mjs --rounds ${rounds} --steps ${steps}`))}

${table(['side', 'steps/s', 'ms a step, median', 'range', 'tokens a completion'], rows)}

Ratio of steps a second: ${times(median(sides.trl) / median(sides.reckoner))}
`;
  console.log(text);
  mkdirSync('bench/results', { recursive: true });
  writeFileSync('bench/results/trl-speed.md', text);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
