/**
 * @file Text from others (names of runs, accounts, files; reasons) made safe for where it is
 * printed: a terminal, Markdown, HTML, CSV. A name must not bring an escape sequence, an image, a
 * link or a formula of its own.
 */

/** What moves, hides or reorders text on a terminal, and no character that is written with. */
const CONTROLS =
  /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/**
 * Text for a terminal: no escape sequence, cursor movement, hyperlink (OSC 8) or reordering (bidi
 * overrides) of its own. Line feeds and tabs stay; a control character shows as its picture (␛),
 * what has none as �. Joiners stay, since emoji and scripts are written with them.
 */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(CONTROLS, (character) => {
    const code = character.codePointAt(0) as number;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return code === 0x7f ? '\u2421' : '\ufffd';
  });
}

/** The same on one line: a name, a reason, a cell of a table. */
export const printableLine = (text: string): string => printable(text).replace(/[\n\t]+/g, ' ');

/** One line of printable ASCII: typographic marks get their plain form, all else becomes `?`. */
export function ascii(text: string): string {
  return text
    .replace(/[‘’]/g, "'")
    .replace(/[“”]/g, '"')
    .replace(/[–—−]/g, '-')
    .replace(/×/g, 'x')
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[^\x20-\x7e]/g, '?');
}

/** One line of Markdown without markup: no link, image, tag or table cell of its own. */
export function markdown(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/\p{Cc}/gu, '?')
    .replace(/[\\`*_[\]<>|#!~]/g, (character) => `\\${character}`);
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for HTML and SVG, in an element or an attribute. */
export function html(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => ENTITIES[character])
    .replace(/[^\P{Cc}\n\t]/gu, '?');
}

/**
 * A cell of CSV (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe before
 * it (OWASP "CSV injection"), and tags lose their brackets, since some viewers render cells as
 * HTML. JSON and Parquet keep the exact text.
 */
export function csvCell(text: string): string {
  const still = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  const plain = still.replaceAll('<', '‹').replaceAll('>', '›');
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
