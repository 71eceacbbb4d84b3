/**
 * @file Where the answer stands in a text: between tags, in the last box, behind `####` or "the
 * answer is", in bold, or on the last line.
 */

/** What a pair of tags or braces holds, and where it ends. */
interface Found {
  readonly inside: string;
  readonly end: number;
}

/** The inside of braces that open at `at`, balanced; null where they do not close. */
function braced(text: string, at: number): Found | null {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return { inside: text.slice(at + 1, i), end: i + 1 };
  }
  return null;
}

const BOX = /\\(?:boxed|fbox|framebox)\s*(?:\{|(?=[^\s{]))/g;

/** The inside of the last `\boxed{…}` that closes; null where there is none. */
export function lastBox(text: string): string | null {
  const starts = [...text.matchAll(BOX)].map((match) => ({
    at: match.index,
    end: match.index + match[0].length,
  }));
  // The last box, or the outermost around it: \boxed{\boxed{5}} is read again by who asked.
  for (const { end } of starts.reverse()) {
    if (text[end - 1] !== '{') return text[end];
    const found = braced(text, end - 1);
    if (found !== null) return found.inside;
    // An open brace is a text that was cut off: what stood before it was not the last word.
    return null;
  }
  return null;
}

/** What all pairs of a tag hold: the one text, or null where they differ or there are none. */
export function tagged(text: string, tag: string): string | null {
  const [open, close] = [`<${tag}>`, `</${tag}>`];
  const pairs: string[] = [];
  for (let at = text.indexOf(open); at >= 0; at = text.indexOf(open, at)) {
    const end = text.indexOf(close, at);
    if (end < 0) break;
    pairs.push(text.slice(at + open.length, end).trim());
    at = end + close.length;
  }
  return pairs.length > 0 && pairs.every((inside) => inside === pairs[0]) ? pairs[0] : null;
}

const SAID =
  /(?:\b(?:the\s+)?(?:final|correct)?\s*(?:answer|result|solution)\s*(?:(?:choice\s*)?(?:is|are|equals)\b|:)|\banswer\s*=|\bAnswer\s*\n)\s*:?\s*/gi;

/** What follows the last "the answer is", up to the end of its line or sentence. */
function said(text: string): string | null {
  const last = [...text.matchAll(SAID)].at(-1);
  if (last === undefined) return null;
  const rest = text.slice(last.index + last[0].length).replace(/^(?:\*\*|__)\s*/, '');
  const line = rest.split('\n', 1)[0];
  const end = /\.(?=\s+[A-Z])|(?:,\s*)?\b(?:because|since|as required)\b/.exec(line)?.index;
  const found = (end === undefined ? line : line.slice(0, end)).trim().replace(/\*\*$|__$/, '');
  return found === '' ? null : found;
}

/**
 * The answer that a text marks, or null where it marks none. A mark inside another one is found in
 * turn: `<answer>\boxed{5}</answer>` is 5.
 */
export function markedAnswer(text: string, depth = 0): string | null {
  const inner = (found: string): string =>
    depth < 4 ? (markedAnswer(found, depth + 1) ?? found) : found;
  if (/<answer>/.test(text)) {
    const answer = tagged(text, 'answer');
    return answer === null ? null : inner(answer);
  }
  const box = lastBox(text);
  if (box !== null) return inner(box);
  if (/\\boxed\s*\{/.test(text)) return null;
  const marked = text.lastIndexOf('####');
  if (marked >= 0)
    return text
      .slice(marked + 4)
      .trim()
      .split('\n', 1)[0]
      .trim();
  return said(text);
}

/** The last line that holds something. */
export const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1)?.trim() ?? '';

/** The last number of a text, with its sign, percent and thousands; null where there is none. */
export function lastNumber(text: string): string | null {
  const numbers = text.match(
    /(?<![\w.,])[-−+]?[$€£¥]?\s?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:\s*\/\s*\d+)?(?:[eE][-+]?\d{1,3}\b)?\s*%?|(?<![\w.,])[-−]?\.\d+/g,
  );
  return numbers?.at(-1)?.trim() ?? null;
}

/**
 * The answer of a whole text, marked or not: what is marked, else the last bold text of the last
 * line, else the text where it is one line, else the last line.
 */
export function answerIn(text: string): string {
  const marked = markedAnswer(text);
  if (marked !== null) return marked;
  const line = lastLine(text);
  const bold = [...line.matchAll(/\*\*([^*]+)\*\*/g)].at(-1)?.[1];
  return bold ?? line;
}
