/**
 * @file A property of verdicts: to rename, reorder or respell an answer never changes one, and to
 * change its value always does. Ten generators draw answers, spellings of each and neighbours of
 * other values.
 */
import { expect, test } from 'vitest';
import { Random } from '../../base/random.js';
import { sameAnswer } from './index.js';

interface Drawn {
  /** One value, spelled in several ways. */
  readonly same: readonly string[];
  /** Other values. */
  readonly other: readonly string[];
}

/** Draws of each generator; every pair of spellings and every neighbour is compared. */
const DRAWS = 10;

const digits = (n: number, separator: string): string =>
  String(n).replace(/\B(?=(\d{3})+$)/g, separator);
const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));
const fraction = (p: number, q: number): string =>
  q === 1 ? `${p}` : `${p < 0 ? '-' : ''}\\frac{${Math.abs(p)}}{${q}}`;
const NAMES = ['x', 'y', 'n', 'k', '\\theta', 'x_1'];

const generators: Record<string, (random: Random) => Drawn> = {
  integers(random) {
    const n = random.integer(1000, 9_999_999) * 10 + random.integer(1, 9);
    return {
      same: [
        `${n}`,
        digits(n, ','),
        digits(n, '{,}'),
        digits(n, '\\,'),
        `+${n}`,
        `${n}.0`,
        `$${n}$`,
      ],
      other: [`${n + 1}`, `-${n}`, `${n}0`, `${n}.5`, digits(n + 10, ',')],
    };
  },
  fractions(random) {
    const q = random.pick([2, 3, 4, 5, 7, 8, 9, 11]);
    const p = random.integer(1, 60) * random.pick([1, -1]);
    const [a, b] = [p / gcd(p, q), q / gcd(p, q)];
    const sign = p < 0 ? '-' : '';
    const size = Math.abs(p);
    return {
      same: [
        `${a}/${b}`,
        fraction(p, q),
        `\\frac{${p}}{${q}}`,
        `${sign}\\dfrac{${3 * size}}{${3 * q}}`,
        `${sign}\\left(\\tfrac{${size}}{${q}}\\right)`,
        `{${p} \\over ${q}}`,
      ],
      other: [`${a + b}/${b}`, `${-a}/${b}`, `${a}/${b + 1}`, `${a}${b}`],
    };
  },
  decimals(random) {
    const n = random.integer(1, 99_999);
    const places = random.integer(1, 4);
    const text = (n / 10 ** places).toFixed(places);
    return {
      same: [
        text,
        `${text}0`,
        `${n}/${10 ** places}`,
        `${n} \\times 10^{-${places}}`,
        `${n}e-${places}`,
        `\\mathbf{${text}}`,
      ],
      other: [`${n}`, `${text}1`, `-${text}`, `${n}e-${places + 1}`],
    };
  },
  units(random) {
    const [unit, part, many] = random.pick([
      ['m', 'cm', 100],
      ['km', 'm', 1000],
      ['kg', 'g', 1000],
      ['L', 'mL', 1000],
      ['hours', 'minutes', 60],
    ] as const);
    const n = random.integer(2, 400);
    return {
      same: [
        `${n} ${unit}`,
        `${n}\\text{ ${unit}}`,
        `${n * many} ${part}`,
        `${n}\\,\\mathrm{${unit}}`,
      ],
      other: [`${n} ${part}`, `${n + 1} ${unit}`, `${n} N`, `${n}^2 ${unit}`],
    };
  },
  money(random) {
    const cents = random.integer(101, 99_999);
    const text = (cents / 100).toFixed(2);
    return {
      same: [`$${text}`, `\\$${text}`, `${text} dollars`, `${cents} cents`, `USD ${text}`],
      other: [`€${text}`, `${text} cents`, `$${((cents + 1) / 100).toFixed(2)}`, `-$${text}`],
    };
  },
  sets(random) {
    const items = random.shuffle(Array.from({ length: 9 }, (_, i) => i - 3)).slice(0, 4);
    const [a, b, c, d] = items;
    const moved = random.shuffle(items);
    return {
      same: [
        `\\{${items.join(', ')}\\}`,
        `\\left\\{${moved.join(',')}\\right\\}`,
        `{${moved.join(', ')}}`,
        `${a}, ${b}, ${c} and ${d}`,
        `x = ${d}, ${c}, ${b}, ${a}`,
      ],
      other: [
        `\\{${[a, b, c].join(', ')}\\}`,
        `\\{${[a, b, c, d + 20].join(', ')}\\}`,
        `\\{${[...items, 33].join(', ')}\\}`,
      ],
    };
  },
  tuples(random) {
    const [a, b, c] = random.shuffle(Array.from({ length: 20 }, (_, i) => i - 10));
    return {
      same: [
        `(${a}, ${b}, ${c})`,
        `\\left(${a},\\,${b},\\,${c}\\right)`,
        `(${2 * a}/2, ${b}.0, ${c})`,
        `\\begin{pmatrix}${a}\\\\${b}\\\\${c}\\end{pmatrix}`,
      ],
      other: [
        `(${b}, ${a}, ${c})`,
        `(${a}, ${b})`,
        `(${a}, ${b}, ${c + 1})`,
        `\\{${a}, ${b}, ${c}\\}`,
      ],
    };
  },
  intervals(random) {
    const low = random.integer(-20, 10);
    const high = low + random.integer(1, 20);
    return {
      same: [
        `[${low}, ${high})`,
        `\\left[${low},${high}\\right)`,
        `${low} \\le x < ${high}`,
        `x \\in [${low}, ${high})`,
        `${high} > x \\geq ${low}`,
        `[${low},${low}] \\cup (${low},${high})`,
      ],
      other: [
        `(${low}, ${high})`,
        `[${low}, ${high}]`,
        `(${low}, ${high}]`,
        `[${low}, ${high + 1})`,
        `${low} < x \\le ${high}`,
      ],
    };
  },
  polynomials(random) {
    const [a, b] = [random.integer(1, 9), random.integer(10, 19)];
    const x = random.pick(['x', 't', '\\alpha']);
    const [sum, product] = [a + b, a * b];
    return {
      same: [
        `${x}^2+${sum}${x}+${product}`,
        `${product} + ${sum} ${x} + ${x}^{2}`,
        `(${x}+${a})(${x}+${b})`,
        `\\left(${x}+${b}\\right)\\cdot\\left(${x}+${a}\\right)`,
        `f(${x}) = (${x}+${a})(${x}+${b})`,
      ],
      other: [
        `${x}^2-${sum}${x}+${product}`,
        `(${x}+${a})(${x}-${b})`,
        `${x}^2+${sum}${x}+${product + 1}`,
        `z^2+${sum}z+${product}`,
      ],
    };
  },
  names(random) {
    const n = random.integer(2, 60);
    const root = random.pick([2, 3, 5, 7]);
    const name = random.pick(NAMES);
    const value = `${n}\\sqrt{${root}}`;
    return {
      same: [
        value,
        `${name} = ${value}`,
        `$${name}=${value}$`,
        `\\sqrt{${n * n * root}}`,
        `${n}${root === 2 ? '√2' : `\\sqrt${root}`}`,
        `\\frac{${n * root}}{\\sqrt{${root}}}`,
      ],
      other: [
        `${n}\\sqrt{${root + 1}}`,
        `\\sqrt{${n * root}}`,
        `-${value}`,
        `${n + 1}\\sqrt{${root}}`,
      ],
    };
  },
};

test.each(Object.entries(generators))(
  '%s: spelling never counts and value always does',
  (name, draw) => {
    const random = new Random(1, 'respelled', name);
    const wrong: string[] = [];
    for (let i = 0; i < DRAWS; i++) {
      const { same, other } = draw(random);
      for (const truth of same) {
        for (const given of same)
          if (!sameAnswer(truth, given)) wrong.push(`${truth} must be ${given}`);
        for (const given of other) {
          if (sameAnswer(truth, given)) wrong.push(`${truth} must not be ${given}`);
          if (sameAnswer(given, truth)) wrong.push(`${given} must not be ${truth}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  },
);
