/**
 * @file A statement for the terminal (at most 100 columns, ASCII) and as Markdown.
 */

import type { Statement } from '../statement/statement.js';
import type { PrintStyle } from './bill.js';
import { factsOf, type Table, tablesOf } from './tables.js';

const WIDTH = 100;

export function statementText(
  statement: Statement,
  options: { style?: PrintStyle; width?: number } = {},
): string {
  const style = options.style ?? { bold: (text: string) => text, dim: (text: string) => text };
  const width = Math.max(60, Math.min(WIDTH, options.width ?? WIDTH));
  const title = plain(statement.title);
  return [
    `${style.bold(title)}\n${style.dim('='.repeat(Math.min(title.length, width)))}\n${wrapAll(factsOf(statement), '', width)}`,
    ...tablesOf(statement).map((table) => textTable(table, style, width)),
    ...(statement.notes.length > 0
      ? [`${style.bold('Notes')}\n${wrapAll(statement.notes, '  - ', width)}`]
      : []),
  ].join('\n\n');
}

export function statementMarkdown(statement: Statement): string {
  const parts = [
    `## ${escaped(statement.title)}`,
    factsOf(statement)
      .map((fact) => `- ${escaped(fact)}`)
      .join('\n'),
  ];
  for (const table of tablesOf(statement)) parts.push(`### ${table.title}`, markdownTable(table));
  if (statement.notes.length > 0)
    parts.push('### Notes', statement.notes.map((note) => `- ${escaped(note)}`).join('\n'));
  return parts.join('\n\n');
}

/**
 * Foreign text in one line of printable ASCII: no escape sequence of a file reaches the terminal.
 */
function plain(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[–—]/g, '-')
    .replace(/[^\x20-\x7e]/g, '?');
}

/** Foreign text in Markdown: no link, image, tag or table cell of its own. */
function escaped(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>|#!]/g, (character) => `\\${character}`);
}

function wrapAll(texts: readonly string[], bullet: string, width: number): string {
  return texts
    .flatMap((text) => wrap(plain(text), bullet, ' '.repeat(Math.max(2, bullet.length)), width))
    .join('\n');
}

function wrap(text: string, first: string, rest: string, width: number): string[] {
  const lines: string[] = [];
  let line = first;
  for (const word of text.split(' ')) {
    if (line.trim() !== '' && line.trim() !== '-' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = rest + word;
    } else line += line === first || line === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}

function textTable(
  { title, head, right, rows, footer }: Table,
  style: PrintStyle,
  limit: number,
): string {
  const texts = [head, ...rows, ...footer].map((row) => row.map(plain));
  const widths = head.map((_, i) => Math.max(...texts.map((row) => row[i].length)));
  // Too wide: shorten the text columns, widest first. Numbers are never cut.
  for (
    let excess = widths.reduce((sum, one) => sum + one, 0) + 2 * (widths.length - 1) - limit;
    excess > 0;
    excess--
  ) {
    const widest = widths.reduce(
      (best, one, i) => (!right[i] && (best < 0 || one > widths[best]) ? i : best),
      -1,
    );
    if (widest < 0 || widths[widest] <= 8) break;
    widths[widest]--;
  }
  const fit = (text: string, i: number): string => {
    if (right[i]) return text.padStart(widths[i]);
    // The end of a path says more than its beginning.
    const cut = text.includes('/')
      ? `..${text.slice(2 - widths[i])}`
      : `${text.slice(0, widths[i] - 2)}..`;
    return (text.length > widths[i] ? cut : text).padEnd(widths[i]);
  };
  const lines = texts.map((row) => row.map(fit).join('  ').trimEnd());
  const rule = style.dim(
    '-'.repeat(widths.reduce((sum, one) => sum + one, 0) + 2 * (widths.length - 1)),
  );
  const end = footer.length > 0 ? [rule, ...lines.slice(1 + rows.length).map(style.bold)] : [];
  return [style.bold(title), rule, lines[0], rule, ...lines.slice(1, 1 + rows.length), ...end].join(
    '\n',
  );
}

function markdownTable({ head, right, rows, footer }: Table): string {
  const line = (row: string[]) => `| ${row.join(' | ')} |`;
  const bold = (row: string[]) => row.map((cell) => (cell === '' ? '' : `**${escaped(cell)}**`));
  const rule = `| ${right.map((isRight) => (isRight ? '---:' : '---')).join(' | ')} |`;
  return [
    line(head),
    rule,
    ...rows.map((row) => line(row.map(escaped))),
    ...footer.map((row) => line(bold(row))),
  ].join('\n');
}
