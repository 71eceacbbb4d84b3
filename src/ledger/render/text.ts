/**
 * @file A statement for the terminal (at most 100 columns, fewer where it is narrower; ASCII only)
 * and as Markdown.
 */
import {
  ascii,
  markdown,
  markdownTable,
  PLAIN_STYLE,
  type TextStyle,
  tableText,
  textWidth,
  wrap,
} from '../../base/text/index.js';
import type { Statement } from '../statement/statement.js';
import { costTables, factsOf, gainTables, notesOf, tablesOf } from './tables.js';

export interface StatementTextOptions {
  style?: TextStyle;
  /** Columns of the terminal; at most 100 are used. */
  width?: number;
  /** Only both totals, what it cost and what was gained. */
  brief?: boolean;
}

export function statementText(statement: Statement, options: StatementTextOptions = {}): string {
  const { style = PLAIN_STYLE, brief = false } = options;
  const width = textWidth(options.width, 40);
  const list = (texts: readonly string[], first: string): string =>
    texts
      .flatMap((text) =>
        wrap(ascii(text), { first, rest: ' '.repeat(Math.max(2, first.length)), width }),
      )
      .join('\n');
  const title = ascii(statement.title);
  const rule = style.dim('='.repeat(Math.min(title.length, width)));
  const facts = factsOf(statement).slice(0, brief ? 1 : undefined);
  const tables = brief ? [...costTables(statement), ...gainTables(statement)] : tablesOf(statement);
  const notes = brief ? [] : notesOf(statement);
  return [
    `${style.bold(title)}\n${rule}\n${list(facts, '')}`,
    ...tables.map((table) => tableText(table, { style, width })),
    ...(notes.length > 0 ? [`${style.bold('Notes')}\n${style.dim(list(notes, '  - '))}`] : []),
  ].join('\n\n');
}

export function statementMarkdown(statement: Statement): string {
  const list = (texts: readonly string[]) => texts.map((text) => `- ${markdown(text)}`).join('\n');
  const parts = [`## ${markdown(statement.title)}`, list(factsOf(statement))];
  for (const table of tablesOf(statement))
    parts.push(`### ${markdown(table.title ?? '')}`, markdownTable(table));
  const notes = notesOf(statement);
  if (notes.length > 0) parts.push('### Notes', list(notes));
  return parts.join('\n\n');
}
