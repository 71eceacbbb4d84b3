/**
 * @file JSON whose numbers keep their digits: integers beyond 2^53 and long decimals come as text.
 */

/** A string, or a number of more digits than a double holds. */
const LONG_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.]{15,}(?:[eE][-+]?\d+)?/g;

/** The value of a JSON text; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(
      text.replace(LONG_NUMBER, (token) =>
        token[0] === '"' || /[eE]/.test(token) || String(Number(token)) === token
          ? token
          : `"${token}"`,
      ),
    );
  } catch {
    return undefined;
  }
}
