/** @file linear: an equation in x, `3x+5=20:`; one operation on both sides a step. */
import { defineFamily, nearby, signed } from './family.js';

/** ax + b = cx + d, with a ≠ c and a whole solution. */
interface Linear {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

/** `3x+5`; a coefficient of 1 is not written. */
const side = (a: number, b: number): string => {
  if (a === 0) return String(b);
  return `${a === 1 ? '' : a === -1 ? '-' : a}x${b === 0 ? '' : signed(b)}`;
};

export const linear = defineFamily<Linear>({
  name: 'linear',
  description: 'An equation in x with a whole solution.',
  levels: 3,
  alphabet: '\n+-/0123456789:=x',
  draw(random, level) {
    const x = random.integer(level === 1 ? 1 : -12, 12);
    const b = random.pick([-1, 1]) * random.integer(1, level === 1 ? 99 : 20);
    const a = level === 1 ? 1 : random.integer(2, 9);
    const c = level === 3 ? random.pick([1, 2, 3, 4, 5, 6, 7, 8, 9].filter((n) => n !== a)) : 0;
    return { a, b, c, d: a * x + b - c * x };
  },
  question: ({ a, b, c, d }) => `${side(a, b)}=${side(c, d)}:`,
  widest: (level) => ['x-99=-98:', '9x-20=-128:', '9x-20=2x-104:'][level - 1],
  solve({ a, b, c, d }) {
    const steps: string[] = [];
    if (c !== 0) steps.push(`${side(a - c, b)}=${d}`);
    const right = d - b;
    steps.push(`${side(a - c, 0)}=${d}${signed(-b)}=${right}`);
    const x = right / (a - c);
    if (a - c !== 1) steps.push(`x=${right}/${a - c}=${x}`);
    return { steps, answer: String(x) };
  },
  guess: (_, random, answer) => nearby(answer, random),
});
