/**
 * @file Recipes whose numbers ask for more than a machine has: refused before the first step, in one
 * line that names the field, with no run left behind.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadRecipe } from '../../src/recipe/index.js';
import { reckoner } from '../cli/model.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-numbers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const runs = join(folder, 'runs');

it.each([
  // Its memory fits, and its time does not on any machine.
  ['stages.0.batch', 5_000_000, 'would take about'],
  ['stages.0.steps', 1e12, 'would take about'],
  ['stages.0.batch', 1e12, 'would hold about'],
  ['stages.2.prompts', 1e9, 'would hold about'],
  ['stages.2.samples', 1e9, 'would hold about'],
  ['stages.3.samples', 1e12, 'would hold about'],
  ['stages.1.problems', 1e12, 'evaluation problems asked for'],
  ['stages.2.maxTokens', 1e12, 'max_position_embeddings'],
  ['model.hidden_size', 96_000_000, 'MB'],
  [
    'model.num_hidden_layers',
    1e9,
    'model.num_hidden_layers: Too big: expected number to be <=1000',
  ],
  ['model.intermediate_size', 1e9, 'a WebAssembly memory ends at 4096 MB'],
  ['model.vocab_size', 1e12, 'model.vocab_size'],
  ['task.terms.1', 1e12, 'task'],
])('%s of %d', async (path, value, message) => {
  const { terms = [2, 4], ...task } = loadRecipe('r1-mini').task as { terms?: number[] };
  const recipe = structuredClone({ ...loadRecipe('r1-mini'), task: { ...task, terms } });
  const names = path.split('.');
  const last = names.pop() as string;
  const owner = names.reduce<Record<string, unknown>>(
    (object, name) => object[name] as Record<string, unknown>,
    recipe as never,
  );
  owner[last] = value;
  const file = join(folder, 'recipe.json');
  writeFileSync(file, JSON.stringify(recipe));
  const { code, stderr } = await reckoner(['train', file, '--runs', runs, '--workers', '1']);
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain(message);
  expect(errors[0]).not.toMatch(/a bug in reckoner|[( ]-\d|NaN|Infinity|undefined/);
  expect(code).toBe(2);
  expect(existsSync(runs) ? readdirSync(runs) : []).toEqual([]);
});
