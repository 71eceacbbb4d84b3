/**
 * @file An importer is one object: this test brings its own and bills with it; nothing else in the
 * ledger is touched.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseRules } from '../book/allocation-rules.js';
import { statementText } from '../render/text.js';
import { statementSchemaOf } from '../statement/schema.js';
import { computeUsageBill } from '../statement/usage.js';
import { columnOf, type Importer, isoTime } from './importer.js';
import { IMPORTERS } from './importers.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-importer-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The meter of a fictitious cluster: `who,what,from,to,gpus`. */
const options = z.strictObject({ factor: z.number().min(1).default(1) });
const meter: Importer<z.output<typeof options>> = {
  name: 'meter',
  formats: ['meter-csv'],
  expects: 'a meter (CSV)',
  detect: (head) => (head.form === 'text' && head.names.includes('gpus') ? 'meter-csv' : null),
  missing: (columns) => (columns.has('who') ? null : 'no column who; export it again'),
  toSql: ({ columns, options: { factor } }) => {
    const column = (name: string) => columnOf(columns, name);
    return {
      knows: (lower) => ['who', 'what', 'from', 'to', 'gpus'].includes(lower),
      fields: {
        native_id: `concat_ws(' ', ${column('who')}, ${column('what')})`,
        account: column('who'),
        cluster: 'NULL::VARCHAR',
        name: column('what'),
        state: 'NULL::VARCHAR',
        window_start: isoTime(column('from')),
        window_end: isoTime(column('to')),
        kind: "'gpu'",
        detail: "''",
        quanta: `(TRY_CAST(${column('gpus')} AS BIGINT) * ${factor} * date_diff('second', window_start, window_end) * 1000000)`,
      },
      skip: 'NULL::VARCHAR',
      bad: "CASE WHEN quanta IS NULL THEN 'no number of GPUs' END",
    };
  },
  defaultRules: [{ when: { name: 'warm-up' }, is: 'lost' }],
  notes: (_, files) => [`The meter has ${files[0].rows} rows.`],
  money: 'none',
  options,
};

describe('an importer of the test', () => {
  const importers = [...IMPORTERS, meter as Importer];
  const bill = (
    rules: unknown,
    rows = [
      'nlp,train,2026-05-01T00:00Z,2026-05-01T10:00Z,4',
      'nlp,warm-up,2026-05-01,2026-05-02,1',
      'nlp,x,2026-05-01,2026-05-02,many',
    ],
  ) => {
    const path = join(folder, 'meter.csv');
    writeFileSync(path, `who,what,from,to,gpus\n${rows.join('\n')}\n`);
    return computeUsageBill([path], {
      rules: parseRules(rules, 'rules', importers),
      importers,
      threads: 1,
    });
  };
  const RULES = {
    model: 'm',
    rules: [{ when: { name: 'train', source: 'meter' }, is: 'final' }],
    prices: { 'gpu-hour': { price: 2, source: 'x' } },
  };

  it('bills, by its own rules, notes, formats and options', async () => {
    const statement = await bill(RULES);
    expect([statement.totals.headline.amount, statement.totals.full.amount]).toEqual(['80', '128']);
    expect(statement.lines.map(({ source, category }) => [source, category])).toEqual([
      ['meter', 'final'],
      ['meter', 'lost'],
    ]);
    expect(statement.imports.files[0]).toMatchObject({
      format: 'meter-csv',
      rows: 3,
      malformed: 1,
    });
    expect(statement.imports.malformed).toMatchObject([{ line: 4, reason: 'no number of GPUs' }]);
    expect(statement.notes).toContain('The meter has 3 rows.');
    expect(statementText(statement)).toContain('meter');
    expect(statementSchemaOf(importers).safeParse(statement).error?.issues ?? []).toEqual([]);
    expect(statementSchemaOf(IMPORTERS).safeParse(statement).success).toBe(false);
    const doubled = await bill({ ...RULES, meter: { factor: 2 } });
    expect(doubled.totals.headline.amount).toBe('160');
  });

  it('its section of the rules is checked by its own schema', () => {
    expect(() => parseRules({ meter: { factor: 0 } }, 'rules', importers)).toThrow(/meter\.factor/);
    expect(() => parseRules({ meter: { factr: 1 } }, 'rules', importers)).toThrow(
      /did you mean factor/,
    );
    expect(() => parseRules({ meter: {} }, 'rules')).toThrow(/meter: no such field/);
  });
});
