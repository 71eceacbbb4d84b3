import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { processorTime } from './testing/processor-time.js';
import { readYaml } from './yaml.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-yaml-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const file = join(scratch, 'a.yaml');
const read = (text: string): unknown => {
  writeFileSync(file, text);
  return readYaml(file, 'cluster', 'usage', '--on');
};

it('reads plain data, with aliases', () => {
  expect(read('a: &x [1, 2]\nb: *x\n')).toEqual({ a: [1, 2], b: [1, 2] });
});

const laughs = (levels: number): string =>
  [
    'a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]',
    ...Array.from({ length: levels }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}]`),
  ].join('\n');

it.each([
  ['an alias bomb', laughs(9), /alias|values/],
  ['a value within itself', 'a: &a\n  b: *a\n', /nested more than 64 deep/],
  ['deep flow', '['.repeat(100_000), /nested more than 64 deep|not valid YAML/],
  ['deep blocks', Array.from({ length: 1200 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), /deep/],
  ['no YAML', 'a: [1', /not valid YAML at line 1/],
  ['a key twice', 'a: 1\nb: {c: 1, d: 2, c: 3}', /line 2, column 17: the key "c" comes twice/],
  ['too much', ' '.repeat(5 << 20), /bytes, more than/],
])('%s ends in one line', (_, text, message) => {
  const spent = processorTime();
  expect(() => read(text)).toThrow(message);
  expect(spent()).toBeLessThan(2000);
});

it('many keys take no quadratic time', () => {
  const keys = Array.from({ length: 30_000 }, (_, i) => `k${i}: ${i}`);
  const spent = processorTime();
  expect(Object.keys(read(keys.join('\n')) as object)).toHaveLength(30_000);
  expect(Object.keys(read(`{${keys.join(', ')}}`) as object)).toHaveLength(30_000);
  expect(spent()).toBeLessThan(10_000);
});
