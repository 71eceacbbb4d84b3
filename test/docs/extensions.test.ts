/**
 * @file How many files an extension touches, as CONTRIBUTING.md promises: counted by where the name
 * of an existing one stands in the sources. Tests, machine code (an addition that no operation
 * needs) and types that the build writes do not count.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { optimizers } from '../../src/training/optimizers/index.js';
import { ROOT } from './pages.js';

const files = new Map(
  readdirSync(`${ROOT}/src`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !/\.test\.ts$|native\/|wasm\/kernels\.ts$/.test(path))
    .map((path) => [path, readFileSync(`${ROOT}/src/${path}`, 'utf8')]),
);

const filesWith = (word: RegExp, under: RegExp): string[] =>
  [...files].filter(([path, text]) => under.test(path) && word.test(text)).map(([path]) => path);

describe('an operation touches at most six files:', () => {
  it.each([
    'rmsNormBackward',
    'swigluBackward',
    'joinHeadsBackward',
    'routeBackward',
    'combineRowsBackward',
    'quantizeFp8',
  ])('%s', (name) => {
    const found = filesWith(new RegExp(`\\b${name}\\b`), /^tensor\//).filter(
      (path) => path !== 'tensor/operations/linear-fp8.ts', // uses it
    );
    const rows = filesWith(/^export const OPERATIONS/m, /^tensor\//);
    expect(rows).toEqual(['tensor/operations/index.ts']);
    expect(found.length, found.join(', ')).toBeGreaterThanOrEqual(5);
    expect(new Set([...found, ...rows]).size, found.join(', ')).toBeLessThanOrEqual(6);
  });
});

it('an optimizer touches at most three files', () => {
  expect(Object.keys(optimizers)).toContain('muon');
  // Where the recipe of the browser's page and comments elsewhere name it, they only use it.
  const found = filesWith(/\bmuon\b/, /^(training|stages|recipe|plan|policy|train)\//);
  expect(found.sort()).toEqual([
    'training/optimizer.ts',
    'training/optimizers/index.ts',
    'training/optimizers/muon.ts',
  ]);
});

it.each(['smollm3', 'granite', 'mixtral', 'phi3', 'qwen3_moe', 'gemma3_text'])(
  'the family %s touches at most two files',
  (name) => {
    const found = filesWith(new RegExp(`\\b${name}\\b`), /^(?!catalog\/)/);
    expect(found).toContain('architecture/families/index.ts');
    expect(found.filter((path) => !path.startsWith('architecture/families/'))).toEqual([]);
    expect(found.length, found.join(', ')).toBeLessThanOrEqual(2);
  },
);

it('a loss touches one file of the sources', () => {
  expect(filesWith(/\bcispo\b|'truncate'/, /./)).toEqual(['training/losses.ts']);
});
