/**
 * @file The table of operations and backends in docs/reference/engine.md: every operation has a
 * row, and is in the suite that each backend must pass.
 */
import { expect, it } from 'vitest';
import type { OperationName } from '../../src/tensor/backend.js';
import { createReferenceBackend } from '../../src/tensor/backends/reference.js';
import { OPERATIONS } from '../../src/tensor/operations/index.js';
import { operationCases } from '../../src/tensor/testing/cases/index.js';
import { Draw, execute } from '../../src/tensor/testing/problem.js';
import { readPage, tableUnder } from './pages.js';

const names = Object.keys(OPERATIONS) as OperationName[];
const rows = tableUnder(readPage('docs/reference/engine.md'), 'Operations on each backend');
const named = rows.map(([first]) => [...first.matchAll(/`(\w+)`/g)].map(([, name]) => name));

it('has a row for every operation, and for nothing else', () => {
  expect(names.length).toBeGreaterThan(35);
  expect(named.flat().sort()).toEqual([...names].sort());
  for (const row of rows)
    expect(
      row.filter((cell) => cell !== ''),
      row[0],
    ).toHaveLength(4);
});

it('the suite that every backend passes calls each of them', async () => {
  const called = new Set<string>();
  const plain = createReferenceBackend();
  const backend = new Proxy(plain, {
    get(target, name: keyof typeof plain) {
      called.add(name);
      return target[name];
    },
  });
  for (const operation of operationCases)
    for (const index of [2, 3, 4, 5])
      await execute(operation.draw(new Draw(operation.name, index, 'small')), backend);
  expect(names.filter((name) => !called.has(name))).toEqual([]);
});
