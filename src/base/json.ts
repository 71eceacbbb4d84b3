/**
 * @file Where JSON is broken: Node 20 says "Unexpected token" without a place, and a person needs the line.
 *
 * A text is broken at the end of its longest beginning that could still become JSON. Whether a beginning could is what the
 * parser says of it: of a hopeless one it complains before its end, of a hopeful one at its end. So the place is found by
 * bisection, with some twenty calls of the parser.
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

/** Line and column, both from 1, of the first character that cannot be there; of the end where something is missing. */
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
