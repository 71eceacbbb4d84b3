import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UserError } from '../base/errors.js';
import { statementDocument } from '../ledger/statement/schema.js';
import { usageOf } from '../ledger/testing.js';
import { openEventLog } from '../usage/log.js';
import { billCommand } from './bill.js';

let folder: string;
let printed: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-bill-'));
  printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  writeFileSync(join(folder, 'recipe.json'), '{}');
  const log = openEventLog(join(folder, 'events.jsonl'), { attempt: 0 });
  log.append({ type: 'usage', step: 1, usage: usageOf({ stage: 'grpo', workerSeconds: 7200 }) });
  log.close();
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

async function bill(...argv: string[]): Promise<string> {
  await billCommand().exitOverride().parseAsync(argv, { from: 'user' });
  return printed;
}

describe('reckoner bill', () => {
  it('--json prints the document that the schema describes', async () => {
    const document = JSON.parse(await bill(folder, '--json'));
    expect(statementDocument.safeParse(document).error?.issues ?? []).toEqual([]);
    expect(document.totals.headline.amount).toBe('0.0816');
  });

  it('prints a table, or Markdown', async () => {
    expect(await bill(folder)).toMatch(/Total +\$0\.082 +\$0\.082/);
    printed = '';
    expect(await bill(folder, '--markdown')).toContain('| grpo | training |');
  });

  it('takes prices of one’s own', async () => {
    const file = join(folder, 'prices.json');
    writeFileSync(
      file,
      JSON.stringify({ rentUsdPerCoreHour: { value: 1, source: 'my landlord' } }),
    );
    const text = await bill(folder, '--prices', file);
    expect(text).toMatch(/Total +\$2\.00 +\$2\.00/);
    expect(text).toContain('my landlord');
    writeFileSync(file, JSON.stringify({ rentUsdPerCoreHour: 'cheap' }));
    await expect(bill(folder, '--prices', file)).rejects.toMatchObject({
      code: 'usage',
      field: 'rentUsdPerCoreHour',
    });
  });

  it('the same run named twice is billed once; a folder without a run is refused', async () => {
    expect(JSON.parse(await bill(folder, folder, '--json')).runs).toHaveLength(1);
    await expect(bill(join(folder, 'no-run'))).rejects.toBeInstanceOf(UserError);
  });

  it('finds a run by its name in a folder', async () => {
    expect(
      JSON.parse(await bill('--runs', join(folder, '..'), basename(folder), '--json')).runs[0].name,
    ).toBe(basename(folder));
  });
});

describe('reckoner bill plan.json', () => {
  const exactly = (value: number) => ({ value, low: value, high: value });
  const stage = (id: string, purpose: 'training' | 'evaluation', hours: number) => ({
    id,
    usd: { value: 2 * hours, low: hours, high: 4 * hours },
    usage: usageOf({ stage: id, purpose, acceleratorSeconds: 3600 * hours, basis: 'predicted' }),
  });
  const plan = {
    schemaVersion: 2,
    recipe: 'big',
    cluster: {
      name: 'h800x8',
      accelerator: 'H800',
      count: 8,
      usdPerHour: { ...exactly(2), source: 'a list', date: '2026-11' },
      goodput: exactly(0.9),
    },
    stages: [stage('pretrain', 'training', 100), stage('after', 'evaluation', 10)],
  };
  const fileOf = (content: unknown): string => {
    const file = join(folder, 'plan.json');
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  };

  it('shows the headline beside the full bill, with what it is asked to add', async () => {
    const costs = ['--experiments', '2', '--people', '1', '--months', '12', '--utilization', '0.5'];
    const document = JSON.parse(await bill(fileOf(plan), ...costs, '--json'));
    expect(statementDocument.safeParse(document).error?.issues ?? []).toEqual([]);
    // 90 of 100 hours make progress; 110 hours in all, twice, and as many idle ones.
    expect(document.totals.headline).toMatchObject({ amount: '180', low: '90', high: '360' });
    const staff = document.bridge.find(
      ({ category }: { category: string }) => category === 'staff',
    );
    expect(Number(document.totals.full.amount)).toBeCloseTo(220 + 220 + 440 + +staff.amount, 6);
    printed = '';
    const text = await bill(fileOf(plan), '--experiments', '1');
    expect(text).toMatch(
      /^Plan of big on h800x8\n=+\nHeadline \$180\.00 \(\$90\.00 to \$360\.00\); full/,
    );
    expect(text).toMatch(/big +final +plan +gpu +90 gpu-hours +\$180\.00 +\$180\.00/);
    printed = '';
    expect(await bill(fileOf({ ...plan, schemaVersion: 1 }), '--experiments', '1')).toBe(text);
  });

  it.each([
    ['{"recipe": ', /not valid JSON/],
    [{ lines: [] }, /plan\.json: no plan; write one with reckoner plan/],
    [{ ...plan, schemaVersion: 3 }, /plan\.json: schemaVersion 3 .*newer/],
    // What a run of an earlier version kept as its plan.
    [{ schemaVersion: 1, recipe: 'r', stages: [{ id: 'sft', seconds: exactly(1) }] }, /cluster/],
    [{ ...plan, stages: [{ id: 'x', usd: exactly(1) }] }, /stages\.0\.usage: /],
  ])('refuses what is no plan, or of another version: %#', async (content, message) => {
    const refused = await bill(fileOf(content)).catch((error) => error);
    expect(refused).toBeInstanceOf(UserError);
    expect(refused).toMatchObject({ code: 'data', message: expect.stringMatching(message) });
    expect(refused.message).not.toContain('\n');
  });

  it.each([
    [['--people', '-1'], '--people'],
    [['--experiments', 'x'], '--experiments'],
    [['--utilization', '2'], '--utilization'],
    [['--prices', 'own'], undefined],
  ])('refuses %j', async (flags, field) => {
    const refused = bill(fileOf(plan), ...flags);
    await expect(refused).rejects.toMatchObject({ code: 'usage', ...(field && { field }) });
  });

  it('takes these costs with a plan alone', async () => {
    await expect(bill(folder, '--people', '3')).rejects.toMatchObject({ field: '--people' });
  });
});

describe('reckoner bill --usage', () => {
  const JOBS = `JobID|JobName|Account|State|Start|End|ElapsedRaw|AllocTRES
1|final|nlp|COMPLETED|2026-09-01T00:00:00|2026-09-01T10:00:00|36000|cpu=8,gres/gpu=4
2|broken
`;
  const RULES = {
    model: 'm',
    rules: [{ when: { name: 'final' }, is: 'final' }],
    prices: { 'gpu-hour': { price: '2', source: 'x' } },
  };
  const files = (): string[] => {
    writeFileSync(join(folder, 'jobs.txt'), JOBS);
    writeFileSync(join(folder, 'rules.json'), JSON.stringify(RULES));
    return ['--usage', join(folder, 'jobs.txt'), '--allocate', join(folder, 'rules.json')];
  };

  it('--json prints the document that the schema describes, the runs beside the files', async () => {
    const alone = JSON.parse(await bill(...files(), '--json'));
    expect(statementDocument.safeParse(alone).error?.issues ?? []).toEqual([]);
    expect(alone.totals).toMatchObject({ headline: { amount: '80' }, full: { amount: '80' } });
    expect(alone.imports.malformed).toMatchObject([{ line: 3 }]);
    printed = '';
    const both = JSON.parse(await bill(folder, ...files(), '--json'));
    expect(statementDocument.safeParse(both).error?.issues ?? []).toEqual([]);
    // Sections are there where a run is.
    expect([alone.work, both.work.length, both.gains, both.predicted]).toEqual([
      undefined,
      1,
      [],
      null,
    ]);
    // The job, the run's core time, and the storage of its folder.
    expect(both.totals.headline.amount).toBe('80.0816');
    expect(
      both.lines
        .map((line: { source: string; kind: string }) => `${line.source} ${line.kind}`)
        .sort(),
    ).toEqual(['run cpu', 'run storage', 'slurm gpu']);
  });

  it('warns of rows that it cannot read; --strict makes them an error', async () => {
    let warned = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      warned += String(text);
      return true;
    });
    await bill(...files());
    expect(warned).toMatch(/^warning: 1 rows cannot be read and are not billed: .*jobs\.txt:3 \(/);
    await expect(bill(...files(), '--strict')).rejects.toMatchObject({ code: 'data' });
    for (const format of ['csv', 'focus-csv'])
      await expect(bill(...files(), '--strict', '--format', format)).rejects.toMatchObject({
        code: 'data',
      });
    await expect(bill(...files(), '--strict', '--json')).rejects.toMatchObject({ code: 'data' });
  });

  it.each(['text', 'markdown', 'csv', 'focus-csv', 'html'] as const)(
    'prints %s, of usage and of runs',
    async (format) => {
      expect(await bill(...files(), '--format', format)).toContain('80');
      printed = '';
      expect(await bill(folder, '--format', format)).toContain('0.08');
    },
  );

  it('writes files, parquet among them', async () => {
    vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
    const out = join(folder, 'bill.parquet');
    expect(await bill(...files(), '--format', 'parquet', '--out', out)).toBe('');
    expect(readFileSync(out).subarray(0, 4).toString()).toBe('PAR1');
    await expect(bill(...files(), '--format', 'parquet')).rejects.toMatchObject({
      code: 'usage',
      field: '--out',
    });
    await expect(bill(folder, '--allocate', 'rules.json')).rejects.toMatchObject({
      code: 'usage',
      field: '--allocate',
    });
    await expect(bill('--usage', join(folder, 'none.csv'))).rejects.toMatchObject({ code: 'data' });
  });
});
