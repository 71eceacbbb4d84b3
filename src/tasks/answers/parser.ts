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
import { parseFormula } from './formula.js';
import { numberInWords } from './number-words.js';
import { fromDigits } from './numerals.js';
import { FUNCTIONS } from './symbols.js';
import {
  fail,
  isEnvironment,
  isOp,
  MAX_DEPTH,
  partner,
  splitAt,
  type Token,
  textOfToken,
} from './tokens.js';
import type { Form, Value } from './tree.js';
import { areWords, textValue, wordsOf } from './words.js';

const RELATIONS = new Set(['=', '<', '>', '<=', '>=', '!=', '~', 'in']);
const MATRICES = new Set('pmatrix bmatrix Bmatrix vmatrix matrix smallmatrix array'.split(' '));

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
  const value = all.some((token) => isOp(token, 'and')) ? numberInWords(wordsOf(all)) : null;
  if (value !== null)
    return { k: 'formula', node: { k: 'num', value, places: 0 }, unit: null, percent: false };
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
