/**
 * @file YAML from people and from strangers: recipes, clusters, claims. Read from a regular file of
 * a limited size, as plain data of a limited depth and number of values.
 *
 * Aliases (`*name`) can make a small text a large value (the "billion laughs"), or one that holds
 * itself; both are refused, as is nesting on which a parser recurses without end.
 */
import { type Document, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { type ErrorCode, UserError } from './errors.js';
import { isDeeper, MAX_JSON_DEPTH } from './json.js';
import { readRegularText } from './regular.js';

const MAX_BYTES = 1024 * 1024;
const MAX_VALUES = 1_000_000;
const MAX_ALIASES = 100;
/** Open brackets, counted without knowing comments and single quotes. */
const MAX_BRACKETS = 1000;
/** Indentation, and lists that begin in one line, of such depth. */
const NESTED = /^ {1000}|(?:[-?] ){64}/m;

/**
 * The value in a YAML file.
 * @param what what the file is to the user, for messages: "recipe"
 * @throws UserError with this code and field: missing, too large, no YAML, too deep
 */
export function readYaml(
  path: string,
  what: string,
  code: ErrorCode = 'data',
  field = path,
): unknown {
  const fail = (why: string): never => {
    throw new UserError(code, `${what} ${path} ${why}`, field);
  };
  let text: string;
  try {
    text = readRegularText(path, what, MAX_BYTES);
  } catch (error) {
    throw error instanceof UserError ? new UserError(code, error.message, field) : error;
  }
  // The parser takes quadratic time for what is nested without end.
  if (isDeeper(text, MAX_BRACKETS) || NESTED.test(text))
    return fail(`is not valid YAML: it is nested more than ${MAX_JSON_DEPTH} deep`);
  const lines = new LineCounter();
  let value: unknown;
  try {
    // Its own search for keys that come twice compares each with all others.
    const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false });
    const fault = document.errors[0] ?? doubleKey(document);
    if (fault) {
      if (/call stack/.test(fault.message))
        return fail(`is not valid YAML: it is nested more than ${MAX_JSON_DEPTH} deep`);
      const { line, col } = lines.linePos(fault.pos[0]);
      const [said] = fault.message.split(/ at line \d+| ?\n/);
      return fail(`is not valid YAML at line ${line}, column ${col}: ${said}`);
    }
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof RangeError)
      return fail(`is not valid YAML: it is nested more than ${MAX_JSON_DEPTH} deep`);
    return fail(`is not valid YAML: ${(error as Error).message.split('\n')[0]}`);
  }
  const fault = faultOf(value);
  return fault === null ? value : fail(fault);
}

/** The first key that a map has twice. */
function doubleKey(document: Document.Parsed): { message: string; pos: [number, number] } | null {
  let found: { message: string; pos: [number, number] } | null = null;
  visit(document, {
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name)) {
          const at = isScalar(key) ? (key.range?.[0] ?? 0) : 0;
          found = { message: `the key ${JSON.stringify(name)} comes twice`, pos: [at, at] };
          return visit.BREAK;
        }
        seen.add(name);
      }
      return undefined;
    },
  });
  return found;
}

/** What is wrong with a value as plain data: its depth (a cycle has no end) or its size. */
function faultOf(value: unknown): string | null {
  const waiting: { value: unknown; depth: number }[] = [{ value, depth: 0 }];
  let seen = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue;
    const depth = next.depth + 1;
    if (depth > MAX_JSON_DEPTH)
      return `is not valid YAML: it is nested more than ${MAX_JSON_DEPTH} deep`;
    for (const inner of Object.values(next.value)) {
      if (++seen > MAX_VALUES)
        return `is not valid YAML: it holds more than ${MAX_VALUES.toLocaleString('en')} values`;
      waiting.push({ value: inner, depth });
    }
  }
  return null;
}
