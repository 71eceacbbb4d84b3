/**
 * @file The tokens of an answer: LaTeX, plain text and Unicode in one list.
 *
 * Text is cut and never rewritten: `\frac{1}{2x}` keeps its braces as tokens, `x²` becomes a power
 * and not the number `x2`. Spelling that has one meaning ends here (`\dfrac`, `\left`, `**17**`,
 * full-width digits, `70{,}000`); what has several is left to the parser. Linear in the length of
 * the text.
 */
import { readNumber } from './numerals.js';
import { over, type Rational, rational } from './rational.js';
import {
  BRACKETS,
  CURRENCY,
  FUNCTIONS,
  GREEK,
  IGNORED,
  OPERATORS,
  SPACES,
  SUBSCRIPTED,
  SUBSCRIPTS,
  SUPERSCRIPTED,
  SUPERSCRIPTS,
  TEXTS,
  UNICODE,
  VULGAR,
} from './symbols.js';
import { type Piece, type Token, Unreadable } from './tokens.js';

/** Digits of any script and full-width characters as ASCII, dashes and blanks as the plain one. */
function fold(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is left as it is
  return text.replace(/[^\x00-\x7f]/gu, (c) => {
    if (/[−–—‒―﹣－]/.test(c)) return '-';
    if (/\p{Zs}/u.test(c)) return ' ';
    if (/\p{Cf}|\ufe0e|\ufe0f/u.test(c)) return '';
    if (c === '⁄' || c === '∕') return '/';
    if (c === '٫') return '.';
    if (c === '٬') return ',';
    if (/[“”„]/.test(c)) return '"';
    const code = c.codePointAt(0) as number;
    if ((code >= 0xff01 && code <= 0xff5e) || (code >= 0x1d400 && code <= 0x1d7ff)) {
      return c.normalize('NFKC');
    }
    if (/\p{Nd}/u.test(c)) {
      // Digits of a script are ten code points in a row.
      let start = code;
      while (code - start < 9 && /\p{Nd}/u.test(String.fromCodePoint(start - 1))) start--;
      return String(code - start);
    }
    return c;
  });
}

/** @throws Unreadable on a character that no answer has a use for */
export function tokensOf(source: string): Token[] {
  const text = fold(source);
  const euros = /€|\beuros?\b|\bEUR\b/i.test(text);
  const out: Token[] = [];
  let space = false;
  /** Open brackets, without the braces of LaTeX: commas in them cut. */
  let depth = 0;
  /** Where upright text ends: the depths of braces at which its command began. */
  const upright: number[] = [];
  let braces = 0;
  const push = (token: Piece): void => {
    out.push({ ...token, space } as Token);
    space = false;
  };
  const number = (at: number): number => {
    const { token, end } = readNumber(text, at, depth, euros);
    push(token);
    return end;
  };

  function letters(at: number): number {
    const [run] = /^\p{L}+(?:['-]\p{L}{2,})*/u.exec(text.slice(at, at + 200)) as RegExpExecArray;
    const lower = run.toLowerCase();
    // `7:30 p.m.`, `5 PM`; `154 pm` are picometres.
    const noon = /^([ap])\.?m\b\.?/i.exec(text.slice(at, at + 4));
    const hour = out.at(-1);
    const clock = hour?.t === 'num' && (Number(hour.digits) <= 12 || out.at(-2)?.t === 'op');
    if (noon && clock) {
      push({ t: 'word', text: noon[1].toLowerCase() === 'a' ? 'forenoon' : 'afternoon' });
      return at + noon[0].length;
    }
    if (upright.length > 0) {
      if (lower === 'and' || lower === 'or') push({ t: 'op', op: lower });
      else push({ t: 'word', text: run });
      return at + run.length;
    }
    const plain = /^\p{L}+/u.exec(run)?.[0] ?? run;
    const name = plain.toLowerCase();
    if (name === 'and' || name === 'or') push({ t: 'op', op: name });
    else if (plain === 'sqrt' || plain === 'cbrt') push({ t: 'cmd', name: plain });
    else if (plain === 'pi' || plain === 'Pi') push({ t: 'sym', name: '\\pi' });
    else if (/^(?:inf|infty|infinity)$/i.test(plain)) push({ t: 'cmd', name: 'infty' });
    else if (FUNCTIONS.has(plain)) push({ t: 'cmd', name: plain });
    else if (/^(?:sin|cos|tan|ln|log)[a-z]$/.test(plain)) {
      push({ t: 'cmd', name: plain.slice(0, -1) });
      push({ t: 'sym', name: plain.slice(-1) });
    } else if (plain.length === 1) {
      // `3 x 10^4`: between two numbers it is a sign.
      const last = out.at(-1);
      const between = plain === 'x' && last?.t === 'num' && /^\s*\d/.test(text.slice(at + 1));
      push(between ? { t: 'op', op: '*' } : { t: 'sym', name: plain });
    } else push({ t: 'run', text: run });
    return at + (out.at(-1)?.t === 'run' ? run.length : plain.length);
  }

  function command(at: number): number {
    const name = /^\\([A-Za-z]+\*?|[\s\S])/.exec(text.slice(at, at + 40))?.[1] ?? '';
    const end = at + 1 + name.length;
    if (name === '' || name === '\n') return end;
    if (name === '\\') {
      push({ t: 'op', op: '\\\\' });
      // Rows may say how far apart they are.
      return end + (/^\s*\[[\d.a-z]*\]/.exec(text.slice(end, end + 20))?.[0].length ?? 0);
    }
    if (SPACES.has(name)) {
      space ||= name !== '!';
      return end;
    }
    if (name === '(' || name === ')' || name === '[' || name === ']') return end;
    if (Object.hasOwn(BRACKETS, name === '{' || name === '}' ? `\\${name}` : name)) {
      const bracket = BRACKETS[name === '{' || name === '}' ? `\\${name}` : name];
      depth = Math.max(0, depth + (bracket.t === 'open' ? 1 : -1));
      push(bracket);
      return end;
    }
    if (name === '%') push({ t: 'op', op: '%' });
    else if (name === '$') push({ t: 'word', text: '$' });
    else if (name === '&' || name === '#' || name === '_') push({ t: 'word', text: name });
    else if (name === '|' || name === 'Vert' || name === 'lVert' || name === 'rVert')
      push({ t: 'op', op: '|' });
    else if (IGNORED.has(name.replace('*', '')) || name === 'left.' || name === 'right.') {
      // `\left.` is a bracket that is not there.
      return /^(?:left|right|middle)$/.test(name) && text[end] === '.' ? end + 1 : end;
    } else if (TEXTS.has(name.replace('*', ''))) {
      const named = /^\s*\{\s*([A-Za-z]+)\s*\}/.exec(text.slice(end, end + 40));
      if (named && FUNCTIONS.has(named[1])) {
        push({ t: 'cmd', name: named[1] });
        return end + named[0].length;
      }
      const brace = /^\s*\{/.exec(text.slice(end, end + 20));
      if (!brace) return end;
      upright.push(braces);
      braces++;
      push({ t: 'open', op: '{' });
      return end + brace[0].length;
    } else if (GREEK.has(name)) push({ t: 'sym', name: `\\${name}` });
    else if (name.startsWith('var') && GREEK.has(name.slice(3)))
      push({ t: 'sym', name: `\\${name.slice(3)}` });
    else if (Object.hasOwn(OPERATORS, name)) push({ t: 'op', op: OPERATORS[name] });
    else if (name === 'infin') push({ t: 'cmd', name: 'infty' });
    else if (name === 'varnothing' || name === 'empty') push({ t: 'cmd', name: 'emptyset' });
    else if (/^[dtc]frac$/.test(name)) push({ t: 'cmd', name: 'frac' });
    else if (/^[dt]binom$/.test(name)) push({ t: 'cmd', name: 'binom' });
    else if (name === 'pounds' || name === 'euro' || name === 'cent')
      push({ t: 'word', text: { pounds: '£', euro: '€', cent: '¢' }[name] as string });
    else push({ t: 'cmd', name });
    return end;
  }

  const dollars = dollarsOf(text);
  let at = 0;
  while (at < text.length) {
    const c = text[at];
    if (/\s/.test(c) || c === '~') {
      space = true;
      at++;
    } else if (/\d/.test(c) || (c === '.' && /\d/.test(text[at + 1] ?? ''))) at = number(at);
    else if (/\p{L}/u.test(String.fromCodePoint(text.codePointAt(at) as number))) {
      const mapped = UNICODE[c];
      if (mapped === undefined) at = letters(at);
      else {
        for (const { space: _, ...token } of tokensOf(mapped)) push(token as Piece);
        at++;
      }
    } else if (c === '\\') at = command(at);
    else if (c === '$') {
      if (!dollars.has(at)) push({ t: 'word', text: '$' });
      else space = true;
      at++;
    } else if (Object.hasOwn(CURRENCY, c)) {
      push({ t: 'word', text: c });
      at++;
    } else if (c === '{' || c === '}') {
      if (c === '{') braces++;
      else if (--braces === upright.at(-1)) upright.pop();
      push(BRACKETS[c]);
      at++;
    } else if (Object.hasOwn(BRACKETS, c)) {
      depth = Math.max(0, depth + (BRACKETS[c].t === 'open' ? 1 : -1));
      push(BRACKETS[c]);
      at++;
    } else if (SUPERSCRIPTS.includes(c) || SUBSCRIPTS.includes(c)) {
      const [from, to, op] = SUPERSCRIPTS.includes(c)
        ? [SUPERSCRIPTS, SUPERSCRIPTED, '^']
        : [SUBSCRIPTS, SUBSCRIPTED, '_'];
      let inner = '';
      while (at < text.length && from.includes(text[at])) inner += to[from.indexOf(text[at++])];
      push({ t: 'op', op });
      push(BRACKETS['{']);
      for (const { space: _, ...token } of tokensOf(inner)) push(token as Piece);
      push(BRACKETS['}']);
    } else if (Object.hasOwn(VULGAR, c)) {
      const value = over(
        rational(BigInt(VULGAR[c][0])) as Rational,
        rational(BigInt(VULGAR[c][1])) as Rational,
      ) as Rational;
      push({ t: 'num', value, places: 0, digits: '½', groups: null });
      at++;
    } else if (Object.hasOwn(UNICODE, c)) {
      for (const { space: _, ...token } of tokensOf(UNICODE[c])) push(token as Piece);
      at++;
    } else {
      const op = /^(?:<=|>=|!=|==|~=|\*\*|->|\.\.\.|[-+*/^_!%,;:=<>|&'".?])/.exec(
        text.slice(at, at + 3),
      )?.[0];
      if (op === undefined) throw new Unreadable();
      push({ t: 'op', op: op === '**' ? '^' : op === '==' ? '=' : op === '~=' ? '~' : op });
      at += op.length;
    }
  }
  return out;
}

/**
 * Where `$` stands for the borders of a formula and not for money: in pairs, the second with
 * nothing but a border before it and no digit behind it (as Pandoc reads them).
 */
function dollarsOf(text: string): Set<number> {
  const borders = new Set<number>();
  let open = -1;
  for (let at = text.indexOf('$'); at >= 0; at = text.indexOf('$', at + 1)) {
    if (text[at - 1] === '\\') continue;
    if (text[at + 1] === '$') {
      borders.add(at).add(at + 1);
      at++;
      continue;
    }
    if (open < 0) open = at;
    else if (!/\s/.test(text[at - 1] ?? ' ') && !/\d/.test(text[at + 1] ?? ' ')) {
      borders.add(open).add(at);
      open = -1;
    } else open = at;
  }
  return borders;
}
