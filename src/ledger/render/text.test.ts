import { describe, expect, it } from 'vitest';
import { defaultPriceBook, parsePriceBook } from '../book/price-book.js';
import { computeBill } from '../statement/runs.js';
import { logBuilder } from '../testing.js';
import { statementMarkdown, statementText } from './text.js';

function example(name = '2026-11-23-r1-mini-7f3a', scale = 1) {
  const log = logBuilder();
  const work = (seconds: number) => ({
    wallSeconds: seconds * scale,
    workerSeconds: 2 * seconds * scale,
    modelFlops: 8e9 * seconds * scale,
    tokensIn: 12_345 * seconds,
    peakMemoryBytes: 3e8,
  });
  log.started();
  log.usage(10, { ...work(60), stage: 'base' });
  log.checkpoint(10);
  log.usage(20, { ...work(30), stage: 'base' });
  log.resumed(10);
  log.usage(20, { ...work(61.5), stage: 'base', storedBytes: 3e6 });
  log.usage(21, { ...work(12), stage: 'before', purpose: 'evaluation' });
  log.evaluation(21, 'before', { pass1: 0.481 });
  log.usage(60, { ...work(190), stage: 'grpo', tokensOut: 1e6 });
  log.evaluation(61, 'after', { pass1: 0.952 });
  log.add({ type: 'ended', step: 61, reason: 'completed' });
  return { name, events: log.events };
}

const dollars = (text: string): number => Number(text.replace(/[$,]/g, ''));

describe.each([
  ['rent', [example()]],
  ['own', [example()]],
  [
    'own',
    [
      example('a-run-with-a-name-that-is-much-too-long-for-any-table-of-one-hundred-columns'),
      example('b', 1000),
    ],
  ],
] as const)('statementText, %s', (mode, runs) => {
  const bill = computeBill(runs, defaultPriceBook(mode));
  const text = statementText(bill);

  it('is at most 100 columns of printable ASCII', () => {
    for (const line of text.split('\n')) {
      expect(line.length).toBeLessThanOrEqual(100);
      expect(line).toMatch(/^[\x20-\x7e]*$/);
      expect(line).toBe(line.trimEnd());
    }
  });

  it('shows amounts that add up to the shown totals', () => {
    const table = text.split('\n\n').find((part) => part.startsWith('What it cost')) as string;
    const rows = table.split('\n').slice(4);
    const total = rows.findIndex((row) => row.startsWith('Total'));
    const amounts = (row: string) => row.match(/(?:\$[\d,.]+|(?<=\s)-(?=\s))/g) as string[];
    const [headline, full] = [0, 1].map((column) =>
      rows
        .slice(0, total - 1)
        .reduce(
          (sum, row) => sum + (amounts(row)[column] === '-' ? 0 : dollars(amounts(row)[column])),
          0,
        ),
    );
    const shown = amounts(rows[total]).map(dollars);
    expect(headline).toBeCloseTo(shown[0], 9);
    expect(full).toBeCloseTo(shown[1], 9);
    expect(shown[1]).toBeGreaterThan(0);
    expect(Math.abs(shown[1] - Number(bill.totals.full.amount))).toBeLessThan(1e-4);
  });

  it('shows one amount where both columns have the same', () => {
    const table = text.split('\n\n').find((part) => part.startsWith('What it cost')) as string;
    const both = [...table.matchAll(/^(?!Total).* (\$[\d,.]+) +(\$[\d,.]+) /gm)];
    expect(both.length > 0).toBe(mode === 'rent');
    for (const [, headline, full] of both) expect(headline).toBe(full);
  });

  it('names both columns, the basis, the scope and every source', () => {
    expect(text).toMatch(/Headline +Full +Basis/);
    expect(text).toContain('measured');
    expect(text.replace(/\n\s*/g, ' ')).toContain('nothing else');
    expect(text.replace(/\n\s*/g, ' ')).toContain('m7g.large');
    expect(text).toContain('Dollars for each further correct answer per 1,000 problems');
    expect(text).toContain('48.1% -> 95.2%');
  });
});

describe('statementText', () => {
  it('shows small amounts with enough digits, large ones in cents', () => {
    const cheap = statementText(computeBill([example()], defaultPriceBook()));
    expect(cheap).toMatch(/Headline \$0\.0\d+ \(/);
    const dear = statementText(
      computeBill(
        [example('x', 1e6)],
        parsePriceBook({ rentUsdPerCoreHour: 2, storageMonths: 0 }, 'p'),
      ),
    );
    // (60 + 61.5 + 190) s × 10^6 × 2 workers at $2 an hour.
    expect(dear).toMatch(/Total .* \$346,111\.11 .*\$/);
  });

  it('styles without moving a column', () => {
    const bill = computeBill([example()], defaultPriceBook());
    const style = {
      bold: (text: string) => `<b>${text}</b>`,
      dim: (text: string) => `<i>${text}</i>`,
    };
    const styled = statementText(bill, { style });
    expect(styled).toContain('<b>What it cost</b>');
    expect(styled.replace(/<\/?[bi]>/g, '')).toBe(statementText(bill));
  });

  it('fits a narrow terminal by leaving out columns that can be spared, never a number', () => {
    const text = statementText(computeBill([example()], defaultPriceBook()), { width: 80 });
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    const [, , head, , ...rows] = (
      text.split('\n\n').find((part) => part.startsWith('What was done')) as string
    ).split('\n');
    expect(head).toMatch(
      /^Stage +Time +(Tok\. in +)?Tok\. out +Model FLOPs +Achieved +Energy +Peak mem\.$/,
    );
    expect(rows.find((row) => row.startsWith('grpo'))).toMatch(
      / 3 min 10 s .* 1\.00M +1\.52 TFLOP +8\.00 GFLOP\/s /,
    );
  });

  it('is short where the whole bill can be had later', () => {
    const text = statementText(computeBill([example()], defaultPriceBook()), { brief: true });
    const titles = text.split('\n\n').map((part) => part.split('\n')[0]);
    expect(titles).toEqual([
      'Bill of 2026-11-23-r1-mini-7f3a',
      'What it cost',
      'Dollars for each further correct answer per 1,000 problems',
    ]);
    expect(text).toContain('full $');
  });

  it('survives an empty run', () => {
    expect(
      statementText(computeBill([{ name: 'empty', events: [] }], defaultPriceBook())),
    ).toContain('Headline $0.00');
  });
});

describe('statementMarkdown', () => {
  it('has tables with as many cells in each row as in the head', () => {
    const text = statementMarkdown(computeBill([example(), example('other')], defaultPriceBook()));
    for (const block of text.split('\n\n').filter((part) => part.startsWith('|'))) {
      const cells = block.split('\n').map((row) => row.split('|').length);
      expect(new Set(cells).size).toBe(1);
    }
    expect(text).toContain('| **Total** |');
    expect(text).toContain('failed and aborted runs');
  });
});
