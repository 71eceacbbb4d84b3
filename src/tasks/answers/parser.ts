/**
 * @file Reads tokens as an answer: a recursive-descent parser over
 *
 *     answer   = item { ("," | ";" | "and" | "or") item }
 *     item     = side { ("=" | "<" | "≤" | "≈" | "∈" | …) side }
 *     side     = [currency] sum [unit] | bracketed | matrix
 *     sum      = [sign] product { ("+" | "-" | "±") product }
 *     product  = power { ("*" | "/" | ε) power }
 *     power    = primary { "!" | "°" } [ "^" power ]
 *
 * What it cannot read it refuses whole, and the answer is compared as text. Nesting and size are
 * limited, so that every text is read in time linear in its length.
 */
import { FUNCTIONS, fromDigits, type Token, Unreadable } from './lexer.js';
import { isInteger, plus, rational } from './rational.js';
import type { Form, Node, Value } from './tree.js';
import { readUnit, unitOfTokens } from './units.js';

const MAX_DEPTH = 40;
const RELATIONS = new Set(['=', '<', '>', '<=', '>=', '!=', '~', 'in']);
const MATRICES = new Set('pmatrix bmatrix Bmatrix vmatrix matrix smallmatrix array'.split(' '));

const fail = (): never => {
  throw new Unreadable();
};
const isOp = (token: Token | undefined, op: string): boolean =>
  token?.t === 'op' && token.op === op;
const number = (value: bigint): Node => ({ k: 'num', value: rational(value) as never, places: 0 });

/** Index of the bracket that closes the one at `from`; -1 for none. Round and square may mix. */
export function partner(tokens: readonly Token[], from: number, to = tokens.length): number {
  const round = (op: string): string => (op === '(' || op === '[' ? '(' : op);
  const stack: string[] = [];
  for (let i = from; i < to; i++) {
    const token = tokens[i];
    if (token.t === 'open') stack.push(round(token.op));
    else if (token.t === 'close') {
      if (stack.pop() !== round(token.op)) return -1;
      if (stack.length === 0) return i;
    }
  }
  return -1;
}

/** Pieces of a token list, cut where `cut` holds outside of all brackets. */
function splitAt(
  tokens: readonly Token[],
  cut: (token: Token, i: number) => boolean,
): { pieces: Token[][]; cuts: Token[] } {
  const pieces: Token[][] = [[]];
  const cuts: Token[] = [];
  let depth = 0;
  for (const [i, token] of tokens.entries()) {
    if (token.t === 'open') depth++;
    else if (token.t === 'close') depth--;
    else if (isEnvironment(token, 'begin')) depth++;
    else if (isEnvironment(token, 'end')) depth--;
    if (depth < 0) fail();
    if (depth === 0 && token.t === 'op' && cut(token, i)) {
      cuts.push(token);
      pieces.push([]);
    } else pieces[pieces.length - 1].push(token);
  }
  if (depth !== 0) fail();
  return { pieces, cuts };
}

const isEnvironment = (token: Token | undefined, name: string): boolean =>
  token?.t === 'cmd' && token.name === name;

/** Without marks around an answer that say nothing: full stops, quotes, stars of Markdown. */
function trim(tokens: readonly Token[]): readonly Token[] {
  let [from, to] = [0, tokens.length];
  const marks = new Set(['.', ',', ';', '"', '\\\\', '?', ':', "'"]);
  while (to > from) {
    const last = tokens[to - 1];
    if (last.t === 'op' && marks.has(last.op) && !(last.op === "'" && to - from > 1)) to--;
    else break;
  }
  while (from < to) {
    const first = tokens[from];
    const word = first.t === 'run' || first.t === 'word' ? first.text.toLowerCase() : '';
    if (first.t === 'op' && (marks.has(first.op) || first.op === '=' || first.op === '~')) from++;
    else if (/^(?:approximately|about|roughly|approx|therefore|thus|hence|so)$/.test(word)) from++;
    else if (first.t === 'cmd' && /^(?:therefore|implies|Rightarrow|to)$/.test(first.name)) from++;
    else break;
  }
  // Stars and lines in pairs: **17**.
  while (
    to - from > 2 &&
    tokens[from].t === 'op' &&
    ['*', '^', '_'].includes((tokens[from] as { op: string }).op) &&
    isOp(tokens[to - 1], (tokens[from] as { op: string }).op)
  ) {
    from++;
    to--;
  }
  const inner = tokens.slice(from, to);
  return inner.length < tokens.length && inner.length > 0 ? trim(inner) : inner;
}

/** Without braces and single round brackets around the whole. */
function unwrap(tokens: readonly Token[]): readonly Token[] {
  const inner = trim(tokens);
  const first = inner[0];
  if (first?.t !== 'open' || first.op !== '{' || partner(inner, 0) !== inner.length - 1)
    return inner;
  // `{1, 2}` is a set in plain text.
  const listed = splitAt(inner.slice(1, -1), (token) => isOp(token, ',') || isOp(token, ';'));
  return listed.cuts.length > 0 ? inner : unwrap(inner.slice(1, -1));
}

/** Without the braces around a connective or a sign: `1\text{ and }2`, `\text{-}5`, `{=}`. */
function flatten(tokens: readonly Token[]): readonly Token[] {
  if (!tokens.some((token) => token.t === 'open' && token.op === '{')) return tokens;
  const out: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token.t === 'open' && token.op === '{') {
      const end = partner(tokens, i);
      const inner = tokens.slice(i + 1, end);
      const script = isOp(tokens[i - 1], '^') || isOp(tokens[i - 1], '_');
      const sign = end === i + 2 && inner[0].t === 'op' && !script;
      if (end > i && (sign || inner.some((t) => isOp(t, 'and') || isOp(t, 'or')))) {
        // Only text holds such words, and what it holds beside them stands on its own.
        out.push(...flatten(inner));
        i = end;
        continue;
      }
    }
    out.push(token);
  }
  return out;
}

/** @throws Unreadable */
export function parseAnswerTokens(tokens: readonly Token[], depth = 0): Value {
  if (depth > MAX_DEPTH) fail();
  const all = unwrap(flatten(unwrap(tokens)));
  if (all.length === 0) return fail();
  const { pieces, cuts } = splitAt(all, (token) =>
    ['and', 'or', ',', ';'].includes((token as { op: string }).op),
  );
  if (cuts.length === 0) return parseItem(all, depth);
  // `2, 3, and 5`: a comma and a word are one cut.
  const items = pieces.filter((piece, i) => {
    if (piece.length > 0) return true;
    const word = [cuts[i - 1], cuts[i]].some((cut) => isOp(cut, 'and') || isOp(cut, 'or'));
    if (!word || i === 0 || i === pieces.length - 1) fail();
    return false;
  });
  const values = items.map((item) => parseItem(item, depth + 1));
  const relations = values.every(({ k }) => k === 'relation' || k === 'interval');
  if (relations && values.length > 1) {
    const both = cuts.some((cut) => isOp(cut, 'and')) && !cuts.some((cut) => isOp(cut, 'or'));
    return { k: both ? 'intersection' : 'union', parts: values };
  }
  return { k: 'list', form: 'bare', items: values };
}

function parseItem(tokens: readonly Token[], depth: number): Value {
  const all = unwrap(tokens);
  if (all.length === 0) fail();
  const { pieces, cuts } = splitAt(all, (token) => RELATIONS.has((token as { op: string }).op));
  if (cuts.length === 0) return parseSide(all, depth);
  const ops = cuts.map((cut) => (cut as { op: string }).op);
  const name = nameOf(pieces[0]);
  if (name !== null && (ops[0] === '=' || ops[0] === 'in' || ops[0] === '~')) {
    const rest = all.slice(pieces[0].length + 1);
    const value = parseItem(rest, depth + 1);
    return { k: 'named', name, value };
  }
  const sides = pieces.map((piece) => parseSide(unwrap(piece), depth + 1));
  return { k: 'relation', ops, sides };
}

/**
 * What an answer is called on the left of its `=`: letters, words, `f(x)`, `\angle A`, `x_1`; null
 * for what could be a part of the formula.
 */
function nameOf(tokens: readonly Token[]): string | null {
  if (tokens.length === 0) return null;
  let name = '';
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token.t === 'sym') name += token.name;
    else if (token.t === 'run' || token.t === 'word') name += `${i > 0 ? ' ' : ''}${token.text}`;
    else if (token.t === 'op' && (token.op === "'" || token.op === '_')) {
      name += token.op;
      if (token.op === '_' && tokens[i + 1]?.t === 'num')
        name += (tokens[++i] as { digits: string }).digits;
    } else if (token.t === 'cmd' && !FUNCTIONS.has(token.name)) {
      if (
        !/^(?:angle|triangle|overline|vec|hat|bar|widehat|overrightarrow|arc|mathbb|sum)$/.test(
          token.name,
        )
      )
        return null;
      name += `\\${token.name}`;
    } else if (token.t === 'open') {
      const end = partner(tokens, i);
      if (end < 0 || (i === 0 && token.op !== '{')) return null;
      for (const inner of tokens.slice(i, end + 1)) name += textOfToken(inner);
      i = end;
    } else return null;
  }
  return name.replace(/[{}\s]/g, '');
}

export function textOfToken(token: Token): string {
  if (token.t === 'num') return token.digits;
  if (token.t === 'sym') return token.name;
  if (token.t === 'run' || token.t === 'word') return token.text;
  if (token.t === 'cmd') return `\\${token.name}`;
  if (token.t === 'close')
    return { '(': ')', '[': ']', '{': '}', '<': '>', set: '\\}' }[token.op] ?? token.op;
  return token.op === 'set' ? '\\{' : token.op;
}

/** Words as they are compared: without case, articles and marks. */
export function wordsOf(tokens: readonly Token[]): string {
  const text = tokens
    .filter(
      (token, i) =>
        // Braces around upright text.
        !(token.t === 'open' && token.op === '{' && tokens[i + 1]?.t === 'word') &&
        !(token.t === 'close' && token.op === '{' && tokens[i - 1]?.t === 'word'),
    )
    .map((token) => (token.space ? ` ${textOfToken(token)}` : textOfToken(token)))
    .join('');
  return plainWords(text);
}

export function plainWords(text: string): string {
  const plain = text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^["'*_`]+|["'*_`.!?,;:]+$/g, '')
    .trim();
  // Commands of LaTeX differ by case, and spaces between them say nothing.
  if (plain.includes('\\')) return plain.replace(/ /g, '');
  return plain.toLowerCase().replace(/^(?:the|an?) (?=\p{L}{2})/u, '');
}

/** Words and nothing else, not letters that are a product or a name (`xy`, `AB`). */
function areWords(tokens: readonly Token[]): boolean {
  const words = tokens.filter((token) => token.t === 'run' || token.t === 'word');
  if (words.length === 0) return false;
  if (!tokens.every((token) => token.t !== 'num' && token.t !== 'cmd')) return false;
  if (
    tokens.some(
      (token) => token.t === 'op' && !['-', "'", '.', '&', '"', '!', '?'].includes(token.op),
    )
  )
    return false;
  if (tokens.length > 1) return words.some(({ text }) => text.length > 1);
  const [{ text }] = words;
  return text.length > 1 && !/^(?:[xyz]{2,3}|[A-Z]{2,4}|\$)$/.test(text);
}

function textValue(tokens: readonly Token[]): Value {
  const text = wordsOf(tokens);
  return /^(?:no solutions?|empty set|none)$/.test(text) ? { k: 'empty' } : { k: 'text', text };
}

/** `A3F_{16}`: digits beyond nine. */
function basedLetters(tokens: readonly Token[]): Value | null {
  const at = tokens.findIndex((token) => isOp(token, '_'));
  if (at < 1 || tokens.length - at > 4) return null;
  const base = Number(
    tokens
      .slice(at + 1)
      .map(textOfToken)
      .join('')
      .replace(/[{}]/g, ''),
  );
  const digits = tokens.slice(0, at).map(textOfToken).join('').replace(/[{}]/g, '');
  if (!(base > 10 && base <= 36) || !/[A-Za-z]/.test(digits) || !/^[\dA-Za-z]+$/.test(digits))
    return null;
  const value = fromDigits(digits, base);
  if (value === null) return null;
  return { k: 'formula', node: { k: 'num', value, places: 0 }, unit: null, percent: false };
}

/** Sets, lists, intervals, matrices; else a formula with its unit. */
function parseSide(tokens: readonly Token[], depth: number): Value {
  if (depth > MAX_DEPTH || tokens.length === 0) fail();
  if (areWords(tokens)) return textValue(tokens);
  const letters = basedLetters(tokens);
  if (letters !== null) return letters;
  const joined = parseUnion(tokens, depth);
  if (joined !== null) return joined;
  const first = tokens[0];
  if (tokens.length === 1 && first.t === 'cmd' && first.name === 'emptyset') return { k: 'empty' };
  if (first.t === 'cmd' && first.name === 'mathbb' && tokens.length === 4) {
    const letter = tokens[2];
    if (letter.t === 'sym' && letter.name === 'R') return { k: 'reals' };
  }
  if (first.t === 'open' && first.op !== 'floor' && first.op !== 'ceil') {
    const end = partner(tokens, 0);
    if (end === tokens.length - 1) return parseBracketed(tokens, depth);
    // `(100,200)` has no unit behind it, `(1+2) cm` has.
  }
  if (isEnvironment(first, 'begin')) {
    const matrix = parseMatrix(tokens, depth);
    if (matrix !== null) return matrix;
  }
  const { pieces, cuts } = splitAt(tokens, (token) => isOp(token, ':'));
  if (cuts.length > 0) {
    if (pieces.some((piece) => piece.length === 0)) fail();
    return { k: 'ratio', items: pieces.map((piece) => parseFormula(piece, depth + 1)) };
  }
  return parseFormula(tokens, depth);
}

function parseUnion(tokens: readonly Token[], depth: number): Value | null {
  const isUnion = (token: Token, i: number): boolean =>
    isOp(token, 'cup') ||
    (token.t === 'sym' &&
      token.name === 'U' &&
      tokens[i - 1]?.t === 'close' &&
      tokens[i + 1]?.t === 'open');
  const plain = tokens.map(
    (token, i): Token => (isUnion(token, i) ? { t: 'op', op: 'cup', space: true } : token),
  );
  const less = splitAt(plain, (token) => isOp(token, 'setminus'));
  if (less.cuts.length === 1) {
    const [whole, rest] = less.pieces.map((piece) => parseItem(piece, depth + 1));
    return { k: 'except', whole, less: rest };
  }
  const union = splitAt(plain, (token) => isOp(token, 'cup'));
  if (union.cuts.length > 0)
    return { k: 'union', parts: union.pieces.map((piece) => parseItem(piece, depth + 1)) };
  const both = splitAt(plain, (token) => isOp(token, 'cap'));
  if (both.cuts.length > 0)
    return { k: 'intersection', parts: both.pieces.map((piece) => parseItem(piece, depth + 1)) };
  return null;
}

function parseBracketed(tokens: readonly Token[], depth: number): Value {
  const open = tokens[0] as { op: string };
  const close = tokens[tokens.length - 1] as { op: string };
  const inner = tokens.slice(1, -1);
  if (inner.length === 0) return open.op === 'set' ? { k: 'empty' } : fail();
  const { pieces, cuts } = splitAt(inner, (token) => isOp(token, ',') || isOp(token, ';'));
  if (open.op === 'set' && cuts.length === 0) {
    // { x | x > 3 }: what holds for its members.
    const such = splitAt(inner, (token) => isOp(token, '|') || isOp(token, ':'));
    if (such.cuts.length === 1) return parseAnswerTokens(such.pieces[1], depth + 1);
  }
  if (pieces.some((piece) => piece.length === 0)) fail();
  if (pieces.length === 1 && open.op === close.op && (open.op === '(' || open.op === '{'))
    return parseAnswerTokens(inner, depth + 1);
  const items = pieces.map((piece) => parseItem(piece, depth + 1));
  if (open.op !== close.op) {
    if (items.length !== 2) fail();
    return {
      k: 'interval',
      ends: [items[0], items[1]],
      closed: [open.op === '[', close.op === '['],
    };
  }
  // Braces of plain text around a list are a set's: `{1, 2}`.
  const form = (open.op === '{' ? 'set' : open.op) as Form;
  return { k: 'list', form, items };
}

/** Name, content and end of `\begin{name} … \end{name}` at `from`. */
function environment(
  tokens: readonly Token[],
  from: number,
): { name: string; inner: readonly Token[]; end: number } | null {
  const close = partner(tokens, from + 1);
  if (close < 0) return null;
  const name = tokens
    .slice(from + 2, close)
    .map(textOfToken)
    .join('')
    .replace('*', '');
  let level = 0;
  for (let i = from; i < tokens.length; i++) {
    if (isEnvironment(tokens[i], 'begin')) level++;
    else if (isEnvironment(tokens[i], 'end') && --level === 0) {
      const end = partner(tokens, i + 1);
      return end < 0 ? null : { name, inner: tokens.slice(close + 1, i), end };
    }
  }
  return null;
}

function parseMatrix(tokens: readonly Token[], depth: number): Value | null {
  const found = environment(tokens, 0);
  if (found === null || !MATRICES.has(found.name) || found.end !== tokens.length - 1) return null;
  let inner = found.inner;
  if (found.name === 'array' && inner[0]?.t === 'open') inner = inner.slice(partner(inner, 0) + 1);
  const lines = splitAt(inner, (token) => isOp(token, '\\\\')).pieces.filter(
    (row) => row.length > 0,
  );
  const rows = lines.map((line) =>
    splitAt(line, (token) => isOp(token, '&')).pieces.map((cell) => parseItem(cell, depth + 1)),
  );
  if (rows.length === 0 || rows.some((row) => row.length !== rows[0].length)) fail();
  return { k: 'matrix', fence: found.name === 'vmatrix' ? '|' : '(', rows };
}

/** A sum with its currency, percent sign and unit. */
function parseFormula(tokens: readonly Token[], depth: number): Value {
  let from = 0;
  let currency = '';
  let sign = false;
  // `-$5`, `USD 70,000`, `\text{\$}70000`.
  const lead = (at: number): number => {
    const token = tokens[at];
    if (token?.t === 'open' && token.op === '{') {
      const end = partner(tokens, at);
      if (end === at + 2) {
        const inside = tokens[at + 1];
        if (inside.t === 'word' && readUnit(inside.text)?.kind.startsWith('currency')) {
          currency = inside.text;
          return end + 1;
        }
      }
      return at;
    }
    if (token?.t !== 'word' && token?.t !== 'run') return at;
    if (!readUnit(token.text)?.kind.startsWith('currency')) return at;
    currency = token.text;
    return at + 1;
  };
  if (isOp(tokens[0], '-') && lead(1) > 1) {
    sign = true;
    from = lead(1);
  } else from = lead(0);
  const reader = createReader(tokens, from, depth);
  let node = reader.sum();
  if (sign) node = { k: 'neg', a: [node] };
  let rest = tokens.slice(reader.at());
  let percent = false;
  if (isOp(rest[0], '%')) {
    percent = true;
    rest = rest.slice(1);
  }
  let degrees = false;
  if (node.k === 'deg') {
    degrees = true;
    [node] = node.a;
  }
  if (rest.length === 0 && currency === '' && !degrees) {
    const loose = reader.loose();
    const plain = { k: 'formula', node, unit: null, percent } as const;
    return loose === null ? plain : { ...plain, loose };
  }
  const unit = unitOfTokens(rest.map(textOfUnitToken).join(''), { currency, degrees });
  if (unit === null) return fail();
  if (unit.percent) percent = true;
  if (unit.multiplier !== null)
    node = { k: 'mul', a: [node, { k: 'num', value: unit.multiplier, places: 0 }] };
  return { k: 'formula', node, unit: unit.unit, percent };
}

/** A token as units are written: words apart, powers and products by their signs. */
function textOfUnitToken(token: Token): string {
  const text = textOfToken(token);
  if (token.t === 'open' || token.t === 'close') return token.op === '{' ? ' ' : text;
  if (token.t === 'op' && token.op === '^') return '^';
  return token.space || token.t === 'word' || token.t === 'run' ? ` ${text}` : text;
}

interface Reader {
  sum(): Node;
  /** Index of the first token that was not read. */
  at(): number;
  /** The whole as a number and a unit of one letter, `5m`. */
  loose(): { node: Node; unit: NonNullable<ReturnType<typeof readUnit>> } | null;
}

function createReader(tokens: readonly Token[], start: number, depth: number): Reader {
  let at = start;
  let level = depth;
  let bars = 0;

  const inner = (from: number, to: number): Node => {
    if (++level > MAX_DEPTH) fail();
    const reader = createReader(tokens.slice(from, to), 0, level);
    const node = reader.sum();
    if (reader.at() !== to - from) fail();
    level--;
    return node;
  };
  /** What stands in the braces here, or the one token: the argument of a command. */
  const argument = (): Node => {
    const token = tokens[at];
    if (token === undefined) return fail();
    if (token.t === 'open') {
      const end = partner(tokens, at);
      if (end < at + 2) fail();
      const node = inner(at + 1, end);
      at = end + 1;
      return node;
    }
    if (token.t === 'num') return digit(token);
    if (token.t === 'sym') {
      at++;
      return symbol(token.name);
    }
    if (token.t === 'cmd') return primary();
    return fail();
  };
  /** TeX takes one digit where braces are missing: \frac12 is a half. The rest stays. */
  let pending: { digits: string } | null = null;
  const digit = (token: Token & { t: 'num' }): Node => {
    const digits: string = pending?.digits ?? token.digits;
    if (/^\d$/.test(digits)) {
      pending = null;
      at++;
      return number(BigInt(digits));
    }
    if (/^\d+$/.test(digits)) {
      pending = { digits: digits.slice(1) };
      return number(BigInt(digits[0]));
    }
    at++;
    return { k: 'num', value: token.value, places: token.places };
  };

  const symbol = (name: string): Node => ({ k: 'sym', name });

  /** The index behind `_` here, as part of a name. */
  const subscript = (): string => {
    if (!isOp(tokens[at], '_')) return '';
    const next = tokens[at + 1];
    if (next?.t === 'open') {
      const end = partner(tokens, at + 1);
      if (end < 0) fail();
      const text = tokens
        .slice(at + 2, end)
        .map(textOfToken)
        .join('');
      at = end + 1;
      return `_${text.replace(/[{}]/g, '')}`;
    }
    if (next === undefined || next.t === 'op' || next.t === 'close') return fail();
    at += 2;
    return `_${textOfToken(next)}`;
  };

  const BASES: Record<string, number> = {
    two: 2,
    three: 3,
    four: 4,
    five: 5,
    six: 6,
    seven: 7,
    eight: 8,
    nine: 9,
    ten: 10,
    twelve: 12,
    sixteen: 16,
  };
  /** Digits in a base: `1011_2`. */
  const based = (digits: string): Node | null => {
    if (!isOp(tokens[at], '_')) return null;
    const index = subscript().slice(1);
    const base = Object.hasOwn(BASES, index) ? BASES[index] : Number(index);
    const value = base >= 2 && base <= 36 ? fromDigits(digits, base) : null;
    return value === null ? fail() : { k: 'num', value, places: 0 };
  };

  function numberHere(token: Token & { t: 'num' }): Node {
    if (pending !== null) return fail();
    at++;
    const inBase = based(token.digits);
    if (inBase !== null) return inBase;
    const own: Node = { k: 'num', value: token.value, places: token.places };
    if (!isInteger(token.value) || token.digits.includes('.')) return own;
    // A mixed number: 1 1/2, 4\frac{2}{3}, 1½.
    const next = tokens[at];
    if (next?.t === 'num' && next.digits === '½') {
      at++;
      return { k: 'num', value: plus(token.value, next.value) as never, places: 0 };
    }
    const [over, under, last] = [tokens[at], tokens[at + 1], tokens[at + 2]];
    if (
      over?.t === 'num' &&
      over.space &&
      isOp(under, '/') &&
      last?.t === 'num' &&
      isInteger(over.value) &&
      isInteger(last.value) &&
      last.value.numerator > 0n
    ) {
      const share = rational(over.value.numerator, last.value.numerator);
      at += 3;
      return { k: 'num', value: plus(token.value, share as never) as never, places: 0 };
    }
    if (next?.t === 'cmd' && next.name === 'frac') {
      const before = at;
      const part = primary();
      if (part.k === 'div' && part.a.every((side) => side.k === 'num' && isInteger(side.value))) {
        const [a, b] = part.a as readonly [Node & { k: 'num' }, Node & { k: 'num' }];
        if (a.value.numerator > 0n && a.value.numerator < b.value.numerator) {
          const share = rational(a.value.numerator, b.value.numerator);
          return { k: 'num', value: plus(token.value, share as never) as never, places: 0 };
        }
      }
      at = before;
    }
    return own;
  }

  function functionHere(name: string): Node {
    at++;
    let exponent: Node | null = null;
    let base: Node | null = null;
    for (;;) {
      if (isOp(tokens[at], '_') && name === 'log') {
        at++;
        base = argument();
      } else if (isOp(tokens[at], '^')) {
        at++;
        exponent = exponentHere();
      } else break;
    }
    const args = argumentsHere();
    const minusOne =
      exponent?.k === 'neg' && exponent.a[0].k === 'num' && exponent.a[0].value.numerator === 1n;
    if (minusOne && /^(?:sin|cos|tan|cot|sec|csc)$/.test(name)) {
      return { k: 'fn', name: `arc${name}`, a: args };
    }
    const node: Node = { k: 'fn', name, a: base === null ? args : [...args, base] };
    return exponent === null ? node : { k: 'pow', a: [node, exponent] };
  }
  /** `(x)`, `(a, b)`, or the product that follows without one: `\sin 2x`. */
  function argumentsHere(): readonly Node[] {
    const token = tokens[at];
    if (token?.t === 'open' && (token.op === '(' || token.op === '[' || token.op === '{')) {
      const end = partner(tokens, at);
      if (end < at + 2) fail();
      const { pieces } = splitAt(tokens.slice(at + 1, end), (t) => isOp(t, ','));
      const args = pieces.map((piece) => {
        const reader = createReader(piece, 0, level + 1);
        const node = reader.sum();
        if (reader.at() !== piece.length) fail();
        return node;
      });
      at = end + 1;
      return args;
    }
    const factors = [power()];
    while (
      startsFactor() &&
      !(tokens[at].t === 'cmd' && FUNCTIONS.has((tokens[at] as { name: string }).name))
    )
      factors.push(power());
    return [factors.length === 1 ? factors[0] : { k: 'mul', a: factors }];
  }

  function primary(): Node {
    const token = tokens[at];
    if (token === undefined) return fail();
    if (++level > MAX_DEPTH) fail();
    try {
      if (token.t === 'num') return numberHere(token);
      if (token.t === 'sym') return named(token.name);
      if (token.t === 'word')
        return token.text.length === 1 ? named(token.text) : wordHere(token.text);
      if (token.t === 'run') return runHere(token.text);
      if (token.t === 'open') return bracketHere(token.op);
      if (token.t === 'cmd') return commandHere(token.name);
      if (isOp(token, '|')) return absolute();
      return fail();
    } finally {
      level--;
    }
  }

  function named(name: string): Node {
    at++;
    let full = name + subscript();
    while (isOp(tokens[at], "'")) {
      full += "'";
      at++;
    }
    const token = tokens[at];
    // f(x) is a function of x, x(x+1) a product.
    if (/^[fghFGHPE]['_]?/.test(full) && token?.t === 'open' && token.op === '(' && !token.space)
      return { k: 'fn', name: `?${full}`, a: argumentsHere() };
    return symbol(full);
  }
  function wordHere(text: string): Node {
    return FUNCTIONS.has(text) ? functionHere(text) : fail();
  }
  /** Letters that stand together: capitals name a segment, others are a product. */
  function runHere(text: string): Node {
    if (/^[A-Z]{2,4}$/.test(text)) return named(text);
    if (!/^[A-Za-z]{2,4}$/.test(text)) return fail();
    at++;
    const names = [...text];
    const last = names[names.length - 1] + subscript();
    const a = [...names.slice(0, -1), last].map(symbol);
    if (!isOp(tokens[at], '^')) return { k: 'mul', a };
    at++;
    return { k: 'mul', a: [...a.slice(0, -1), { k: 'pow', a: [a[a.length - 1], exponentHere()] }] };
  }
  function bracketHere(op: string): Node {
    const end = partner(tokens, at);
    if (end < at + 2) return fail();
    const close = tokens[end];
    if (op === '<' || op === 'set' || close.t !== 'close' || close.op !== op) return fail();
    const { pieces, cuts } = splitAt(
      tokens.slice(at + 1, end),
      (t) => t.t === 'op' && t.op === ',',
    );
    if (cuts.length > 0 || pieces.length !== 1) return fail();
    const node = inner(at + 1, end);
    at = end + 1;
    return op === 'floor' || op === 'ceil' ? { k: 'fn', name: op, a: [node] } : node;
  }
  function absolute(): Node {
    if (bars > 0) fail();
    at++;
    bars++;
    const node = sum();
    bars--;
    if (!isOp(tokens[at], '|')) fail();
    at++;
    return { k: 'fn', name: 'abs', a: [node] };
  }

  function commandHere(name: string): Node {
    if (FUNCTIONS.has(name)) return functionHere(name);
    at++;
    if (name === 'frac') {
      const a = argument();
      return { k: 'div', a: [a, argument()] };
    }
    if (name === 'binom') {
      const a = argument();
      return { k: 'fn', name: 'binom', a: [a, argument()] };
    }
    if (name === 'sqrt') {
      let degree: Node = number(2n);
      const token = tokens[at];
      if (token?.t === 'open' && token.op === '[') {
        const end = partner(tokens, at);
        if (end < at + 2) fail();
        degree = inner(at + 1, end);
        at = end + 1;
      }
      return { k: 'fn', name: 'root', a: [argument(), degree] };
    }
    if (name === 'cbrt') return { k: 'fn', name: 'root', a: [argument(), number(3n)] };
    if (name === 'infty') return { k: 'inf' };
    if (
      /^(?:overline|vec|hat|bar|widehat|overrightarrow|angle|triangle|arc|mathbb|tilde)$/.test(name)
    ) {
      const token = tokens[at];
      const end = token?.t === 'open' ? partner(tokens, at) : at;
      if (token === undefined || end < at) fail();
      const text = tokens
        .slice(at, end + 1)
        .map(textOfToken)
        .join('')
        .replace(/[{}]/g, '');
      at = end + 1;
      return symbol(`\\${name} ${text}`);
    }
    return fail();
  }

  /** After `^`: braces, a signed number, a letter, a bracket. */
  function exponentHere(): Node {
    const token = tokens[at];
    if (isOp(token, '-') || isOp(token, '+')) {
      at++;
      const node = exponentHere();
      return isOp(token, '-') ? { k: 'neg', a: [node] } : node;
    }
    // Degrees: 90^\circ, 90^{\circ}.
    if (token?.t === 'open' && isOp(tokens[at + 1], 'deg') && partner(tokens, at) === at + 2) {
      at += 3;
      return { k: 'deg', a: [number(1n)] };
    }
    if (isOp(token, 'deg')) {
      at++;
      return { k: 'deg', a: [number(1n)] };
    }
    const node = primary();
    if (!isOp(tokens[at], '^')) return node;
    at++;
    return { k: 'pow', a: [node, exponentHere()] };
  }

  function power(): Node {
    let node = primary();
    for (;;) {
      if (isOp(tokens[at], '!')) {
        node = { k: 'fn', name: 'factorial', a: [node] };
        at++;
      } else if (isOp(tokens[at], 'deg')) {
        node = { k: 'deg', a: [node] };
        at++;
      } else if (isOp(tokens[at], '^')) {
        at++;
        const exponent = exponentHere();
        node = exponent.k === 'deg' ? { k: 'deg', a: [node] } : { k: 'pow', a: [node, exponent] };
      } else return node;
    }
  }

  /** Whether a factor begins here, without a sign between. */
  function startsFactor(): boolean {
    const token = tokens[at];
    if (token === undefined) return false;
    // 20 °C is no product of 20° and C.
    if (token.t === 'sym' && /^[CF]$/.test(token.name) && isOp(tokens[at - 1], 'deg')) return false;
    if (token.t === 'sym') return !unitHere();
    if (token.t === 'run') return !unitHere() && runIsProduct(token);
    if (token.t === 'open') {
      if (token.op !== '{')
        return token.op === '(' || token.op === '[' || token.op === 'floor' || token.op === 'ceil';
      return !upright(at);
    }
    if (token.t === 'cmd')
      return token.name !== 'over' && token.name !== 'begin' && token.name !== 'pmod';
    if (token.t === 'word') return /^[ie]$/.test(token.text) || FUNCTIONS.has(token.text);
    return isOp(token, '|') && bars === 0;
  }
  /** Braces that hold words: a unit, `\text{ cm}`. */
  function upright(from: number): boolean {
    const inside = tokens[from + 1];
    return inside?.t === 'word' && !/^[ie]$/.test(inside.text) && !FUNCTIONS.has(inside.text);
  }
  /** Letters behind a space with a vowel in them are a word: `3 pen`. */
  function runIsProduct({ text, space }: Token & { t: 'run' }): boolean {
    if (/^[A-Z]{2,4}$/.test(text)) return !space;
    if (!/^[A-Za-z]{2,4}$/.test(text)) return false;
    return !space || !/[eiou]/.test(text) || text.length < 3;
  }
  /** From here to the end a unit and nothing else. */
  function unitHere(): boolean {
    const token = tokens[at];
    if (token.t === 'sym' && !token.space) {
      // `5m` may be a product; `25m/s` is none.
      if (tokens.length - at < 3) return false;
    }
    const rest = tokens.slice(at);
    if (rest.length > 24) return false;
    if (token.t === 'sym' && rest.length === 1 && tokens[at - 1]?.t !== 'num') return false;
    const unit = readUnit(rest.map(textOfUnitToken).join('').trim());
    return unit !== null && unit.kind !== 'word';
  }

  function product(): Node {
    const signed = (): Node => {
      if (isOp(tokens[at], '-')) {
        at++;
        return { k: 'neg', a: [power()] };
      }
      if (isOp(tokens[at], '+')) at++;
      return power();
    };
    let node = power();
    for (;;) {
      const token = tokens[at];
      if (isOp(token, '*') || isOp(token, '/')) {
        if (isOp(token, '/') && isOp(tokens[at + 1], '/')) fail();
        at++;
        const other = signed();
        node = isOp(token, '*') ? { k: 'mul', a: [node, other] } : { k: 'div', a: [node, other] };
      } else if (pending !== null && token?.t === 'num') {
        // \frac123 is a half of three.
        const digits: string = (pending as { digits: string }).digits;
        pending = null;
        at++;
        node = { k: 'mul', a: [node, number(BigInt(digits))] };
      } else if (startsFactor()) node = { k: 'mul', a: [node, power()] };
      else return node;
    }
  }

  function sum(): Node {
    const parts: Node[] = [];
    let token = tokens[at];
    const word = token?.t === 'run' || token?.t === 'word' ? token.text.toLowerCase() : '';
    const minus = isOp(token, '-') || word === 'negative' || word === 'minus';
    const sign = isOp(token, 'pm') ? 'pm' : isOp(token, 'mp') ? 'mp' : minus ? 'neg' : null;
    if (sign !== null || isOp(token, '+')) at++;
    const first = product();
    parts.push(sign === null ? first : { k: sign, a: [first] });
    for (;;) {
      token = tokens[at];
      const next = isOp(token, '+')
        ? 'add'
        : isOp(token, '-')
          ? 'neg'
          : isOp(token, 'pm')
            ? 'pm'
            : isOp(token, 'mp')
              ? 'mp'
              : null;
      if (next === null) break;
      at++;
      const part = product();
      parts.push(next === 'add' ? part : { k: next, a: [part] });
    }
    const whole: Node = parts.length === 1 ? parts[0] : { k: 'add', a: parts };
    if (!isEnvironment(tokens[at], 'over')) return whole;
    at++;
    return { k: 'div', a: [whole, sum()] };
  }

  return {
    sum,
    at: () => (pending === null ? at : fail()),
    loose() {
      const [first, last] = [tokens[start], tokens[start + 1]];
      if (tokens.length - start !== 2 || first.t !== 'num' || last.t !== 'sym') return null;
      const unit = readUnit(last.name);
      if (unit === null || unit.kind === 'word') return null;
      return { node: { k: 'num', value: first.value, places: first.places }, unit };
    },
  };
}
