/**
 * @file Delimited text for the importers: the header, the scan in SQL, and where a record begins.
 *
 * The header is read here and not sniffed, so that the delimiter, the quotes and the types are ours
 * to decide: a damaged file must not be read as another kind of file.
 */
import { closeSync, createReadStream, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { fileLiteral, text } from './duckdb.js';

const HEAD_BYTES = 1 << 20;

/** So much compressed text is read for the head; gzip expands it at most a thousand times. */
const GZIP_HEAD_BYTES = 32 * 1024;

/**
 * The first MB of a file, decompressed where it is gzip. @throws as `fs` does, and when gzip is
 * broken at its start
 */
export function readHead(path: string): { bytes: Buffer; gzip: boolean } {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(HEAD_BYTES);
    const bytes = buffer.subarray(0, readSync(file, buffer, 0, HEAD_BYTES, 0));
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return { bytes, gzip: false };
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 64 * HEAD_BYTES };
    const head = gunzipSync(bytes.subarray(0, GZIP_HEAD_BYTES), options);
    return { bytes: head.subarray(0, HEAD_BYTES), gzip: true };
  } finally {
    closeSync(file);
  }
}

/** A compressed table of text is rarely a thirtieth of it; what is far less is no table. */
const MOST_TIMES = 200;
/** Below this, any ratio is harmless. */
const HARMLESS_BYTES = 64e6;

/**
 * Rejects when gzip expands to far more than a table of text would (a "gzip bomb").
 * @throws Error with the reason
 */
export async function checkExpansion(path: string): Promise<void> {
  const most = Math.max(HARMLESS_BYTES, MOST_TIMES * statSync(path).size);
  let bytes = 0;
  const counter = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done(bytes > most ? new Error(`gzip that expands more than ${MOST_TIMES} times`) : null);
    },
  });
  await pipeline(createReadStream(path, { highWaterMark: 1 << 18 }), createGunzip(), counter);
}

export interface TextFormat {
  delimiter: string;
  /** Empty: fields are never quoted. */
  quote: string;
  gzip: boolean;
}

/** Fields of the first record; null when it does not end within the head. */
export function headerOf(
  head: string,
  { delimiter, quote }: Pick<TextFormat, 'delimiter' | 'quote'>,
): string[] | null {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  const start = head.charCodeAt(0) === 0xfeff ? 1 : 0;
  for (let i = start; i < head.length; i++) {
    const character = head[i];
    if (quoted) {
      if (character !== quote) field += character;
      else if (head[i + 1] === quote) field += head[++i];
      else quoted = false;
    } else if (quote !== '' && character === quote) quoted = true;
    else if (character === delimiter) {
      fields.push(field);
      field = '';
    } else if (character === '\n' || character === '\r')
      return [...fields, field].map((one) => one.trim());
    else field += character;
  }
  return quoted || head.length >= HEAD_BYTES ? null : [...fields, field].map((one) => one.trim());
}

/**
 * Names made unique without regard to case, as SQL wants them; an empty one is named by its place.
 */
export function uniqueNames(header: readonly string[]): string[] {
  const seen = new Set<string>();
  return header.map((given, i) => {
    const base = given === '' ? `column ${i + 1}` : given;
    let unique = base;
    for (let n = 2; seen.has(unique.toLowerCase()); n++) unique = `${base} (${n})`;
    seen.add(unique.toLowerCase());
    return unique;
  });
}

/**
 * A scan that reads what it can and remembers what it cannot.
 * @param types SQL type by column; VARCHAR where none is given
 * @param tag names the tables of rejected lines: `rejects_<tag>`
 * @param ordered keeps the order of the file, on one thread
 */
export function csvScan(
  path: string,
  format: TextFormat,
  names: readonly string[],
  types: Readonly<Record<string, string>>,
  tag: string,
  ordered = false,
): string {
  const columns = names
    .map((column) => `${text(column)}: ${text(types[column] ?? 'VARCHAR')}`)
    .join(', ');
  const options = [
    'auto_detect = false',
    'header = true',
    `delim = ${text(format.delimiter)}`,
    `quote = ${text(format.quote)}`,
    `escape = ${text(format.quote)}`,
    `compression = ${text(format.gzip ? 'gzip' : 'none')}`,
    `columns = {${columns}}`,
    'store_rejects = true',
    'rejects_limit = 0',
    `rejects_scan = ${text(`rejects_scan_${tag}`)}`,
    `rejects_table = ${text(`rejects_${tag}`)}`,
    ...(ordered ? ['parallel = false'] : []),
  ];
  return `read_csv(${fileLiteral(path)}, ${options.join(', ')})`;
}

/**
 * Physical lines (from 1) on which the given records begin; records count from 1 with the header.
 * They differ where a quoted field holds line breaks.
 */
export function linesOfRecords(
  path: string,
  { quote, gzip }: TextFormat,
  records: readonly number[],
): Map<number, number> {
  const lines = new Map<number, number>();
  const wanted = [...new Set(records)].sort((a, b) => a - b);
  if (quote === '' || wanted.length === 0) return new Map(wanted.map((record) => [record, record]));
  const bytes = gzip
    ? gunzipSync(readFileSync(path), { maxOutputLength: 2e9 })
    : readFileSync(path);
  const mark = quote.charCodeAt(0);
  let [line, record, next, quoted] = [1, 1, 0, false];
  for (let i = 0; i <= bytes.length && next < wanted.length; i++) {
    while (record === wanted[next]) lines.set(wanted[next++], line);
    if (bytes[i] === mark) quoted = !quoted;
    else if (bytes[i] === 10) {
      line++;
      if (!quoted) record++;
    }
  }
  for (; next < wanted.length; next++) lines.set(wanted[next], line);
  return lines;
}

/** One record of a flat copy. */
export function csvLine(fields: readonly (string | null)[]): string {
  return `${fields.map((field) => (field === null ? '' : `"${field.replaceAll('"', '""')}"`)).join(',')}\n`;
}
