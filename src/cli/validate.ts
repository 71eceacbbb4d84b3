/**
 * @file `reckoner validate`: the planner against published measurements.
 */
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { readRegularText } from '../base/regular.js';
import { formatShare, TEXT_WIDTH, tableLines, textWidth } from '../base/text/index.js';
import type { Group } from '../planner/validate/report.js';
import { type ValidationReport, validate } from '../planner/validate/validate.js';
import { SCHEMA_VERSION, type ValidateDocument } from './documents.js';
import { PLAIN, print, printDocument, type Style, styleFor, withExamples } from './output.js';

/** @throws UserError when the file cannot be read or is no table of measurements */
export function validateFile(file: string): ValidationReport {
  let text: string;
  try {
    text = readRegularText(file, 'CSV of published measurements');
  } catch (error) {
    if (existsSync(file) && error instanceof UserError)
      throw new UserError('data', error.message, 'rows');
    const why = 'there is no such file; give a CSV of published measurements';
    throw new UserError('data', `${file}: ${why}`, 'rows');
  }
  return validate(text, file);
}

const signed = (fraction: number): string => `${fraction > 0 ? '+' : ''}${formatShare(fraction)}`;

/** The report for people: errors by group, then why rows were skipped. */
export function renderValidation(
  report: ValidationReport,
  style: Style = PLAIN,
  width = TEXT_WIDTH,
): string {
  const { rows, predicted, skipped, groups } = report;
  const lines = [`${predicted} of ${rows} rows predicted, ${skipped.length} skipped.`];
  const headings: [Group['by'], string][] = [
    ['metric', 'by metric'],
    ['family', 'by family'],
    ['gpu', 'by accelerator'],
    ['source', 'by source'],
  ];
  for (const [by, heading] of headings) {
    const members = groups.filter((group) => group.by === by);
    if (members.length === 0) continue;
    const [head, ...body] = tableLines(
      {
        head: [heading, 'n', 'median error', '90th pct', 'bias', 'in interval'],
        right: [false, true, true, true, true, true],
        rows: members.map(({ key, n, medianAbsError, p90AbsError, bias, coverage90 }) => [
          key,
          String(n),
          formatShare(medianAbsError),
          formatShare(p90AbsError),
          signed(bias),
          formatShare(coverage90),
        ]),
      },
      width,
    );
    lines.push('', style.bold(head), ...body);
  }
  if (skipped.length > 0) {
    const reasons = new Map<string, number>();
    for (const { reason } of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    lines.push('', style.bold('skipped'));
    const ordered = [...reasons].sort(([, a], [, b]) => b - a);
    for (const [reason, times] of ordered.slice(0, 12))
      lines.push(`${String(times).padStart(6)}  ${reason}`);
    if (ordered.length > 12)
      lines.push(`        and ${ordered.length - 12} more reasons; --json lists each row`);
  }
  return lines.join('\n');
}

export function validateCommand(): Command {
  const command = new Command('validate')
    .description(
      'Predict every row of a table of published measurements and report the errors: by metric, model family, accelerator, source.',
    )
    .argument(
      '<rows.csv>',
      'a table of training or of serving measurements; see docs/guides/validate.md for the columns',
    )
    .option('--json', 'print one JSON document')
    .action((file: string, options: { json?: boolean }) => {
      const report = validateFile(file);
      if (options.json)
        printDocument({ schemaVersion: SCHEMA_VERSION, ...report } satisfies ValidateDocument);
      else
        print(
          renderValidation(report, styleFor(process.stdout), textWidth(process.stdout.columns)),
        );
    });
  return withExamples(
    command,
    'reckoner validate measurements.csv',
    'reckoner validate measurements.csv --json',
  );
}
