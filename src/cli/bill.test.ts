import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UserError } from '../base/errors.js';
import { billDocument } from '../ledger/index.js';
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
    expect(billDocument.safeParse(document).error?.issues ?? []).toEqual([]);
    expect(document.totals.headline.usd).toBe('0.0816');
  });

  it('prints a table, or Markdown', async () => {
    expect(await bill(folder)).toMatch(/Total +\$0\.082 +\$0\.082/);
    printed = '';
    expect(await bill(folder, '--markdown')).toContain('| grpo | training |');
  });

  it('takes prices of one’s own', async () => {
    const file = join(folder, 'prices.json');
    writeFileSync(file, JSON.stringify({ rentUsdPerCoreHour: { value: 1, source: 'my landlord' } }));
    const text = await bill(folder, '--prices', file);
    expect(text).toMatch(/Total +\$2\.00 +\$2\.00/);
    expect(text).toContain('my landlord');
    writeFileSync(file, JSON.stringify({ rentUsdPerCoreHour: 'cheap' }));
    await expect(bill(folder, '--prices', file)).rejects.toMatchObject({ code: 'usage', field: 'rentUsdPerCoreHour' });
  });

  it('the same run named twice is billed once; a folder without a run is refused', async () => {
    expect(JSON.parse(await bill(folder, folder, '--json')).runs).toHaveLength(1);
    await expect(bill(join(folder, 'no-run'))).rejects.toBeInstanceOf(UserError);
  });

  it('finds a run by its name in a folder', async () => {
    expect(JSON.parse(await bill('--runs', join(folder, '..'), basename(folder), '--json')).runs[0].name).toBe(basename(folder));
  });
});
