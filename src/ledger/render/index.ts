/**
 * @file Every way to print a statement, by the name that `--format` takes.
 */
import { writeFileAtomic } from '../../base/files.js';
import type { TextStyle } from '../../base/text/index.js';
import type { Statement } from '../statement/statement.js';
import { statementCsv, statementFocusCsv } from './csv.js';
import { statementHtml } from './html.js';
import { writeStatementParquet } from './parquet.js';
import { statementMarkdown, statementText } from './text.js';

export const STATEMENT_FORMATS = [
  'text',
  'markdown',
  'csv',
  'focus-csv',
  'html',
  'parquet',
] as const;
export type StatementFormat = (typeof STATEMENT_FORMATS)[number];

/** A statement in one of the formats that are text. */
export function formatStatement(
  statement: Statement,
  format: Exclude<StatementFormat, 'parquet'>,
  options: { style?: TextStyle; width?: number } = {},
): string {
  if (format === 'text') return statementText(statement, options);
  return {
    markdown: statementMarkdown,
    csv: statementCsv,
    'focus-csv': statementFocusCsv,
    html: statementHtml,
  }[format](statement);
}

/** Writes a statement to a file. @throws UserError, or an error of the file system */
export async function writeStatement(
  statement: Statement,
  format: StatementFormat,
  path: string,
): Promise<void> {
  if (format === 'parquet') await writeStatementParquet(statement, path);
  else writeFileAtomic(path, formatStatement(statement, format).replace(/\n?$/, '\n'), 'bill');
}
