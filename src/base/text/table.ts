/**
 * @file Tables of text: aligned columns for a terminal, titled and ruled ones for bills, and
 * Markdown. The one place that sets cells side by side.
 */
import { ascii, markdown } from './escape.js';
import { TEXT_WIDTH } from './wrap.js';

/** Styles of a terminal; each returns its text with or without escape sequences. */
export interface TextStyle {
  bold(text: string): string;
  dim(text: string): string;
}

export const PLAIN_STYLE: TextStyle = { bold: (text) => text, dim: (text) => text };

export interface Table {
  title?: string;
  head: readonly string[];
  /** For each column, true when its cells are numbers and align right. */
  right: readonly boolean[];
  rows: readonly (readonly string[])[];
  /** Rows at the end that are set off by a rule. */
  footer?: readonly (readonly string[])[];
  /** Heads of columns that a narrow terminal can do without, the first to go first. */
  optional?: readonly string[];
}

/** Text columns are cut to this at least, before a line becomes too wide. */
const LEAST = 6;

/** Widths of columns that fit `limit`: text columns are shortened, widest first; numbers never. */
function fittedWidths(
  rows: readonly (readonly string[])[],
  right: readonly boolean[],
  gap: number,
  limit: number,
): number[] {
  const widths = right.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const total = (): number => widths.reduce((all, one) => all + one, 0) + gap * (widths.length - 1);
  for (let excess = total() - limit; excess > 0; excess--) {
    const widest = widths.reduce(
      (best, width, i) => (!right[i] && (best < 0 || width > widths[best]) ? i : best),
      -1,
    );
    if (widest < 0 || widths[widest] <= LEAST) break;
    widths[widest]--;
  }
  return widths;
}

/** Text cut to a width. The end of a path tells more than its beginning. */
function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  return text.includes('/') ? `..${text.slice(2 - width)}` : `${text.slice(0, width - 2)}..`;
}

export interface ColumnOptions {
  /** Spaces between columns. */
  gap?: number;
  /** Columns of the terminal. */
  width?: number;
  /** Styles a cell after it was padded. */
  paint?: (cell: string, row: number, column: number) => string;
}

/** Cells in aligned columns, a line a row. @param right true for columns that align right */
export function columns(
  rows: readonly (readonly string[])[],
  right: readonly boolean[],
  { gap = 2, width = Number.POSITIVE_INFINITY, paint = (cell) => cell }: ColumnOptions = {},
): string[] {
  const widths = fittedWidths(rows, right, gap, width);
  const last = right.length - 1;
  return rows.map((row, r) =>
    row
      .map((cell, i) => {
        const text = right[i] ? cell.padStart(widths[i]) : cut(cell, widths[i]);
        return paint(i === last ? text : text.padEnd(widths[i]), r, i);
      })
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}

/** The table without the first of its columns that can be spared; null where none can. */
function narrower({ optional = [], ...table }: Table): Table | null {
  const spared = table.head.indexOf(optional[0] ?? '');
  if (spared < 0) return null;
  const without = <T>(row: readonly T[]): T[] => row.filter((_, i) => i !== spared);
  return {
    ...table,
    head: without(table.head),
    right: without(table.right),
    rows: table.rows.map(without),
    footer: table.footer?.map(without),
    optional: optional.slice(1),
  };
}

/**
 * Head, rows and footer as aligned lines. Where they are wider than `width`, optional columns go
 * first, then text columns are cut; numbers are never cut.
 */
export function tableLines(table: Table, width = TEXT_WIDTH): string[] {
  const { head, right, rows, footer = [] } = table;
  const cells = [head, ...rows, ...footer];
  const full = columns(cells, right);
  if (Math.max(...full.map((line) => line.length)) <= width) return full;
  const smaller = narrower(table);
  return smaller === null ? columns(cells, right, { width }) : tableLines(smaller, width);
}

/** A titled table with rules, in ASCII. Lines fit `width` unless numbers alone are wider. */
export function tableText(
  table: Table,
  { style = PLAIN_STYLE, width = TEXT_WIDTH }: { style?: TextStyle; width?: number } = {},
): string {
  const { title, rows, footer = [] } = table;
  const plain = {
    ...table,
    head: table.head.map(ascii),
    rows: rows.map((row) => row.map(ascii)),
    footer: footer.map((row) => row.map(ascii)),
    optional: table.optional?.map(ascii),
  };
  const lines = tableLines(plain, width);
  const rule = style.dim('-'.repeat(Math.max(...lines.map((line) => line.length))));
  const end = footer.length > 0 ? [rule, ...lines.slice(1 + rows.length).map(style.bold)] : [];
  const start = title === undefined ? [] : [style.bold(ascii(title)), rule];
  return [...start, lines[0], rule, ...lines.slice(1, 1 + rows.length), ...end].join('\n');
}

/**
 * A table in Markdown without its title. @param cell makes text of a cell safe; the identity where
 * cells are Markdown of our own
 */
export function markdownTable(
  { head, right, rows, footer = [] }: Omit<Table, 'title'>,
  cell: (text: string) => string = markdown,
): string {
  const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`;
  const bold = (text: string): string => (text === '' ? '' : `**${cell(text)}**`);
  return [
    line(head.map(cell)),
    line(right.map((isRight) => (isRight ? '---:' : '---'))),
    ...rows.map((row) => line(row.map(cell))),
    ...footer.map((row) => line(row.map(bold))),
  ].join('\n');
}
