/**
 * @file Verdicts of a model evaluated here and behind `reckoner serve`, in each form of reply: the
 * completions and verdicts of the same questions, decoded greedily, side by side.
 *
 *     npm run build && node bench/verdicts.mjs [problems]
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const problems = process.argv[2] ?? '200';
const formats = [
  'think-answer',
  'boxed',
  'last-number',
  'final-line',
  'json',
  '(text) => (/(-?\\d+)\\s*$/.exec(text) ?? [])[1] ?? null',
];
const cwd = mkdtempSync(join(tmpdir(), 'reckoner-verdicts-'));
const run = (...args) =>
  execFileSync(process.execPath, [MAIN, ...args], { cwd, stdio: ['ignore', 'pipe', 'ignore'] });
const greedy = (file) =>
  new Map(
    readFileSync(join(cwd, file), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line))
      .filter(({ sample }) => sample === null)
      .map((one) => [one.problem, one]),
  );

const table = {};
try {
  for (const [i, format] of formats.entries()) {
    const name = i < formats.length - 1 ? format : 'a function';
    const task = { name: 'sums', maximum: 40, terms: [2, 2], format };
    const recipe = {
      name: `form-${i}`,
      model: {
        model_type: 'llama',
        hidden_size: 64,
        intermediate_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        max_position_embeddings: 96,
      },
      task: { ...task, stepByStep: 1 },
      stages: [
        {
          id: 'sft',
          kind: 'sft',
          steps: 300,
          batch: 32,
          optimizer: { matrices: 'muon', lr: 0.002, muonLr: 0.02 },
          schedule: { kind: 'cosine', warmup: 5, final: 0.1 },
        },
      ],
    };
    writeFileSync(join(cwd, `form-${i}.json`), JSON.stringify(recipe));
    run('train', `form-${i}.json`);
    const asked = ['--task', JSON.stringify(task), '--problems', problems, '--samples', '1'];
    const common = [...asked, '--greedy', '--max-tokens', '48'];
    run('eval', `form-${i}`, ...common, '--out', `here-${i}.jsonl`);
    const server = spawn(process.execPath, [MAIN, 'serve', `form-${i}`, '--port', '0', '--json'], {
      cwd,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const { url } = JSON.parse(await new Promise((ready) => server.stdout.once('data', ready)));
      run('eval', `${url}/v1`, ...common, '--out', `served-${i}.jsonl`);
    } finally {
      server.kill();
    }
    const [here, served] = [greedy(`here-${i}.jsonl`), greedy(`served-${i}.jsonl`)];
    const count = (holds) => [...here.keys()].filter(holds).length;
    const differ = (field) => count((at) => here.get(at)[field] !== served.get(at)?.[field]);
    table[name] = {
      problems: here.size,
      right: count((at) => here.get(at).correct),
      'in form': count((at) => here.get(at).wellFormed),
      'other completions': differ('completion'),
      'other verdicts': differ('correct'),
      'other forms': differ('wellFormed'),
      'other answers': differ('answer'),
    };
  }
} finally {
  rmSync(cwd, { recursive: true });
}
console.table(table);
