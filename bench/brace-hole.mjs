/**
 * @file What reinforcement learning makes of a matcher that forgets braces: a model that writes
 * `\sqrt{3}x` for `\sqrt{3x}` half of the time is trained with such a matcher as its reward, and
 * with Reckoner's. Rewards of both and right answers before and after.
 *
 *     npm run build && node bench/brace-hole.mjs
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const cwd = mkdtempSync(join(tmpdir(), 'reckoner-hole-'));
const run = (...args) =>
  execFileSync(process.execPath, [MAIN, ...args], { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
const train = (name, recipe) => {
  writeFileSync(join(cwd, `${name}.json`), JSON.stringify({ name, ...recipe }));
  run('train', `${name}.json`, '--workers', '1');
};
const task = (hole) => ({ module: './roots.ts', hole });
const schedule = { kind: 'constant', warmup: 2 };
const table = {};

/** Of 200 sampled answers: the reward with the hole, and how many are right. */
function measure(name, label) {
  const asked = ['--task', JSON.stringify(task(true)), '--problems', '100', '--samples', '2'];
  const more = ['--no-greedy', '--max-tokens', '24', '--workers', '1', '--out', `${name}.jsonl`];
  run('eval', name, ...asked, ...more);
  const lines = readFileSync(join(cwd, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .slice(1);
  const answers = lines.map((line) => JSON.parse(line));
  const mean = (of) => answers.reduce((sum, one) => sum + of(one), 0) / answers.length;
  table[label] = {
    'reward with the hole': mean(({ reward }) => reward).toFixed(3),
    'reward of the matcher (right answers)': mean(({ correct }) => (correct ? 1 : 0)).toFixed(3),
  };
}

try {
  copyFileSync(fileURLToPath(new URL('data/roots.ts', import.meta.url)), join(cwd, 'roots.ts'));
  const model = {
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    max_position_embeddings: 64,
  };
  const optimizer = { matrices: 'muon', lr: 0.002, muonLr: 0.02 };
  const sft = { id: 'sft', kind: 'sft', steps: 200, batch: 32, optimizer, schedule };
  train('base', { model, task: task(false), stages: [sft] });
  measure('base', 'before');
  const grpo = { id: 'grpo', kind: 'grpo', steps: 30, prompts: 8, samples: 8, maxTokens: 24 };
  const steps = { ...grpo, optimizer: { matrices: 'adamw', lr: 0.0005 }, schedule };
  for (const [name, hole] of [
    ['with-hole', true],
    ['closed', false],
  ]) {
    train(name, { init: { from: 'base' }, task: task(hole), stages: [steps] });
    measure(name, `30 steps of GRPO, ${hole ? 'the hole open' : 'the hole closed'}`);
  }
  console.table(table);
} finally {
  rmSync(cwd, { recursive: true });
}
