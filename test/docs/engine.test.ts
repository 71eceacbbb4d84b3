/**
 * @file The table of operations and backends in docs/reference/engine.md: every method of the
 * contract that computes has a row, is computed by every backend, and is in the suite that each of
 * them must pass.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Backend } from '../../src/tensor/backend.js';
import { createReferenceBackend } from '../../src/tensor/backends/reference.js';
import { operationCases } from '../../src/tensor/testing/cases/index.js';
import { Draw, execute } from '../../src/tensor/testing/problem.js';
import { ROOT, readPage, tableUnder } from './pages.js';

const methodsIn = (text: string): string[] =>
  [...text.matchAll(/^ {2}(?:async )?([a-z][A-Za-z0-9]*)\(/gm)].map(([, name]) => name);

const contract = readFileSync(`${ROOT}/src/tensor/backend.ts`, 'utf8');
const whole = contract.slice(contract.indexOf('export interface Backend {'));
const methods = methodsIn(whole.slice(0, whole.indexOf('\n}')));
/** What keeps memory comes before what computes. */
const computing = methods.slice(methods.indexOf('fill'));

const rows = tableUnder(readPage('docs/reference/engine.md'), 'Operations on each backend');
const named = rows.map(([first]) => [...first.matchAll(/`(\w+)`/g)].map(([, name]) => name));

it('has a row for every method that computes, and for nothing else', () => {
  expect(computing.length).toBeGreaterThan(35);
  expect(named.flat().sort()).toEqual([...computing].sort());
  for (const row of rows)
    expect(
      row.filter((cell) => cell !== ''),
      row[0],
    ).toHaveLength(4);
});

it.each(['wasm', 'webgpu'])('%s has all of them', (backend) => {
  const own = methodsIn(readFileSync(`${ROOT}/src/tensor/backends/${backend}/index.ts`, 'utf8'));
  expect(computing.filter((name) => !own.includes(name))).toEqual([]);
});

it('the suite that every backend passes calls each of them', async () => {
  const called = new Set<string>();
  const backend = new Proxy(createReferenceBackend(), {
    get(target, name: keyof Backend & string) {
      called.add(name);
      const value = target[name];
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
    },
  });
  for (const operation of operationCases)
    for (const index of [2, 3, 4, 5])
      await execute(operation.draw(new Draw(operation.name, index, 'small')), backend);
  expect(computing.filter((name) => !called.has(name))).toEqual([]);
});
