/** @file polynomial: the value of a polynomial by Horner's rule, `2x^2-3x+4,x=3:` */
import { defineFamily, nearby, signed } from './family.js';

interface Polynomial {
  /** From the highest power down; none is zero. */
  readonly coefficients: readonly number[];
  readonly x: number;
}

export const polynomial = defineFamily<Polynomial>({
  name: 'polynomial',
  description: 'The value of a polynomial.',
  levels: 3,
  alphabet: '\n*+,-0123456789:=^x',
  draw(random, level) {
    const most = level === 1 ? 60 : 9;
    const others = Array.from(
      { length: level },
      () => random.pick([-1, 1]) * random.integer(1, most),
    );
    return { coefficients: [random.integer(2, 9), ...others], x: random.integer(2, 9) };
  },
  question({ coefficients, x }) {
    const degree = coefficients.length - 1;
    const terms = coefficients.map((c, i) => {
      const power = degree - i;
      return `${i === 0 ? c : signed(c)}${power === 0 ? '' : power === 1 ? 'x' : `x^${power}`}`;
    });
    return `${terms.join('')},x=${x}:`;
  },
  widest: (level) => ['9x-60,x=9:', '9x^2-9x-9,x=9:', '9x^3-9x^2-9x-9,x=9:'][level - 1],
  solve({ coefficients, x }) {
    const steps: string[] = [];
    let value = coefficients[0];
    for (const c of coefficients.slice(1)) {
      const product = value * x;
      steps.push(`${value}*${x}=${product}`, `${product}${signed(c)}=${product + c}`);
      value = product + c;
    }
    return { steps, answer: String(value) };
  },
  guess: (_, random, answer) => nearby(answer, random),
});
