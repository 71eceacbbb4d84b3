/**
 * @file JSON from people and from strangers.
 *
 * Where it is broken: Node 20 says "Unexpected token" without a place, and a person needs the line.
 * A text is broken at the end of its longest beginning that could still become JSON. Whether a
 * beginning could is what the parser says of it: of a hopeless one it complains before its end, of
 * a hopeful one at its end. So the place is found by bisection, with some twenty calls of the
 * parser.
 */

/** True when `text`, followed by something, may be JSON. */
function mayGoOn(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const { message } = error as Error;
    if (/end of JSON input|Unterminated string/.test(message)) return true;
    const position = /at position (\d+)/.exec(message);
    return position !== null && Number(position[1]) >= text.length;
  }
}

/**
 * Line and column, both from 1, of the first character that cannot be there; of the end where
 * something is missing.
 */
export function jsonErrorPlace(text: string): { line: number; column: number } {
  let good = 0;
  let bad = text.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (mayGoOn(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  const before = text.slice(0, good);
  const line = before.split('\n').length;
  return { line, column: good - before.lastIndexOf('\n') };
}

/** Recipes, and the post-processors and normalizers of tokenizers, nest a dozen deep. */
export const MAX_JSON_DEPTH = 64;

/**
 * True when a JSON text nests deeper than `depth`: found before it is parsed, so that no reader of
 * the value recurses without end.
 */
export function isDeeper(text: string, depth: number): boolean {
  let nesting = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++)
        if (text.charCodeAt(i) === 0x5c) i++;
    } else if (c === 0x7b || c === 0x5b) {
      if (++nesting > depth) return true;
    } else if (c === 0x7d || c === 0x5d) {
      nesting--;
    }
  }
  return false;
}

/**
 * What is wrong with a stranger's JSON before it is parsed, or null: nesting beyond `depth`, or a
 * key twice in one object.
 */
export interface JsonFault {
  kind: 'depth' | 'duplicate' | 'syntax';
  /** The key that occurs twice. */
  key?: string;
}

/**
 * Walks a text before it is parsed: bounds the nesting, so that no reader of the value recurses
 * without end, and finds keys that occur twice in one object, which `JSON.parse` would silently
 * merge. Leaves everything else to the parser.
 */
export function findJsonFault(text: string, depth: number): JsonFault | null {
  const keys: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      const start = i;
      let escaped = false;
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) {
        if (text.charCodeAt(i) !== 0x5c) continue;
        escaped = true;
        i++;
      }
      const seen = keys[keys.length - 1];
      if (!seen) continue;
      let next = i + 1;
      while (isSpace(text.charCodeAt(next))) next++;
      if (text.charCodeAt(next) !== 0x3a) continue;
      let key = text.slice(start + 1, i);
      if (escaped) {
        try {
          key = JSON.parse(text.slice(start, i + 1));
        } catch {
          return { kind: 'syntax' };
        }
      }
      if (seen.has(key)) return { kind: 'duplicate', key };
      seen.add(key);
    } else if (c === 0x7b || c === 0x5b) {
      keys.push(c === 0x7b ? new Set() : null);
      if (keys.length > depth) return { kind: 'depth' };
    } else if (c === 0x7d || c === 0x5d) {
      keys.pop();
    }
  }
  return null;
}

const isSpace = (code: number): boolean =>
  code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
