/**
 * @file Units of measurement: what `km/h` is in metres and seconds.
 *
 * A unit is a factor and the powers of the seven base units (SI brochure, 9th edition; the factors
 * of the others are the exact definitions, save the electronvolt and the dalton, which are
 * measured). Degrees Celsius are left out: they are no multiple of a kelvin.
 */

/** Powers of m, kg, s, A, K, mol, cd. */
type Dimensions = readonly number[];

export interface Unit {
  /** In base units. */
  readonly factor: number;
  readonly dimensions: Dimensions;
}

const NONE: Dimensions = [0, 0, 0, 0, 0, 0, 0];
const unit = (factor: number, ...dimensions: number[]): Unit => ({
  factor,
  dimensions: NONE.map((_, i) => dimensions[i] ?? 0),
});

/** Units that take SI prefixes. */
const PREFIXED: Record<string, Unit> = {
  m: unit(1, 1),
  g: unit(1e-3, 0, 1),
  s: unit(1, 0, 0, 1),
  A: unit(1, 0, 0, 0, 1),
  K: unit(1, 0, 0, 0, 0, 1),
  mol: unit(1, 0, 0, 0, 0, 0, 1),
  cd: unit(1, 0, 0, 0, 0, 0, 0, 1),
  N: unit(1, 1, 1, -2),
  J: unit(1, 2, 1, -2),
  W: unit(1, 2, 1, -3),
  Pa: unit(1, -1, 1, -2),
  Hz: unit(1, 0, 0, -1),
  C: unit(1, 0, 0, 1, 1),
  V: unit(1, 2, 1, -3, -1),
  F: unit(1, -2, -1, 4, 2),
  ohm: unit(1, 2, 1, -3, -2),
  Ω: unit(1, 2, 1, -3, -2),
  S: unit(1, -2, -1, 3, 2),
  T: unit(1, 0, 1, -2, -1),
  Wb: unit(1, 2, 1, -2, -1),
  H: unit(1, 2, 1, -2, -2),
  Bq: unit(1, 0, 0, -1),
  Gy: unit(1, 2, 0, -2),
  l: unit(1e-3, 3),
  L: unit(1e-3, 3),
  eV: unit(1.602176634e-19, 2, 1, -2),
  cal: unit(4.184, 2, 1, -2),
  bar: unit(1e5, -1, 1, -2),
  Wh: unit(3600, 2, 1, -2),
  t: unit(1000, 0, 1),
};

const PLAIN: Record<string, Unit> = {
  min: unit(60, 0, 0, 1),
  h: unit(3600, 0, 0, 1),
  hr: unit(3600, 0, 0, 1),
  d: unit(86400, 0, 0, 1),
  day: unit(86400, 0, 0, 1),
  week: unit(604800, 0, 0, 1),
  year: unit(31557600, 0, 0, 1),
  ha: unit(1e4, 2),
  atm: unit(101325, -1, 1, -2),
  mmHg: unit(133.322387415, -1, 1, -2),
  u: unit(1.6605390666e-27, 0, 1),
  Da: unit(1.6605390666e-27, 0, 1),
  in: unit(0.0254, 1),
  ft: unit(0.3048, 1),
  yd: unit(0.9144, 1),
  mi: unit(1609.344, 1),
  lb: unit(0.45359237, 0, 1),
  oz: unit(0.028349523125, 0, 1),
  mph: unit(0.44704, 1, 0, -1),
  kph: unit(1 / 3.6, 1, 0, -1),
  rad: unit(1),
  deg: unit(Math.PI / 180),
  '%': unit(0.01),
};

/** Written out, singular. */
const WORDS: Record<string, string> = {
  meter: 'm',
  metre: 'm',
  gram: 'g',
  second: 's',
  sec: 's',
  ampere: 'A',
  amp: 'A',
  kelvin: 'K',
  mole: 'mol',
  newton: 'N',
  joule: 'J',
  watt: 'W',
  pascal: 'Pa',
  hertz: 'Hz',
  coulomb: 'C',
  volt: 'V',
  farad: 'F',
  tesla: 'T',
  liter: 'l',
  litre: 'l',
  calorie: 'cal',
  tonne: 't',
  minute: 'min',
  hour: 'h',
  inch: 'in',
  foot: 'ft',
  feet: 'ft',
  yard: 'yd',
  mile: 'mi',
  pound: 'lb',
  ounce: 'oz',
  degree: 'deg',
  radian: 'rad',
};

const PREFIXES: Record<string, number> = {
  f: -15,
  p: -12,
  n: -9,
  u: -6,
  µ: -6,
  μ: -6,
  m: -3,
  c: -2,
  d: -1,
  da: 1,
  h: 2,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
};

const PREFIX_WORDS: Record<string, number> = {
  nano: -9,
  micro: -6,
  milli: -3,
  centi: -2,
  kilo: 3,
  mega: 6,
  giga: 9,
};

function symbol(text: string): Unit | null {
  if (Object.hasOwn(PREFIXED, text)) return PREFIXED[text];
  if (Object.hasOwn(PLAIN, text)) return PLAIN[text];
  for (const length of [1, 2]) {
    const [prefix, name] = [text.slice(0, length), text.slice(length)];
    if (Object.hasOwn(PREFIXES, prefix) && Object.hasOwn(PREFIXED, name)) {
      const { factor, dimensions } = PREFIXED[name];
      return { factor: factor * 10 ** PREFIXES[prefix], dimensions };
    }
  }
  const word = text.toLowerCase();
  for (const singular of [word, word.replace(/s$/, ''), word.replace(/es$/, '')]) {
    if (Object.hasOwn(WORDS, singular)) return symbol(WORDS[singular]);
    if (Object.hasOwn(PLAIN, singular)) return PLAIN[singular];
    for (const [prefix, exponent] of Object.entries(PREFIX_WORDS)) {
      if (!singular.startsWith(prefix)) continue;
      const base = WORDS[singular.slice(prefix.length)];
      if (base !== undefined && Object.hasOwn(PREFIXED, base)) {
        const { factor, dimensions } = PREFIXED[base];
        return { factor: factor * 10 ** exponent, dimensions };
      }
    }
  }
  return null;
}

const MAX_UNIT = 60;

/**
 * The unit that a text names (`kg m/s^2`, `J/(mol K)`, `kilometers per hour`); null where it names
 * none. Never throws.
 */
export function parseUnit(text: string): Unit | null {
  if (text.length > MAX_UNIT) return null;
  const tokens =
    text
      .replace(/\bper\b/g, '/')
      .replace(/²/g, '^2')
      .replace(/³/g, '^3')
      .replace(/[·⋅]/g, '*')
      .replace(/\*\*/g, '^')
      .match(/[\p{L}%]+|\^\s*\(?\{?-?\d+\}?\)?|[*/()]|\s+|./gu) ?? [];
  let at = 0;
  const blank = (): void => {
    while (at < tokens.length && tokens[at].trim() === '') at++;
  };
  const combine = (a: Unit, b: Unit, sign: number): Unit => ({
    factor: a.factor * b.factor ** sign,
    dimensions: a.dimensions.map((d, i) => d + sign * b.dimensions[i]),
  });
  const factor = (depth: number): Unit | null => {
    blank();
    let value: Unit | null;
    if (tokens[at] === '(') {
      if (depth > 4) return null;
      at++;
      value = product(depth + 1);
      blank();
      if (tokens[at++] !== ')') return null;
    } else if (tokens[at] === '1' && tokens[at + 1] === '/') {
      at++;
      value = unit(1);
    } else {
      value = at < tokens.length ? symbol(tokens[at++]) : null;
    }
    if (value === null) return null;
    if (tokens[at]?.[0] === '^') {
      const power = Number(/-?\d+/.exec(tokens[at++])?.[0]);
      if (Math.abs(power) > 12) return null;
      value = { factor: value.factor ** power, dimensions: value.dimensions.map((d) => d * power) };
    }
    return value;
  };
  function product(depth: number): Unit | null {
    let value = factor(depth);
    while (value !== null) {
      blank();
      const next = tokens[at];
      if (next === undefined || next === ')') return value;
      const sign = next === '/' ? -1 : 1;
      if (next === '/' || next === '*') at++;
      const other = factor(depth);
      value = other === null ? null : combine(value, other, sign);
    }
    return null;
  }
  const value = product(0);
  return at === tokens.length ? value : null;
}

/**
 * How much of unit `a` one of unit `b` is; 1 for words that are the same; null where they measure
 * different things.
 */
export function sameUnit(a: string, b: string): number | null {
  const word = (text: string): string =>
    text.toLowerCase().trim().replace(/\.$/, '').replace(/s$/, '');
  if (word(a) === word(b) && parseUnit(a) === null) return 1;
  const [x, y] = [parseUnit(a), parseUnit(b)];
  if (x === null || y === null) return word(a) === word(b) ? 1 : null;
  return x.dimensions.every((d, i) => d === y.dimensions[i]) ? y.factor / x.factor : null;
}

/** A number and its unit, `3.6 km/h`; null where the text is none. */
export function parseQuantity(text: string): { value: number; unit: Unit } | null {
  const match =
    /^\s*([-+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,3})?)\s*(?:([*x×]\s*10\^)\{?([-+]?\d{1,3})\}?)?\s*(.*)$/su.exec(
      text.slice(0, 200),
    );
  if (!match || text.length > 200) return null;
  const [, number, , exponent, rest] = match;
  const parsed = rest.trim() === '' ? unit(1) : parseUnit(rest.trim());
  const value = Number(number) * 10 ** Number(exponent ?? 0);
  return parsed === null || !Number.isFinite(value) ? null : { value, unit: parsed };
}

/** Whether `given` is the quantity `truth` within a relative tolerance; both need their units. */
export function sameQuantity(truth: string, given: string, tolerance: number): boolean {
  const [a, b] = [parseQuantity(truth), parseQuantity(given)];
  if (a === null || b === null) return false;
  if (!a.unit.dimensions.every((d, i) => d === b.unit.dimensions[i])) return false;
  const [x, y] = [a.value * a.unit.factor, b.value * b.unit.factor];
  return Math.abs(x - y) <= tolerance * Math.abs(x);
}
