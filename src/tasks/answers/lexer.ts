/**
 * @file The tokens of an answer: LaTeX, plain text and Unicode in one list.
 *
 * Text is cut and never rewritten: `\frac{1}{2x}` keeps its braces as tokens, `x²` becomes a power
 * and not the number `x2`. Spelling that has one meaning ends here (`\dfrac`, `\left`, `**17**`,
 * full-width digits, `70{,}000`); what has several is left to the parser. Linear in the length of
 * the text.
 */
import { decimal, over, plus, power, type Rational, rational, times } from './rational.js';

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

export const FUNCTIONS = new Set(
  `sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth arcsinh arccosh arctanh
   asin acos atan ln log lg exp det gcd lcm max min arg Re Im deg`.split(/\s+/),
);

/** Commands that change the look of what follows, and nothing else. */
const IGNORED = new Set(
  `left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle scriptstyle
   limits nolimits mathbf mathit mathsf mathcal boldsymbol bm pmb mathopen mathclose mathstrut
   checkmark qed blacksquare square Box phantom hfill centering large Large normalsize small tiny bf
   it color textcolor middle mathbin mathrel mathord strut nobreak underline boxed fbox`.split(
    /\s+/,
  ),
);
const SPACES = new Set([
  ...',:;!>/ '.split(''),
  'quad',
  'qquad',
  'thinspace',
  'enspace',
  'space',
  'hspace',
  'negthinspace',
]);
/** Commands whose argument is text. */
const TEXTS = new Set(
  `text textrm textbf textit textsf texttt textnormal emph mathrm mbox hbox rm operatorname
   mathnormal`.split(/\s+/),
);
const GREEK = new Set(
  `alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau
   upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar
   aleph`.split(/\s+/),
);
const OPERATORS: Record<string, string> = {
  cdot: '*',
  times: '*',
  ast: '*',
  cdotp: '*',
  div: '/',
  slash: '/',
  pm: 'pm',
  mp: 'mp',
  le: '<=',
  leq: '<=',
  leqslant: '<=',
  ge: '>=',
  geq: '>=',
  geqslant: '>=',
  lt: '<',
  gt: '>',
  ne: '!=',
  neq: '!=',
  approx: '~',
  simeq: '~',
  sim: '~',
  thickapprox: '~',
  equiv: '=',
  colon: ':',
  in: 'in',
  cup: 'cup',
  cap: 'cap',
  setminus: 'setminus',
  backslash: 'setminus',
  smallsetminus: 'setminus',
  mid: '|',
  vert: '|',
  lvert: '|',
  rvert: '|',
  prime: "'",
  degree: 'deg',
  circ: 'deg',
  land: 'and',
  wedge: 'and',
  lor: 'or',
  vee: 'or',
};
const BRACKETS: Record<string, { t: 'open' | 'close'; op: string }> = {
  '(': { t: 'open', op: '(' },
  ')': { t: 'close', op: '(' },
  '[': { t: 'open', op: '[' },
  ']': { t: 'close', op: '[' },
  '\\{': { t: 'open', op: 'set' },
  '\\}': { t: 'close', op: 'set' },
  lbrace: { t: 'open', op: 'set' },
  rbrace: { t: 'close', op: 'set' },
  lbrack: { t: 'open', op: '[' },
  rbrack: { t: 'close', op: '[' },
  lparen: { t: 'open', op: '(' },
  rparen: { t: 'close', op: '(' },
  langle: { t: 'open', op: '<' },
  rangle: { t: 'close', op: '<' },
  lfloor: { t: 'open', op: 'floor' },
  rfloor: { t: 'close', op: 'floor' },
  lceil: { t: 'open', op: 'ceil' },
  rceil: { t: 'close', op: 'ceil' },
  '{': { t: 'open', op: '{' },
  '}': { t: 'close', op: '{' },
};
const CURRENCY: Record<string, string> = {
  $: '$',
  '€': '€',
  '£': '£',
  '¥': '¥',
  '₹': '₹',
  '¢': '¢',
};

/** Characters with a LaTeX name of their own. */
const UNICODE: Record<string, string> = {
  '×': '\\times ',
  '·': '\\cdot ',
  '⋅': '\\cdot ',
  '∙': '\\cdot ',
  '•': '\\cdot ',
  '÷': '\\div ',
  '√': '\\sqrt ',
  '∛': '\\cbrt ',
  '∞': '\\infty ',
  '≤': '\\le ',
  '≥': '\\ge ',
  '⩽': '\\le ',
  '⩾': '\\ge ',
  '≠': '\\ne ',
  '≈': '\\approx ',
  '≃': '\\approx ',
  '∪': '\\cup ',
  '∩': '\\cap ',
  '∖': '\\setminus ',
  '∅': '\\emptyset ',
  '∈': '\\in ',
  '±': '\\pm ',
  '∓': '\\mp ',
  '°': '\\degree ',
  '∘': '\\degree ',
  '℃': '\\degree C',
  '℉': '\\degree F',
  '∠': '\\angle ',
  '△': '\\triangle ',
  '⟨': '\\langle ',
  '⟩': '\\rangle ',
  '〈': '\\langle ',
  '〉': '\\rangle ',
  '⌊': '\\lfloor ',
  '⌋': '\\rfloor ',
  '⌈': '\\lceil ',
  '⌉': '\\rceil ',
  '∣': '|',
  ℝ: '\\mathbb{R}',
  ℤ: '\\mathbb{Z}',
  ℚ: '\\mathbb{Q}',
  ℕ: '\\mathbb{N}',
  ℂ: '\\mathbb{C}',
  '…': '\\ldots ',
  '′': "'",
  '’': "'",
  Ω: '\\Omega ',
  µ: '\\mu ',
};
for (const [i, letter] of [...'αβγδεζηθικλμνξοπρστυφχψω'].entries()) {
  UNICODE[letter] = `\\${[...GREEK][i]} `;
}
for (const [letter, name] of Object.entries({
  Γ: 'Gamma',
  Δ: 'Delta',
  Θ: 'Theta',
  Λ: 'Lambda',
  Ξ: 'Xi',
  Π: 'Pi',
  Σ: 'Sigma',
  Φ: 'Phi',
  Ψ: 'Psi',
  ϕ: 'phi',
  ε: 'epsilon',
}))
  UNICODE[letter] = `\\${name} `;
const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ';
const SUPERSCRIPTED = '0123456789+-()nx';
const SUBSCRIPTS = '₀₁₂₃₄₅₆₇₈₉₊₋₍₎';
const SUBSCRIPTED = '0123456789+-()';
const VULGAR: Record<string, [number, number]> = {
  '½': [1, 2],
  '⅓': [1, 3],
  '⅔': [2, 3],
  '¼': [1, 4],
  '¾': [3, 4],
  '⅕': [1, 5],
  '⅖': [2, 5],
  '⅗': [3, 5],
  '⅘': [4, 5],
  '⅙': [1, 6],
  '⅚': [5, 6],
  '⅛': [1, 8],
  '⅜': [3, 8],
  '⅝': [5, 8],
  '⅞': [7, 8],
};

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

/** Thousands separators, each the same throughout a number. */
const GROUPED = [',\\\\!', '\\{,\\}', ',', '\\\\,', '\\\\ ', '~', ' ', "'", '_'].map(
  (separator) => ({
    separator,
    pattern: new RegExp(
      `(\\d{1,3}(?:${separator}\\d{3})+)(?!\\d)(\\.\\d+)?(?!${separator}\\d)${
        separator === ' ' || separator === '\\\\ ' ? '(?!\\s*/)' : ''
      }`,
      'y',
    ),
  }),
);
/** Groups by points, as in Germany or Brazil: only where there is no other reading. */
const POINTED = /(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d,])|(\d{1,3}(?:\.\d{3}){2,})(?![\d.])/y;
/** Groups as in India; also a list of three numbers. */
const INDIAN = /(\d{1,2}(?:,\d{2})+,\d{3})(?![\d,])/y;
const PLAIN = /(\d+(?:\.\d+|\.(?![\d.]))?|\.\d+)/y;
const REPEATING =
  /\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))(?:\s*(\d*)\\dot\s*\{?(\d)\}?)?|\((\d+)\)/y;
const SCIENTIFIC = /[eE]([-+]?\d{1,4})(?![\w.])/y;
const RADIX = /0([xXbBoO])([\da-fA-F]+)(?![\w.])/y;

export class Unreadable extends Error {}

/** @throws Unreadable on a character that no answer has a use for */
export function tokensOf(source: string): Token[] {
  const text = fold(source);
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
  const match = (pattern: RegExp, at: number): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };

  function number(at: number): number {
    const done = (
      end: number,
      digits: string,
      groups: readonly string[] | null,
      value?: Rational | null,
    ): number => {
      const plainValue = value ?? decimal(digits);
      const places = digits.includes('.') ? digits.length - digits.indexOf('.') - 1 : 0;
      push({ t: 'num', value: plainValue, places, digits, groups });
      return end;
    };
    const radix = match(RADIX, at);
    if (radix) {
      const base = { x: 16, b: 2, o: 8 }[radix[1].toLowerCase()] as number;
      const value = fromDigits(radix[2], base);
      if (value !== null) return done(at + radix[0].length, radix[0], null, value);
    }
    const pointed = depth === 0 ? match(POINTED, at) : null;
    if (pointed) {
      const whole = (pointed[1] ?? pointed[3]).replaceAll('.', '');
      return done(at + pointed[0].length, pointed[2] ? `${whole}.${pointed[2]}` : whole, null);
    }
    for (const { separator, pattern } of GROUPED) {
      const found = match(pattern, at);
      if (!found) continue;
      const groups = found[1].match(/\d+/g) as string[];
      const whole = groups.join('') + (found[2] ?? '');
      const list =
        separator === ',' && found[2] === undefined && groups.every((group) => !/^0\d/.test(group));
      // A pair of coordinates, not a thousand.
      if (list && depth > 0) break;
      const twofold = list && groups[0].length === 3;
      return done(at + found[0].length, whole, twofold ? groups : null);
    }
    const indian = depth === 0 ? match(INDIAN, at) : null;
    if (indian) {
      const groups = indian[1].split(',');
      return done(at + indian[0].length, groups.join(''), groups);
    }
    const [plain] = match(PLAIN, at) as RegExpExecArray;
    let end = at + plain.length;
    if (plain.includes('.') || text[end] === '\\') {
      const repeating = match(REPEATING, end);
      const bare = repeating?.[5];
      if (repeating && plain.includes('.') && (bare === undefined || plain.endsWith('.'))) {
        const period =
          bare ?? `${repeating[1] ?? repeating[2]}${repeating[3] ?? ''}${repeating[4] ?? ''}`;
        end += repeating[0].length;
        const places = plain.length - plain.indexOf('.') - 1;
        const head = decimal(plain.replace(/\.$/, ''));
        const tail = rational(
          BigInt(period),
          (10n ** BigInt(period.length) - 1n) * 10n ** BigInt(places),
        ) as Rational;
        return done(end, plain, null, plus(head, tail));
      }
    }
    const scientific = match(SCIENTIFIC, end);
    if (scientific) {
      const exponent = BigInt(scientific[1].replace('+', ''));
      const scale = power(rational(10n) as Rational, exponent);
      if (scale !== null)
        return done(end + scientific[0].length, plain, null, times(decimal(plain), scale));
    }
    const digits = plain.endsWith('.') ? plain.slice(0, -1) : plain;
    return done(end, digits, null);
  }

  function letters(at: number): number {
    const [run] = /^\p{L}+(?:['-]\p{L}{2,})*/u.exec(text.slice(at, at + 200)) as RegExpExecArray;
    const lower = run.toLowerCase();
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

/** The value of digits in a base from 2 to 36; null where one of them is none. */
export function fromDigits(digits: string, base: number): Rational | null {
  let value = 0n;
  for (const digit of digits.toLowerCase()) {
    const d = Number.parseInt(digit, 36);
    if (Number.isNaN(d) || d >= base) return null;
    value = value * BigInt(base) + BigInt(d);
  }
  return digits === '' ? null : rational(value);
}
