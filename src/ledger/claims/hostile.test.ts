/**
 * @file Claims that cannot be right, or that would take the program down, are refused by field.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readJson } from '../../base/files.js';
import { processorTime } from '../../base/testing/processor-time.js';
import { readYaml } from '../../base/yaml.js';
import { evaluateClaim, readClaim } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-claims-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const period = { kind: 'flow', start: '2025', end: '2025' };
const quantity = (value: number | string, unit: string, rest = {}) => ({
  ...{ what: 'x', value, unit, basis: 'assumed', source: 'a source', date: '2025' },
  ...rest,
});
const figure = (rest: Record<string, unknown>) => ({
  ...{ id: 'total', what: 'x', basis: 'derived', scope: 'all of it', period, source: 'a source' },
  ...rest,
});
const claim = (rest: Record<string, unknown>) => ({
  ...{ id: 'mine', title: 'Mine' },
  said: [{ what: 'x', who: 'me', when: '2025', source: 'a source' }],
  quantities: {
    hours: quantity(10, 'GPU-h'),
    price: quantity(2, 'USD/GPU-h'),
    share: quantity(0.5, 'fraction'),
  },
  figures: [figure({ formula: 'hours * price' })],
  ...rest,
});
const why = (content: unknown): string => {
  try {
    evaluateClaim(readClaim(content, 'mine'));
    return 'nothing';
  } catch (error) {
    expect((error as { code?: string }).code, (error as Error).stack).toMatch(/usage|data/);
    return (error as Error).message;
  }
};
const ratio = (formula: string, unit = 'ratio') => ({
  id: 'r',
  what: 'x',
  formula,
  unit,
  source: 's',
});

describe('claims', () => {
  it('the plain one is fine', () => expect(why(claim({}))).toBe('nothing'));

  it.each([
    [
      'a figure that divides by zero',
      { figures: [figure({ formula: 'hours * price / (share - share)' })] },
      /figures\.0\.formula: divides by zero/,
    ],
    [
      'a ratio that divides by zero',
      { ratios: [ratio('hours / (hours - hours)')] },
      /ratios\.0\.formula: divides by zero/,
    ],
    [
      'a check that divides by zero',
      { checks: [{ ...ratio('hours / (hours - hours)'), published: 1 }] },
      /checks\.0\.formula: divides by zero/,
    ],
    [
      'a check against zero',
      { checks: [{ ...ratio('hours / hours'), published: 0 }] },
      /checks\.0\.published: must not be 0/,
    ],
    [
      'an interval that reaches zero',
      {
        quantities: {
          hours: quantity(10, 'GPU-h'),
          price: quantity(2, 'USD/GPU-h'),
          share: quantity(0.5, 'fraction', { low: 0 }),
        },
        figures: [figure({ formula: 'hours * price / share' })],
      },
      /total: its interval has no end/,
    ],
    [
      'negative hours',
      { quantities: { hours: quantity(-1, 'GPU-h'), price: quantity(2, 'USD/GPU-h') } },
      /quantities\.hours: -1 GPU-h is below 0/,
    ],
    [
      'hours that may be negative',
      { quantities: { hours: quantity(1, 'GPU-h', { low: -2 }), price: quantity(2, 'USD/GPU-h') } },
      /quantities\.hours: -2 GPU-h is below 0/,
    ],
    [
      'a negative price',
      { quantities: { hours: quantity(1, 'GPU-h'), price: quantity(-2, 'USD/GPU-h') } },
      /quantities\.price: -2/,
    ],
    [
      'hours computed below zero',
      {
        quantities: {
          ...claim({}).quantities,
          left: { what: 'x', formula: 'hours - 3 * hours', unit: 'GPU-h' },
        },
        figures: [figure({ formula: 'left * price' })],
      },
      /quantities\.left\.formula: .* is below 0/,
    ],
    [
      'an unknown placeholder',
      { figures: [figure({ formula: 'hours * price', scope: 'about {totl}' })] },
      /figures\.0\.scope: \{totl\} is no quantity.*did you mean total/,
    ],
    [
      'a placeholder in a correction',
      { corrections: [{ told: 'x', kind: 'y', instead: 'it is {nothing here}' }] },
      /corrections\.0\.instead: \{nothing here\}/,
    ],
    [
      'a formula that is too deep',
      { figures: [figure({ formula: `${'('.repeat(1500)}hours * price${')'.repeat(1500)}` })] },
      /nested deeper than 100/,
    ],
    [
      'a chain of minus signs',
      { figures: [figure({ formula: `${'-'.repeat(3000)}hours * price` })] },
      /nested deeper than 100/,
    ],
    [
      'a formula that is too long',
      { figures: [figure({ formula: `hours * price${' + hours * price'.repeat(1000)}` })] },
      /longer than 4000/,
    ],
    [
      'too many quantities',
      {
        quantities: Object.fromEntries(
          Array.from({ length: 3000 }, (_, i) => [`q${i}`, quantity(1, 'GPU-h')]),
        ),
      },
      /at most 2000/,
    ],
    [
      'a circle',
      {
        quantities: {
          a: { what: 'x', formula: 'b', unit: 'GPU-h' },
          b: { what: 'x', formula: 'a', unit: 'GPU-h' },
          price: quantity(2, 'USD/GPU-h'),
        },
        figures: [figure({ formula: 'a * price' })],
      },
      /computed from itself/,
    ],
  ])('%s', (_, rest, message) => expect(why(claim(rest))).toMatch(message));

  it('a long sum is fine', () => {
    const sum = `hours * price${' + hours * price'.repeat(200)}`;
    const document = evaluateClaim(
      readClaim(claim({ figures: [figure({ formula: sum })] }), 'mine'),
    );
    expect(document.figures[0].usd).toBe(201 * 20);
  });
});

describe('documents', () => {
  const write = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  it.each([
    ['deep', `${'['.repeat(100_000)}`],
    ['cycle', 'a: &a\n  b: *a\n'],
    [
      'bomb',
      [
        'a: &a [1,1,1,1,1,1,1,1,1,1]',
        ...'bcdefghi'
          .split('')
          .map(
            (one, i) =>
              `${one}: &${one} [${Array.from({ length: 10 }, () => `*${'abcdefgh'[i]}`).join(',')}]`,
          ),
      ].join('\n'),
    ],
  ])('YAML: %s', (name, text) => {
    const spent = processorTime();
    expect(() => readYaml(write(`${name}.yaml`, text), 'claim')).toThrow(
      /claim .*\.yaml is not valid YAML: /,
    );
    expect(spent()).toBeLessThan(2000);
  });
  it('JSON that is deep', () => {
    expect(() => readJson(write('deep.json', '['.repeat(1_000_000)), 'claim')).toThrow(
      /nested more than/,
    );
  });
});
