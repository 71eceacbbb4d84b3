/**
 * @file The smallest parts of a formula: numbers, names, functions with their arguments, fractions,
 * roots, brackets.
 */
import { fromDigits } from './numerals.js';
import { isInteger, plus, rational } from './rational.js';
import { FUNCTIONS } from './symbols.js';
import { fail, isOp, MAX_DEPTH, partner, splitAt, type Token, textOfToken } from './tokens.js';
import type { Node } from './tree.js';

export const number = (value: bigint): Node => ({
  k: 'num',
  value: rational(value) as never,
  places: 0,
});
const symbol = (name: string): Node => ({ k: 'sym', name });

/** Bases that are written as words: `1011_{two}`. */
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

export abstract class PrimaryReader {
  protected at: number;
  protected level: number;
  protected bars = 0;

  constructor(
    protected readonly tokens: readonly Token[],
    protected readonly start: number,
    depth: number,
  ) {
    this.at = start;
    this.level = depth;
  }

  abstract sum(): Node;
  protected abstract power(): Node;
  protected abstract exponentHere(): Node;
  protected abstract startsFactor(): boolean;
  protected abstract nested(tokens: readonly Token[], depth: number): PrimaryReader;

  /** Index of the first token that was not read. */
  end(): number {
    return this.pending === null ? this.at : fail();
  }

  protected inner(from: number, to: number): Node {
    if (++this.level > MAX_DEPTH) fail();
    const reader = this.nested(this.tokens.slice(from, to), this.level);
    const node = reader.sum();
    if (reader.end() !== to - from) fail();
    this.level--;
    return node;
  }
  /** What stands in the braces here, or the one token: the argument of a command. */
  protected argument(): Node {
    const token = this.tokens[this.at];
    if (token === undefined) return fail();
    if (token.t === 'open') {
      const end = partner(this.tokens, this.at);
      if (end < this.at + 2) fail();
      const node = this.inner(this.at + 1, end);
      this.at = end + 1;
      return node;
    }
    if (token.t === 'num') return this.digit(token);
    if (token.t === 'sym') {
      this.at++;
      return symbol(token.name);
    }
    if (token.t === 'cmd') return this.primary();
    return fail();
  }
  /** TeX takes one digit where braces are missing: \frac12 is a half. The rest stays. */
  protected pending: { digits: string } | null = null;

  protected digit(token: Token & { t: 'num' }): Node {
    const digits: string = this.pending?.digits ?? token.digits;
    if (/^\d$/.test(digits)) {
      this.pending = null;
      this.at++;
      return number(BigInt(digits));
    }
    if (/^\d+$/.test(digits)) {
      this.pending = { digits: digits.slice(1) };
      return number(BigInt(digits[0]));
    }
    this.at++;
    return { k: 'num', value: token.value, places: token.places };
  }

  /** The index behind `_` here, as part of a name. */
  protected subscript(): string {
    if (!isOp(this.tokens[this.at], '_')) return '';
    const next = this.tokens[this.at + 1];
    if (next?.t === 'open') {
      const end = partner(this.tokens, this.at + 1);
      if (end < 0) fail();
      const text = this.tokens
        .slice(this.at + 2, end)
        .map(textOfToken)
        .join('');
      this.at = end + 1;
      return `_${text.replace(/[{}]/g, '')}`;
    }
    if (next === undefined || next.t === 'op' || next.t === 'close') return fail();
    this.at += 2;
    return `_${textOfToken(next)}`;
  }

  /** Digits in a base: `1011_2`. */
  protected based(digits: string): Node | null {
    if (!isOp(this.tokens[this.at], '_')) return null;
    const index = this.subscript().slice(1);
    const base = Object.hasOwn(BASES, index) ? BASES[index] : Number(index);
    const value = base >= 2 && base <= 36 ? fromDigits(digits, base) : null;
    return value === null ? fail() : { k: 'num', value, places: 0 };
  }

  protected numberHere(token: Token & { t: 'num' }): Node {
    if (this.pending !== null) return fail();
    this.at++;
    const inBase = this.based(token.digits);
    if (inBase !== null) return inBase;
    const own: Node = { k: 'num', value: token.value, places: token.places };
    if (!isInteger(token.value) || token.digits.includes('.')) return own;
    // A mixed number: 1 1/2, 4\frac{2}{3}, 1½.
    const next = this.tokens[this.at];
    if (next?.t === 'num' && next.digits === '½') {
      this.at++;
      return { k: 'num', value: plus(token.value, next.value) ?? fail(), places: 0 };
    }
    const [over, under, last] = [
      this.tokens[this.at],
      this.tokens[this.at + 1],
      this.tokens[this.at + 2],
    ];
    if (
      over?.t === 'num' &&
      over.space &&
      isOp(under, '/') &&
      last?.t === 'num' &&
      isInteger(over.value) &&
      isInteger(last.value) &&
      last.value.numerator > 0n
    ) {
      const share = rational(over.value.numerator, last.value.numerator) ?? fail();
      this.at += 3;
      return { k: 'num', value: plus(token.value, share) ?? fail(), places: 0 };
    }
    if (next?.t === 'cmd' && next.name === 'frac') {
      const before = this.at;
      const part = this.primary();
      if (part.k === 'div' && part.a.every((side) => side.k === 'num' && isInteger(side.value))) {
        const [a, b] = part.a as readonly [Node & { k: 'num' }, Node & { k: 'num' }];
        if (a.value.numerator > 0n && a.value.numerator < b.value.numerator) {
          const share = rational(a.value.numerator, b.value.numerator) ?? fail();
          return { k: 'num', value: plus(token.value, share) ?? fail(), places: 0 };
        }
      }
      this.at = before;
    }
    return own;
  }

  protected functionHere(name: string): Node {
    this.at++;
    let exponent: Node | null = null;
    let base: Node | null = null;
    for (;;) {
      if (isOp(this.tokens[this.at], '_') && name === 'log') {
        this.at++;
        base = this.argument();
      } else if (isOp(this.tokens[this.at], '^')) {
        this.at++;
        exponent = this.exponentHere();
      } else break;
    }
    const args = this.argumentsHere();
    const minusOne =
      exponent?.k === 'neg' && exponent.a[0].k === 'num' && exponent.a[0].value.numerator === 1n;
    if (minusOne && /^(?:sin|cos|tan|cot|sec|csc)$/.test(name)) {
      return { k: 'fn', name: `arc${name}`, a: args };
    }
    const node: Node = { k: 'fn', name, a: base === null ? args : [...args, base] };
    return exponent === null ? node : { k: 'pow', a: [node, exponent] };
  }
  /** `(x)`, `(a, b)`, or the product that follows without one: `\sin 2x`. */
  protected argumentsHere(): readonly Node[] {
    const token = this.tokens[this.at];
    if (token?.t === 'open' && (token.op === '(' || token.op === '[' || token.op === '{')) {
      const end = partner(this.tokens, this.at);
      if (end < this.at + 2) fail();
      const { pieces } = splitAt(this.tokens.slice(this.at + 1, end), (t) => isOp(t, ','));
      const args = pieces.map((piece) => {
        const reader = this.nested(piece, this.level + 1);
        const node = reader.sum();
        if (reader.end() !== piece.length) fail();
        return node;
      });
      this.at = end + 1;
      return args;
    }
    const factors = [this.power()];
    while (
      this.startsFactor() &&
      !(
        this.tokens[this.at].t === 'cmd' &&
        FUNCTIONS.has((this.tokens[this.at] as { name: string }).name)
      )
    )
      factors.push(this.power());
    return [factors.length === 1 ? factors[0] : { k: 'mul', a: factors }];
  }

  protected primary(): Node {
    const token = this.tokens[this.at];
    if (token === undefined) return fail();
    if (++this.level > MAX_DEPTH) fail();
    try {
      if (token.t === 'num') return this.numberHere(token);
      if (token.t === 'sym') return this.named(token.name);
      if (token.t === 'word')
        return token.text.length === 1 ? this.named(token.text) : this.wordHere(token.text);
      if (token.t === 'run') return this.runHere(token.text);
      if (token.t === 'open') return this.bracketHere(token.op);
      if (token.t === 'cmd') return this.commandHere(token.name);
      if (isOp(token, '|')) return this.absolute();
      return fail();
    } finally {
      this.level--;
    }
  }

  protected named(name: string): Node {
    this.at++;
    let full = name + this.subscript();
    while (isOp(this.tokens[this.at], "'")) {
      full += "'";
      this.at++;
    }
    const token = this.tokens[this.at];
    // f(x) is a function of x, x(x+1) a product.
    if (/^[fghFGHPE]['_]?/.test(full) && token?.t === 'open' && token.op === '(' && !token.space)
      return { k: 'fn', name: `?${full}`, a: this.argumentsHere() };
    return symbol(full);
  }
  protected wordHere(text: string): Node {
    return FUNCTIONS.has(text) ? this.functionHere(text) : fail();
  }
  /** Letters that stand together: capitals name a segment, others are a product. */
  protected runHere(text: string): Node {
    if (/^[A-Z]{2,4}$/.test(text)) return this.named(text);
    if (!/^[A-Za-z]{2,4}$/.test(text)) return fail();
    this.at++;
    const names = [...text];
    const last = names[names.length - 1] + this.subscript();
    const a = [...names.slice(0, -1), last].map(symbol);
    if (!isOp(this.tokens[this.at], '^')) return { k: 'mul', a };
    this.at++;
    return {
      k: 'mul',
      a: [...a.slice(0, -1), { k: 'pow', a: [a[a.length - 1], this.exponentHere()] }],
    };
  }
  protected bracketHere(op: string): Node {
    const end = partner(this.tokens, this.at);
    if (end < this.at + 2) return fail();
    const close = this.tokens[end];
    if (op === '<' || op === 'set' || close.t !== 'close' || close.op !== op) return fail();
    const { pieces, cuts } = splitAt(
      this.tokens.slice(this.at + 1, end),
      (t) => t.t === 'op' && t.op === ',',
    );
    if (cuts.length > 0 || pieces.length !== 1) return fail();
    const node = this.inner(this.at + 1, end);
    this.at = end + 1;
    return op === 'floor' || op === 'ceil' ? { k: 'fn', name: op, a: [node] } : node;
  }
  protected absolute(): Node {
    if (this.bars > 0) fail();
    this.at++;
    this.bars++;
    const node = this.sum();
    this.bars--;
    if (!isOp(this.tokens[this.at], '|')) fail();
    this.at++;
    return { k: 'fn', name: 'abs', a: [node] };
  }

  protected commandHere(name: string): Node {
    if (FUNCTIONS.has(name)) return this.functionHere(name);
    this.at++;
    if (name === 'frac') {
      const a = this.argument();
      return { k: 'div', a: [a, this.argument()] };
    }
    if (name === 'binom') {
      const a = this.argument();
      return { k: 'fn', name: 'binom', a: [a, this.argument()] };
    }
    if (name === 'sqrt') {
      let degree: Node = number(2n);
      const token = this.tokens[this.at];
      if (token?.t === 'open' && token.op === '[') {
        const end = partner(this.tokens, this.at);
        if (end < this.at + 2) fail();
        degree = this.inner(this.at + 1, end);
        this.at = end + 1;
      }
      return { k: 'fn', name: 'root', a: [this.argument(), degree] };
    }
    if (name === 'cbrt') return { k: 'fn', name: 'root', a: [this.argument(), number(3n)] };
    if (name === 'infty') return { k: 'inf' };
    if (
      /^(?:overline|vec|hat|bar|widehat|overrightarrow|angle|triangle|arc|mathbb|tilde)$/.test(name)
    ) {
      const token = this.tokens[this.at];
      const end = token?.t === 'open' ? partner(this.tokens, this.at) : this.at;
      if (token === undefined || end < this.at) fail();
      const text = this.tokens
        .slice(this.at, end + 1)
        .map(textOfToken)
        .join('')
        .replace(/[{}]/g, '');
      this.at = end + 1;
      return symbol(`\\${name} ${text}`);
    }
    return fail();
  }
}
