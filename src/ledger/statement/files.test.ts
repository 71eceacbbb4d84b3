import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEventLog } from '../../usage/log.js';
import { defaultPriceBook, parsePriceBook } from '../book/price-book.js';
import { usageOf } from '../testing.js';
import { loadPriceBook, priceBookOfRun, readRun, writeBill } from './files.js';
import { statementDocument } from './schema.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-ledger-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function makeRun(name: string): string {
  const run = join(folder, name);
  mkdirSync(run, { recursive: true });
  const log = openEventLog(join(run, 'events.jsonl'), { attempt: 0 });
  log.append({ type: 'usage', step: 1, usage: usageOf({ workerSeconds: 3600 }) });
  log.append({ type: 'ended', step: 1, reason: 'completed' });
  log.close();
  return run;
}

describe('writeBill', () => {
  it('writes the document, counting what could not be read', async () => {
    const run = makeRun('r');
    appendFileSync(join(run, 'events.jsonl'), 'nonsense\n{"type":"usa');
    const bill = await writeBill(run, parsePriceBook({ rentUsdPerCoreHour: 0.5 }, 'p'));
    const written = JSON.parse(readFileSync(join(run, 'bill.json'), 'utf8'));
    expect(written).toEqual(JSON.parse(JSON.stringify(bill)));
    expect(statementDocument.safeParse(written).success).toBe(true);
    expect(bill.totals.headline.amount).toBe('0.5');
    const bytes = statSync(join(run, 'events.jsonl')).size;
    expect(bill.lines.find(({ run }) => run?.item === 'storage')?.quantity).toBe(
      (bytes / 1e9).toFixed(9),
    );
    // The bill itself is not in it: a second bill is the same.
    expect(await writeBill(run, parsePriceBook({ rentUsdPerCoreHour: 0.5 }, 'p'))).toEqual(bill);
    expect(bill.notes).toContain('2 unreadable lines of the log of r are not billed.');
    expect((await readRun(run)).name).toBe(basename(run));
  });
});

describe('price books', () => {
  it('by name or file, with errors that name the file or the field', () => {
    const file = join(folder, 'prices.json');
    expect(loadPriceBook('rent')).toEqual(defaultPriceBook('rent'));
    expect(loadPriceBook('own').mode).toBe('own');
    expect(() => loadPriceBook(file)).toThrow(/prices.json: it does not exist/);
    writeFileSync(file, '{"pue": ');
    expect(() => loadPriceBook(file)).toThrow(/not valid JSON/);
    writeFileSync(file, '{"pue": 0}');
    expect(() => loadPriceBook(file)).toThrow(/price book prices.json: pue: /);
    writeFileSync(file, '{"pue": 1.3}');
    expect(loadPriceBook(file).pue.value).toBe(1.3);
  });

  it('a run keeps the book that it was billed with, when that was the user’s own', async () => {
    const run = makeRun('r');
    expect(priceBookOfRun(run)).toEqual(defaultPriceBook());
    const book = parsePriceBook({ mode: 'own', machineUsd: 123 }, 'mine.json');
    await writeBill(run, book);
    expect(priceBookOfRun(run)).toEqual(book);
    writeFileSync(join(run, 'bill.json'), '{"priceBook": {"name": "odd"}}');
    expect(priceBookOfRun(run)).toEqual(defaultPriceBook());
  });
});
