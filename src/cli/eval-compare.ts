/**
 * @file `reckoner eval compare`: evaluations beside each other and beside published results,
 * accuracy against cost.
 */
import { statSync } from 'node:fs';
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { measuredRow, publishedBenchmarks, publishedRows } from '../evaluation/compare.js';
import { readTranscripts } from '../evaluation/transcripts.js';
import {
  comparisonHtml,
  comparisonMarkdown,
  comparisonSvg,
  comparisonText,
} from './accuracy-cost.js';
import { type EvalCompareDocument, SCHEMA_VERSION } from './documents.js';
import { note, print, printDocument, styleFor, withExamples } from './output.js';

interface CompareFlags {
  published?: string[];
  out?: string;
  json?: boolean;
}

export function evalCompareCommand(): Command {
  const command = new Command('compare')
    .description(
      'evaluations beside each other and beside published results: a table, and a picture of accuracy against cost',
    )
    .argument('[files...]', 'transcripts that "reckoner eval" wrote')
    .option(
      '--published <benchmarks...>',
      `published results of: ${publishedBenchmarks().join(', ')}`,
    )
    .option('--out <file>', 'write a page (.html), the picture (.svg) or tables (.md)')
    .option('--json', 'print one JSON document')
    .action((files: string[], _flags: CompareFlags, self: Command) =>
      runCompare(files, self.optsWithGlobals<CompareFlags>()),
    );
  return withExamples(
    command,
    'reckoner eval compare --published "AIME 2024" "Aider polyglot" --out accuracy-cost.html',
    'reckoner eval compare runs/evaluations/*.jsonl',
  );
}

function runCompare(files: readonly string[], { published = [], out, json }: CompareFlags): void {
  const known = publishedBenchmarks();
  const unknown = published.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const message = `no published results of ${JSON.stringify(unknown)}; there are ${known.join(', ')}`;
    throw new UserError('usage', message, '--published');
  }
  const measured = files.map((file) =>
    measuredRow(file, readTranscripts(file), statSync(file).mtime.toISOString().slice(0, 10)),
  );
  const rows = [...measured, ...publishedRows(published)];
  if (rows.length === 0) {
    throw new UserError(
      'usage',
      'nothing to compare; name files of transcripts, or benchmarks with --published',
      'files',
    );
  }
  if (out !== undefined) {
    const ending = /\.(html|svg|md)$/.exec(out)?.[1];
    if (ending === undefined)
      throw new UserError('usage', `--out: ${out} must end with .html, .svg or .md`, '--out');
    const picture = ending === 'svg' ? comparisonSvg(rows) : '';
    if (picture === null)
      throw new UserError(
        'usage',
        `--out: no row has both an accuracy and a cost; take .html or .md`,
        '--out',
      );
    const text = {
      html: () => comparisonHtml(rows),
      md: () => comparisonMarkdown(rows),
      svg: () => picture,
    }[ending as 'html']();
    writeFileAtomic(out, text, 'comparison');
  }
  const document: EvalCompareDocument = { schemaVersion: SCHEMA_VERSION, rows, out: out ?? null };
  if (json) printDocument(document);
  else print(comparisonText(rows, styleFor(process.stdout)));
  if (out !== undefined && !json) note(`written to ${out}`);
}
