/**
 * @file The ledger's files: logs to bill, price books, and `bill.json` in a run's folder.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readJson, writeFileAtomic } from '../../base/files.js';
import { readEvents } from '../../usage/log.js';
import {
  defaultPriceBook,
  type PriceBook,
  parsePriceBook,
  priceBookSchema,
} from '../book/price-book.js';
import { parsePlan } from './predicted.js';
import { type BilledRun, type BillOptions, computeBill, type RunStatement } from './runs.js';

/** The largest of a run's files that is read whole. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

export const EVENTS_FILE = 'events.jsonl';
export const BILL_FILE = 'bill.json';
export const PLAN_FILE = 'plan.json';

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
 * The price book for a run when none is asked for: the one that the run was billed with, when that
 * was the user's own; else the catalog's.
 */
export function priceBookOfRun(runFolder: string): PriceBook {
  const file = join(runFolder, BILL_FILE);
  if (!existsSync(file)) return defaultPriceBook();
  const parsed = priceBookSchema.safeParse(
    (readJson(file, 'bill', MAX_FILE_BYTES, false) as { priceBook?: unknown } | null)?.priceBook,
  );
  return parsed.success && parsed.data.name !== 'catalog' ? parsed.data : defaultPriceBook();
}

/** Reads a run's log for billing. @throws UserError (data) */
export async function readRun(runFolder: string): Promise<BilledRun> {
  const { events, malformed, torn } = await readEvents(join(runFolder, EVENTS_FILE));
  const unreadableLines = malformed.length + (torn ? 1 : 0);
  const planFile = join(runFolder, PLAN_FILE);
  const plan = existsSync(planFile)
    ? parsePlan(readJson(planFile, 'plan', MAX_FILE_BYTES, false), planFile)
    : undefined;
  return {
    name: basename(resolve(runFolder)),
    events,
    unreadableLines,
    keptBytes: folderBytes(runFolder),
    plan,
  };
}

/**
 * Bytes in a run's folder, without the bill and the lock, so that billing twice gives the same
 * bill.
 */
function folderBytes(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === BILL_FILE || entry.name.endsWith('.lock')) continue;
    // A run may be at work in it: what is gone by now takes no room.
    bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

/**
 * Computes the bill of a run and writes it to its folder as `bill.json`.
 * @throws UserError (data, disk)
 */
export async function writeBill(
  runFolder: string,
  book: PriceBook = defaultPriceBook(),
  options: BillOptions = {},
): Promise<RunStatement> {
  const bill = computeBill([await readRun(runFolder)], book, options);
  writeFileAtomic(join(runFolder, BILL_FILE), `${JSON.stringify(bill, null, 2)}\n`, 'bill');
  return bill;
}
