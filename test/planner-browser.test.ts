/**
 * @file The planner runs in a browser: nothing that it loads, directly or through others, needs
 * Node.
 */
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { importsOf } from '../scripts/check-rooms.mjs';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** Packages that run in browsers. */
const PORTABLE = ['zod', 'decimal.js'];

/** Every file that one file loads, and every package. */
function closure(entry: string): { files: string[]; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    files.add(file);
    // What is imported as a type is not loaded.
    const text = readFileSync(file, 'utf8').replace(/^(?:import|export) type [^;]*;/gm, '');
    for (const { specifier, loads } of importsOf(text)) {
      if (!loads) continue;
      if (specifier.startsWith('.')) visit(join(dirname(file), specifier.replace(/\.js$/, '.ts')));
      else packages.add(specifier);
    }
  };
  visit(entry);
  return { files: [...files], packages };
}

test.each([
  'planner/index.ts',
  'planner/serving/index.ts',
  'planner/validate/validate.ts',
  'plan/cluster/plan-work.ts',
  'plan/cluster/cluster-target.ts',
  'ledger/claims/index.ts',
])('%s', (entry) => {
  const { files, packages } = closure(join(src, entry));
  expect(files.length).toBeGreaterThan(10);
  expect([...packages].filter((name) => !PORTABLE.includes(name))).toEqual([]);
  for (const file of files) {
    const uses = readFileSync(file, 'utf8')
      .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
      .match(/\b(process\.|Buffer\.|__dirname|require\()/);
    expect(uses, relative(src, file)).toBeNull();
  }
});
