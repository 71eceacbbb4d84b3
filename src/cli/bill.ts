/**
 * @file `reckoner bill`: what a run cost, headline and full.
 */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { RUNS, resolveRun } from '../checkpoints/run-folder.js';
import { billMarkdown, billText, computeBill, loadPriceBook, priceBookOfRun, readRun } from '../ledger/index.js';
import { print, printDocument, styleFor, withExamples } from './output.js';

interface Options {
  prices?: string;
  runs: string;
  json?: boolean;
  markdown?: boolean;
}

export function billCommand(): Command {
  const command = new Command('bill')
    .description(
      'Show what a run cost: the headline (core-hours that made the final weights, rented) beside the full bill, by stage. ' +
        'Further runs are billed to full as tried on the way to the first.',
    )
    .argument('[runs...]', 'folders, names or parts of names of runs; default: the newest')
    .option('--prices <book>', 'rent or own, from the catalog, or a JSON file with prices of your own (default: as trained)')
    .option('--runs <folder>', 'where runs are kept', RUNS)
    .option('--markdown', 'print Markdown')
    .option('--json', 'print one JSON document')
    .action(async (names: string[], options: Options) => {
      const wanted = names.length === 0 ? [undefined] : names;
      const folders = [...new Set(wanted.map((name) => resolve(resolveRun(name, options.runs).root)))];
      const book = options.prices === undefined ? priceBookOfRun(folders[0]) : loadPriceBook(options.prices);
      const runs = [];
      for (const folder of folders) runs.push(await readRun(folder));
      const bill = computeBill(runs, book);
      if (options.json) printDocument(bill);
      else
        print(
          options.markdown
            ? billMarkdown(bill)
            : billText(bill, { style: styleFor(process.stdout), width: process.stdout.columns }),
        );
    });
  return withExamples(command, 'reckoner bill', 'reckoner bill r1-mini --prices own', 'reckoner bill --json');
}
