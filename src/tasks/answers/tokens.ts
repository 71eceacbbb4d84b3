/**
 * @file Tokens of an answer, and how a list of them is cut at brackets and separators.
 */
import type { Rational } from './rational.js';

/** Thrown on text that is no formula; it is then compared as text. */
export class Unreadable extends Error {}

/** Brackets and lists in each other. */
export const MAX_DEPTH = 40;

export const fail = (): never => {
  throw new Unreadable();
};

interface Base {
  /** White space stands before it. */
  readonly space: boolean;
}

export type Token = Base &
  (
    | {
        readonly t: 'num';
        readonly value: Rational;
        /** Digits behind the point; what an approximation is held to. */
        readonly places: number;
        /** Digits as written, for numbers with a base (`1011_2`). */
        readonly digits: string;
        /** The groups of `100,200`, which is one number or two. */
        readonly groups: readonly string[] | null;
      }
    /** A letter, or a command that names one: `x`, `\alpha`. */
    | { readonly t: 'sym'; readonly name: string }
    /** Several letters without a space: a unit, a word, or a product of variables. */
    | { readonly t: 'run'; readonly text: string }
    /** Upright text: `\text{odd}`. */
    | { readonly t: 'word'; readonly text: string }
    | { readonly t: 'cmd'; readonly name: string }
    | { readonly t: 'op'; readonly op: string }
    /** Both brackets of a pair have the name of the one that opens. */
    | { readonly t: 'open' | 'close'; readonly op: string }
  );

type Loose<T> = T extends Token ? Omit<T, 'space'> : never;
export type Piece = Loose<Token>;

export const isOp = (token: Token | undefined, op: string): boolean =>
  token?.t === 'op' && token.op === op;

export const isEnvironment = (token: Token | undefined, name: string): boolean =>
  token?.t === 'cmd' && token.name === name;

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
export function splitAt(
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

export function textOfToken(token: Token): string {
  if (token.t === 'num') return token.digits;
  if (token.t === 'sym') return token.name;
  if (token.t === 'run' || token.t === 'word') return token.text;
  if (token.t === 'cmd') return `\\${token.name}`;
  if (token.t === 'close')
    return { '(': ')', '[': ']', '{': '}', '<': '>', set: '\\}' }[token.op] ?? token.op;
  return token.op === 'set' ? '\\{' : token.op;
}
