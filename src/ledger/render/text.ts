/**
 * @file A statement for the terminal (at most 100 columns, ASCII) and as Markdown.
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
import { factsOf, tablesOf } from './tables.js';

export function statementText(
  statement: Statement,
  options: { style?: TextStyle; width?: number } = {},
): string {
  const style = options.style ?? PLAIN_STYLE;
  const width = textWidth(options.width);
  const list = (texts: readonly string[], first: string): string =>
    texts
      .flatMap((text) =>
        wrap(ascii(text), { first, rest: ' '.repeat(Math.max(2, first.length)), width }),
      )
      .join('\n');
  const title = ascii(statement.title);
  return [
    `${style.bold(title)}\n${style.dim('='.repeat(Math.min(title.length, width)))}\n${list(factsOf(statement), '')}`,
    ...tablesOf(statement).map((table) => tableText(table, { style, width })),
    ...(statement.notes.length > 0
      ? [`${style.bold('Notes')}\n${list(statement.notes, '  - ')}`]
      : []),
  ].join('\n\n');
}

export function statementMarkdown(statement: Statement): string {
  const list = (texts: readonly string[]) => texts.map((text) => `- ${markdown(text)}`).join('\n');
  const parts = [`## ${markdown(statement.title)}`, list(factsOf(statement))];
  for (const table of tablesOf(statement))
    parts.push(`### ${markdown(table.title ?? '')}`, markdownTable(table));
  if (statement.notes.length > 0) parts.push('### Notes', list(statement.notes));
  return parts.join('\n\n');
}
