/**
 * @file Word wrap for text in a terminal.
 */

/** Columns that output for people takes at most. */
export const TEXT_WIDTH = 100;

/** Columns to use on a terminal that has `columns` (undefined: no terminal). */
export function textWidth(columns: number | undefined, least = 60): number {
  return Math.max(least, Math.min(TEXT_WIDTH, columns ?? TEXT_WIDTH));
}

export interface WrapOptions {
  /** Columns of a line; a longer word stands alone. */
  width?: number;
  /** What the first line begins with: a bullet, a label. */
  first?: string;
  /** What every further line begins with. */
  rest?: string;
}

/** Breaks text at spaces into lines. */
export function wrap(
  text: string,
  { width = TEXT_WIDTH, first = '', rest = '' }: WrapOptions = {},
): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = rest + word;
    } else line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
