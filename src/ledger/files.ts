/**
 * @file The ledger's files: runs to bill, price books, and `bill.json` in a run's folder.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { UserError } from '../base/errors.js';
import { readJson, writeFileAtomic } from '../base/files.js';
import { readEvents } from '../usage/log.js';
import { type Bill, type BilledRun, type BillOptions, computeBill } from './bill.js';
import { defaultPriceBook, type PriceBook, parsePriceBook } from './pricebook.js';
import { priceBookSchema } from './schema.js';

export const EVENTS_FILE = 'events.jsonl';
export const BILL_FILE = 'bill.json';

/**
 * A price book by name: `rent` or `own` (both from the catalog), or the path of a JSON file.
 * @throws UserError when the file cannot be read (data) or a field is wrong (usage).
 */
export function loadPriceBook(nameOrFile: string): PriceBook {
  if (nameOrFile === 'rent') return defaultPriceBook('rent');
  if (nameOrFile === 'own') return defaultPriceBook('own');
  return parsePriceBook(readJson(nameOrFile, 'price book'), basename(nameOrFile));
}

/**
 * The price book for a run when none is asked for: the one that the run was billed with, when that was the user's own; else
 * the catalog's.
 */
export function priceBookOfRun(runFolder: string): PriceBook {
  const file = join(runFolder, BILL_FILE);
  if (!existsSync(file)) return defaultPriceBook();
  const parsed = priceBookSchema.safeParse((readJson(file, 'bill') as { priceBook?: unknown } | null)?.priceBook);
  return parsed.success && parsed.data.name !== 'catalog' ? parsed.data : defaultPriceBook();
}

/**
 * The folder of a run: a path, the name of a folder in `runsFolder`, or a part of such a name (a recipe, the hash at the end): then
 * the newest that has it. Without a name: the newest run.
 * @throws UserError (usage)
 */
export function findRun(name: string | undefined, runsFolder = 'runs'): string {
  if (name !== undefined) {
    for (const path of [name, join(runsFolder, name)]) if (existsSync(join(path, EVENTS_FILE))) return resolve(path);
    if (existsSync(name) && statSync(name).isDirectory()) {
      throw new UserError('usage', `${name} is no run: it has no ${EVENTS_FILE}`, 'runs');
    }
  }
  const runs = existsSync(runsFolder)
    ? readdirSync(runsFolder)
        .map((entry) => ({ entry, events: join(runsFolder, entry, EVENTS_FILE) }))
        .filter(({ events }) => existsSync(events))
        .map(({ entry, events }) => ({ entry, time: statSync(events).mtimeMs }))
        .sort((a, b) => b.time - a.time || (a.entry < b.entry ? 1 : -1))
    : [];
  const found = runs.find(({ entry }) => name === undefined || `-${entry}-`.includes(`-${name}-`));
  if (found) return resolve(runsFolder, found.entry);
  if (name === undefined) {
    throw new UserError('usage', `there is no run in ${runsFolder}; make one with: reckoner train`, 'runs');
  }
  const known = runs.slice(0, 5).map(({ entry }) => entry);
  const advice = known.length > 0 ? `the newest are ${known.join(', ')}` : `there are none in ${runsFolder}`;
  throw new UserError('usage', `no run ${name}: ${advice}`, 'runs');
}

/** Reads a run's log for billing. @throws UserError (data) */
export async function readRun(runFolder: string): Promise<BilledRun> {
  const { events, malformed, torn } = await readEvents(join(runFolder, EVENTS_FILE));
  return { name: basename(resolve(runFolder)), events, unreadableLines: malformed.length + (torn ? 1 : 0) };
}

/**
 * Computes the bill of a run and writes it to its folder as `bill.json`.
 * @throws UserError (data, disk)
 */
export async function writeBill(
  runFolder: string,
  book: PriceBook = defaultPriceBook(),
  options: BillOptions = {},
): Promise<Bill> {
  const bill = computeBill([await readRun(runFolder)], book, options);
  writeFileAtomic(join(runFolder, BILL_FILE), `${JSON.stringify(bill, null, 2)}\n`, 'bill');
  return bill;
}
