/**
 * @file Usage files, imported: every row is billed once, or counted with the reason why not.
 *
 * - A row that cannot be read is *malformed*: counted, and listed with its file, line and reason.
 * - A row that is no usage (a job step, a job that never ran) is *skipped*, and counted by reason.
 * - The same file again is a *duplicate*, by its hash. A quantity is known by (source, native id,
 *   window): the same one again is a duplicate too, and of two windows of one id that overlap, the
 *   later is *split*: only the part that was not seen counts.
 * - A charge has no id in FOCUS; in one file each line counts. In two files, the same charge (every
 *   describing column, window and amount) is a duplicate, and one that overlaps another of the same
 *   description is *refused* and listed: it may be a restated estimate, and money is not split.
 *
 * Quantities go to a temporary table, about 100 bytes a row; charges are summed where they lie.
 */
import { statSync } from 'node:fs';

import { allRules, checkConditions, type Rules } from '../book/allocation-rules.js';
import type { Database } from './duckdb.js';
import type { Importer, UsageFile } from './importer.js';
import { IMPORTERS } from './importers.js';
import { demandFile, openUsageFile, sha256Of } from './open.js';
import { loadQuantities, tablesOf } from './quantities.js';
import { dropRepeated, dropTwoSources } from './repeated.js';
import { demandRows, emptyReport, type Imported, inFile, LISTED } from './report.js';

/**
 * Imports usage files.
 * @throws UserError (data) when a file as a whole cannot be read: a bill without it would be wrong
 */
export async function importUsage(
  db: Database,
  paths: readonly string[],
  rules: Rules,
  importers: readonly Importer[] = IMPORTERS,
): Promise<Imported> {
  for (const sql of tablesOf(importers)) await db.run(sql);
  const imported: Imported = {
    reports: [],
    malformed: [],
    refused: [],
    repeated: [],
    charges: [],
    rules: allRules(rules, importers),
    notes: [],
    hashing: [],
  };
  for (const path of paths) demandFile(path);
  const sizes = paths.map((path) => statSync(path).size);
  const seen = new Map<string, string>();
  const files: UsageFile[] = [];
  for (const [i, path] of paths.entries()) {
    const hash = sha256Of(path);
    hash.catch(() => {}); // A failure surfaces where `hashing` is awaited.
    // A file of another size than all others is no copy of one; it is hashed while DuckDB reads it.
    const first =
      sizes.indexOf(sizes[i]) === sizes.lastIndexOf(sizes[i]) ? undefined : seen.get(await hash);
    if (first !== undefined) {
      imported.notes.push(`${path} is the same file as ${first}; it is billed once.`);
      continue;
    }
    const file = await openUsageFile({
      db,
      path,
      index: files.length,
      importers,
      optionsOf: ({ name }) => rules.options[name],
      several: paths.length > 1,
    });
    files.push(file);
    imported.reports.push(emptyReport(file));
    imported.hashing.push(
      hash.then((sha256) => {
        seen.set(sha256, path);
        imported.reports[file.index].sha256 = sha256;
      }),
    );
    imported.hashing[file.index].catch(() => {});
    imported.malformed.push(...file.early.slice(0, LISTED));
    const report = imported.reports[file.index];
    report.malformed = file.early.length;
    report.rows = file.early.length;
  }
  checkConditions(rules, files, importers);
  for (const file of files) {
    if (file.importer.money === 'charge') imported.charges.push(file);
    else {
      await inFile(file, () => loadQuantities(db, file, rules, imported));
      demandRows(imported, file);
    }
  }
  const repeatedIds = await dropRepeated(db, imported, files, rules);
  await dropTwoSources(db, imported, files);
  for (const importer of importers) {
    const own = files.filter((file) => file.importer === importer);
    if (own.length === 0) continue;
    const facts = own.map(({ index, format, names }) => ({
      format,
      columns: names,
      rows: imported.reports[index].rows,
      repeatedIds: repeatedIds.has(index),
    }));
    imported.notes.push(...importer.notes(rules.options[importer.name], facts));
  }
  return imported;
}
