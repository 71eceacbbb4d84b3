/**
 * @file Rows of a data file, whatever it is kept in: JSON Lines, a JSON array, Parquet, or a folder
 * of a Hugging Face data set; UTF-8 or UTF-16, with or without a byte-order mark, plain or gzip.
 *
 * A row that cannot be read costs that row: it is left out, counted and named in `notes`. A file
 * without a row that can be read is an error.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../base/errors.js';
import { MAX_TEXT_BYTES, readRegular } from '../base/regular.js';
import { parseJson } from './json.js';

export interface Records {
  readonly rows: { readonly row: Record<string, unknown>; readonly where: string }[];
  /** What was left out, one line each. */
  readonly notes: string[];
}

const ENDINGS = /\.(?:jsonl|ndjson|json|parquet)(?:\.gz)?$/i;
/** Rows that are named one by one before the rest is only counted. */
const NAMED = 3;

/** "2 rows left out: they are not JSON objects (lines 3, 7)". */
export function summary(what: string, places: readonly string[]): string[] {
  if (places.length === 0) return [];
  const named = places.slice(0, NAMED).join(', ');
  const more = places.length > NAMED ? ` and ${places.length - NAMED} more` : '';
  return [
    `${places.length} ${places.length === 1 ? 'row' : 'rows'} left out, ${what}: ${named}${more}`,
  ];
}

/** The text of bytes by their byte-order mark. @throws UserError (usage) */
function decode(bytes: Buffer, file: string, field: string): string {
  const [a, b] = bytes;
  const zeros = bytes.subarray(0, 64);
  const encoding =
    (a === 0xff && b === 0xfe) || (zeros.length > 3 && zeros[1] === 0 && zeros[3] === 0)
      ? 'utf-16le'
      : (a === 0xfe && b === 0xff) || (zeros.length > 3 && zeros[0] === 0 && zeros[2] === 0)
        ? 'utf-16be'
        : 'utf-8';
  try {
    if (encoding === 'utf-16be') {
      const swapped = Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16();
      return new TextDecoder('utf-16le', { fatal: true }).decode(swapped);
    }
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    const at = bytes.findIndex((byte) => byte >= 0x80);
    const line = bytes.subarray(0, Math.max(0, at)).filter((byte) => byte === 10).length + 1;
    const message = `${field}: ${file} is neither UTF-8 nor UTF-16 (near line ${line}; Latin-1?); convert it, for example with "iconv -f latin1 -t utf-8"`;
    throw new UserError('usage', message, field);
  }
}

function gunzip(bytes: Buffer, file: string, field: string): Buffer {
  const { gunzipSync } = createRequire(import.meta.url)('node:zlib') as typeof import('node:zlib');
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_TEXT_BYTES });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const why =
      code === 'ERR_BUFFER_TOO_LARGE' ? `holds more than ${MAX_TEXT_BYTES} bytes` : message;
    throw new UserError('usage', `${field}: ${file} cannot be unpacked: ${why}`, field);
  }
}

/** The rows of a Parquet file as JSON Lines, by DuckDB in a process of its own. */
function parquetText(file: string, field: string): string {
  const require = createRequire(import.meta.url);
  const { spawnSync } = require('node:child_process') as typeof import('node:child_process');
  const script = fileURLToPath(new URL('./parquet.js', import.meta.url)).replace(
    /\/src\/(tasks\/parquet\.js)$/,
    '/dist/$1',
  );
  const result = spawnSync(process.execPath, [script, file], { maxBuffer: MAX_TEXT_BYTES });
  if (result.status === 0) return result.stdout.toString('utf8');
  const why = result.error?.message ?? result.stderr.toString('utf8').trim().split('\n')[0];
  throw new UserError('usage', `${field}: ${file} cannot be read: ${why}`, field);
}

/** Data files of a folder, three levels deep, in order of their names. */
function filesOf(folder: string, split: 'train' | 'evaluation' | null, field: string): string[] {
  const found: string[] = [];
  const walk = (path: string, depth: number): void => {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((x, y) =>
      x.name < y.name ? -1 : 1,
    )) {
      if (entry.name.startsWith('.')) continue;
      const inner = join(path, entry.name);
      // Hugging Face's cache has links to its files; nothing leads out of it by a folder.
      if (entry.isDirectory() && depth < 3) walk(inner, depth + 1);
      else if (
        !entry.isDirectory() &&
        ENDINGS.test(entry.name) &&
        !/^(?:dataset_infos?|state)\.json$/.test(entry.name)
      )
        found.push(inner);
    }
  };
  walk(folder, 0);
  const names = { train: /(?:^|[/_.-])train/i, evaluation: /(?:^|[/_.-])(?:test|valid|dev|eval)/i };
  const relative = (path: string): string => path.slice(folder.length);
  const own = split === null ? found : found.filter((path) => names[split].test(relative(path)));
  const chosen = own.length > 0 ? own : split === 'evaluation' ? [] : found;
  if (chosen.length === 0) {
    const message = `${field}: ${folder} has no .jsonl, .json or .parquet file${split === 'evaluation' ? ' named test, validation or eval' : ''}`;
    throw new UserError('usage', message, field);
  }
  return chosen;
}

/**
 * The rows of a file or of a data set's folder.
 * @param split which files of a folder are meant, by their names
 * @throws UserError (usage) where nothing can be read
 */
export function readRecords(
  file: string,
  field: string,
  split: 'train' | 'evaluation' | null = null,
): Records {
  if (existsSync(file) && statSync(file).isDirectory()) {
    const parts = filesOf(file, split, field).map((inner) => readRecords(inner, field));
    return { rows: parts.flatMap(({ rows }) => rows), notes: parts.flatMap(({ notes }) => notes) };
  }
  let bytes: Buffer;
  try {
    bytes = readRegular(file, 'file', MAX_TEXT_BYTES);
  } catch (error) {
    const why = (error as Error).message.replace(/^cannot read file .*?: /, '');
    const message = `${field}: ${file}: cannot be read (${why}); give the path of a .jsonl, .json or .parquet file`;
    throw new UserError('usage', message, field);
  }
  const magic = bytes.toString('latin1', 0, 4);
  const text =
    magic === 'PAR1'
      ? parquetText(file, field)
      : decode(magic.startsWith('\x1f\x8b') ? gunzip(bytes, file, field) : bytes, file, field);
  const rows: Records['rows'] = [];
  const isRow = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const whole = /^\s*\[/.test(text) ? parseJson(text) : undefined;
  const bad: string[] = [];
  if (Array.isArray(whole)) {
    for (const [i, row] of whole.entries()) {
      if (isRow(row)) rows.push({ row, where: `${file}:${i + 1}` });
      else bad.push(`${file}:${i + 1}`);
    }
  } else {
    for (const [i, line] of text.split(/\r\n|\n|\r(?!\n)/).entries()) {
      if (line.trim() === '') continue;
      const row = parseJson(line);
      if (isRow(row)) rows.push({ row, where: `${file}:${i + 1}` });
      else bad.push(`${file}:${i + 1}`);
    }
    if (rows.length === 0 && bad.length > 0) {
      // One object over several lines.
      const one = parseJson(text);
      if (isRow(one)) return { rows: [{ row: one, where: `${file}:1` }], notes: [] };
    }
  }
  if (rows.length === 0) {
    const why = bad.length > 0 ? `${bad[0]}: is not a JSON object` : `${file}: has no rows`;
    throw new UserError('usage', `${field}: ${why}`, field);
  }
  return { rows, notes: summary('not a JSON object', bad) };
}
