import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { claimDocument, claimListDocument } from '../ledger/claims/index.js';
import { claimCommand } from './claim.js';

let folder: string;
let printed: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-claim-'));
  printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

async function claim(...argv: string[]): Promise<string> {
  await claimCommand().exitOverride().parseAsync(argv, { from: 'user' });
  return printed;
}

describe('reckoner claim', () => {
  it('--json prints DeepSeek’s as the schema describes it, the same every time', async () => {
    const first = await claim('--json');
    printed = '';
    expect(await claim('deepseek', '--json')).toBe(first);
    const document = JSON.parse(first);
    expect(claimDocument.safeParse(document).error?.issues ?? []).toEqual([]);
    expect(document.claim).toBe('deepseek');
    const headline = document.figures.find(({ id }: { id: string }) => id === 'v3-headline');
    expect(headline.usd).toBe(5_576_000);
    // From first principles, with its error: within a factor of 1.5 of what was counted, and inside
    // its own interval.
    const planned = document.figures.find(({ id }: { id: string }) => id === 'v3-planned');
    expect(planned.basis).toBe('predicted');
    expect(planned.usd / headline.usd).toBeGreaterThan(1 / 1.5);
    expect(planned.usd / headline.usd).toBeLessThan(1.5);
    expect(
      document.steps.find(({ from }: { from: string }) => from === 'v3-planned').usd,
    ).toBeCloseTo(headline.usd - planned.usd, 2);
    expect(document.leftOut).toEqual([]);
    // $1.39 and $3.42 are the 5% and 95% quantiles of the price.
    expect(headline.low / (2_788_000 * 1.39)).toBeCloseTo(1, 2);
    expect(headline.high / (2_788_000 * 3.42)).toBeCloseTo(1, 2);
  });

  it('prints a waterfall', async () => {
    const text = await claim();
    expect(text).toMatch(/= V3, the headline +\$5\.576M/);
    expect(text).toMatch(/servers of 60,000 \(stock\) +\$1\.629B/);
    expect(text).toContain('0.64%');
  });

  it('--list lists', async () => {
    expect(await claim('--list')).toMatch(/^deepseek +Six million/);
    printed = '';
    expect(
      claimListDocument.safeParse(JSON.parse(await claim('--list', '--json'))).error?.issues ?? [],
    ).toEqual([]);
    await expect(claim('deepseek', '--list')).rejects.toMatchObject({
      code: 'usage',
      field: '--list',
    });
  });

  it('reads a file of one’s own, and names the field that is wrong', async () => {
    const file = join(folder, 'mine.json');
    const period = { kind: 'flow', start: '2025', end: '2025' };
    const figure = {
      id: 'run',
      what: 'my run',
      usd: 12.5,
      basis: 'published',
      scope: 'one run',
      period,
      source: 'an invoice',
    };
    const mine = {
      id: 'mine',
      title: 'Mine',
      said: [{ what: 'Cheap.', who: 'me', when: '2025', source: 'my notes' }],
      figures: [figure],
    };
    writeFileSync(file, JSON.stringify(mine));
    expect(JSON.parse(await claim(file, '--json')).figures[0]).toMatchObject({
      usd: 12.5,
      usdExact: '12.5',
      formula: null,
    });
    const yaml = join(folder, 'mine.yaml');
    writeFileSync(yaml, `# mine\n${JSON.stringify(mine)}\n`);
    printed = '';
    expect(JSON.parse(await claim(yaml, '--json')).figures[0].usd).toBe(12.5);
    writeFileSync(yaml, 'id: [mine\n');
    await expect(claim(yaml)).rejects.toMatchObject({ code: 'data', field: yaml });
    printed = '';
    expect(await claim(file)).toMatch(/my run +\$12\.5/);
    writeFileSync(
      file,
      JSON.stringify({ ...mine, figures: [{ ...figure, period: { ...period, kind: 'lump' } }] }),
    );
    await expect(claim(file)).rejects.toMatchObject({
      code: 'usage',
      field: 'figures.0.period.kind',
    });
    await expect(claim(join(folder, 'none.json'))).rejects.toMatchObject({ code: 'data' });
    await expect(claim('openai')).rejects.toThrow(/no claim "openai"; there are deepseek, /);
  });
});
