/**
 * @file The ledger's files: logs to bill, price books, and `bill.json` in a run's folder.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
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
