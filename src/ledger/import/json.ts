/**
 * @file JSON exports, as flat copies: one CSV record an entry, nested names joined by dots.
 *
 * `sacct --json` and OpenCost's API answer with one object that holds everything, which no reader
 * can take line by line. It is parsed here once and written as text beside the database. Numbers
 * are never made binary: their digits are put in quotes before parsing, so that `0.30` stays
 * `0.30`.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { UserError } from '../../base/errors.js';
import { isDeeper, jsonErrorPlace, MAX_JSON_DEPTH } from '../../base/json.js';
import type { Fields } from './importer.js';
import { csvLine, type TextFormat } from './text.js';

/** A parsed document takes several times its size in memory. */
const MAX_BYTES = 200e6;

/** Python writes NaN and Infinity, which JSON lacks. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity/g;

const exact = (content: string): unknown =>
  JSON.parse(
    content.replace(STRING_OR_NUMBER, (token) => (token[0] === '"' ? token : `"${token}"`)),
  );

/**
 * Parsed JSON in which every number is a string of its digits. Lines of JSON (NDJSON) become a
 * list.
 * @throws UserError (data) that tells where it is broken
 */
export function readExactJson(path: string): unknown {
  const refuse = (why: string) => new UserError('data', `${path}: ${why}`, path);
  const tooLarge = `JSON of more than ${MAX_BYTES / 1e6} MB; export CSV (sacct --parsable2) instead`;
  if (statSync(path).size > MAX_BYTES) throw refuse(tooLarge);
  let bytes = readFileSync(path);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
    } catch (error) {
      const large = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
      throw refuse(large ? tooLarge : 'gzip that is broken; export it again');
    }
  }
  const content = bytes.toString('utf8').replace(/^\ufeff/, '');
  if (isDeeper(content, MAX_JSON_DEPTH))
    throw refuse(`JSON nested deeper than ${MAX_JSON_DEPTH}; no export is`);
  try {
    return exact(content);
  } catch {
    const lines = content.split('\n').filter((line) => line.trim() !== '');
    try {
      if (lines.length > 1 && lines.every((line) => /^\s*[{[]/.test(line))) return lines.map(exact);
    } catch {
      // Not lines of JSON either: the message is that of the document.
    }
    const { line, column } = jsonErrorPlace(content);
    throw refuse(`not JSON: line ${line}, column ${column}; export it again`);
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scalars by dotted name; lists as JSON. `leave` names top-level keys that are read elsewhere. */
export function flatten(
  entry: Record<string, unknown>,
  leave: readonly string[] = [],
  depth = 4,
): Fields {
  const out: Fields = {};
  const visit = (value: unknown, path: string, left: number): void => {
    if (isObject(value) && left > 0) {
      for (const [key, inner] of Object.entries(value))
        visit(inner, path === '' ? key : `${path}.${key}`, left - 1);
    } else if (value !== null && value !== undefined)
      out[path] = typeof value === 'object' ? JSON.stringify(value) : String(value);
  };
  for (const [key, value] of Object.entries(entry))
    if (!leave.includes(key)) visit(value, key, depth);
  return out;
}

export const RECORD = '__record';
export const FLAT: TextFormat = { delimiter: ',', quote: '"', gzip: false };

/** Writes the flat copy. @returns its columns, `__record` (from 1) first. */
export function writeFlat(
  path: string,
  entries: readonly { record: number; fields: Fields }[],
): string[] {
  const names = [...new Set(entries.flatMap(({ fields }) => Object.keys(fields)))];
  const lines = entries.map(({ record, fields }) =>
    csvLine([String(record), ...names.map((key) => fields[key] ?? null)]),
  );
  writeFileSync(path, csvLine([RECORD, ...names]) + lines.join(''));
  return [RECORD, ...names];
}
