/**
 * @file Formulas: sums of products of powers, with a currency before them and a unit behind.
 */
import { number, PrimaryReader } from './primary.js';
import { FUNCTIONS } from './symbols.js';
import { fail, isEnvironment, isOp, partner, type Token, textOfToken } from './tokens.js';
import type { Node, Unit, Value } from './tree.js';
import { readUnit, unitOfTokens } from './units.js';

/** A sum with its currency, percent sign and unit. */
export function parseFormula(tokens: readonly Token[], depth: number): Value {
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
  const reader = new FormulaReader(tokens, from, depth);
  let node = reader.sum();
  if (sign) node = { k: 'neg', a: [node] };
  let rest = tokens.slice(reader.end());
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
class FormulaReader extends PrimaryReader {
  protected nested(tokens: readonly Token[], depth: number): PrimaryReader {
    return new FormulaReader(tokens, 0, depth);
  }

  /** After `^`: braces, a signed number, a letter, a bracket. */
  protected exponentHere(): Node {
    const token = this.tokens[this.at];
    if (isOp(token, '-') || isOp(token, '+')) {
      this.at++;
      const node = this.exponentHere();
      return isOp(token, '-') ? { k: 'neg', a: [node] } : node;
    }
    // Degrees: 90^\circ, 90^{\circ}.
    if (
      token?.t === 'open' &&
      isOp(this.tokens[this.at + 1], 'deg') &&
      partner(this.tokens, this.at) === this.at + 2
    ) {
      this.at += 3;
      return { k: 'deg', a: [number(1n)] };
    }
    if (isOp(token, 'deg')) {
      this.at++;
      return { k: 'deg', a: [number(1n)] };
    }
    const node = this.primary();
    if (!isOp(this.tokens[this.at], '^')) return node;
    this.at++;
    return { k: 'pow', a: [node, this.exponentHere()] };
  }

  protected power(): Node {
    let node = this.primary();
    for (;;) {
      if (isOp(this.tokens[this.at], '!')) {
        node = { k: 'fn', name: 'factorial', a: [node] };
        this.at++;
      } else if (isOp(this.tokens[this.at], 'deg')) {
        node = { k: 'deg', a: [node] };
        this.at++;
      } else if (isOp(this.tokens[this.at], '^')) {
        this.at++;
        const exponent = this.exponentHere();
        node = exponent.k === 'deg' ? { k: 'deg', a: [node] } : { k: 'pow', a: [node, exponent] };
      } else return node;
    }
  }

  /** Whether a factor begins here, without a sign between. */
  protected startsFactor(): boolean {
    const token = this.tokens[this.at];
    if (token === undefined) return false;
    // 20 °C is no product of 20° and C.
    if (token.t === 'sym' && /^[CF]$/.test(token.name) && isOp(this.tokens[this.at - 1], 'deg'))
      return false;
    if (token.t === 'sym') return !this.unitHere();
    if (token.t === 'run') return !this.unitHere() && this.runIsProduct(token);
    if (token.t === 'open') {
      if (token.op !== '{')
        return token.op === '(' || token.op === '[' || token.op === 'floor' || token.op === 'ceil';
      return !this.upright(this.at);
    }
    if (token.t === 'cmd')
      return token.name !== 'over' && token.name !== 'begin' && token.name !== 'pmod';
    if (token.t === 'word') return /^[ie]$/.test(token.text) || FUNCTIONS.has(token.text);
    return isOp(token, '|') && this.bars === 0;
  }
  /** Braces that hold words: a unit, `\text{ cm}`. */
  protected upright(from: number): boolean {
    const inside = this.tokens[from + 1];
    return inside?.t === 'word' && !/^[ie]$/.test(inside.text) && !FUNCTIONS.has(inside.text);
  }
  /** Letters behind a space with a vowel in them are a word: `3 pen`. */
  protected runIsProduct({ text, space }: Token & { t: 'run' }): boolean {
    if (/^[A-Z]{2,4}$/.test(text)) return !space;
    if (!/^[A-Za-z]{2,4}$/.test(text)) return false;
    return !space || !/[eiou]/.test(text) || text.length < 3;
  }
  /** From here to the end a unit and nothing else. */
  protected unitHere(): boolean {
    const token = this.tokens[this.at];
    if (token.t === 'sym' && !token.space) {
      // `5m` may be a product; `25m/s` is none.
      if (this.tokens.length - this.at < 3) return false;
    }
    const rest = this.tokens.slice(this.at);
    if (rest.length > 24) return false;
    if (token.t === 'sym' && rest.length === 1 && this.tokens[this.at - 1]?.t !== 'num')
      return false;
    const unit = readUnit(rest.map(textOfUnitToken).join('').trim());
    return unit !== null && unit.kind !== 'word';
  }

  protected product(): Node {
    const signed = (): Node => {
      if (isOp(this.tokens[this.at], '-')) {
        this.at++;
        return { k: 'neg', a: [this.power()] };
      }
      if (isOp(this.tokens[this.at], '+')) this.at++;
      return this.power();
    };
    let node = this.power();
    for (;;) {
      const token = this.tokens[this.at];
      if (isOp(token, '*') || isOp(token, '/')) {
        if (isOp(token, '/') && isOp(this.tokens[this.at + 1], '/')) fail();
        this.at++;
        const other = signed();
        node = isOp(token, '*') ? { k: 'mul', a: [node, other] } : { k: 'div', a: [node, other] };
      } else if (this.pending !== null && token?.t === 'num') {
        // \frac123 is a half of three.
        const digits: string = (this.pending as { digits: string }).digits;
        this.pending = null;
        this.at++;
        node = { k: 'mul', a: [node, number(BigInt(digits))] };
      } else if (this.startsFactor()) node = { k: 'mul', a: [node, this.power()] };
      else return node;
    }
  }

  sum(): Node {
    const parts: Node[] = [];
    let token = this.tokens[this.at];
    const word = token?.t === 'run' || token?.t === 'word' ? token.text.toLowerCase() : '';
    const minus = isOp(token, '-') || word === 'negative' || word === 'minus';
    const sign = isOp(token, 'pm') ? 'pm' : isOp(token, 'mp') ? 'mp' : minus ? 'neg' : null;
    if (sign !== null || isOp(token, '+')) this.at++;
    const first = this.product();
    parts.push(sign === null ? first : { k: sign, a: [first] });
    for (;;) {
      token = this.tokens[this.at];
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
      this.at++;
      const part = this.product();
      parts.push(next === 'add' ? part : { k: next, a: [part] });
    }
    const whole: Node = parts.length === 1 ? parts[0] : { k: 'add', a: parts };
    if (!isEnvironment(this.tokens[this.at], 'over')) return whole;
    this.at++;
    return { k: 'div', a: [whole, this.sum()] };
  }

  /** The whole as a number and a unit of one letter, `5m`. */
  loose(): { node: Node; unit: Unit } | null {
    const [first, last] = [this.tokens[this.start], this.tokens[this.start + 1]];
    if (this.tokens.length - this.start !== 2 || first.t !== 'num' || last.t !== 'sym') return null;
    const unit = readUnit(last.name);
    if (unit === null || unit.kind === 'word') return null;
    return { node: { k: 'num', value: first.value, places: first.places }, unit };
  }
}
