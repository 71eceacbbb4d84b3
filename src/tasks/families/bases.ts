/**
 * @file bases: a number in another base, `45,2:`, by repeated division; digits come out from the
 * last to the first.
 */
import { defineFamily } from './family.js';

interface Conversion {
  readonly n: number;
  readonly base: number;
}

const MOST = [99, 999, 9999];

export const bases = defineFamily<Conversion>({
  name: 'bases',
  description: 'A number written in another base.',
  levels: 3,
  alphabet: '\n,/0123456789:;=',
  draw: (random, level) => ({ n: random.integer(10, MOST[level - 1]), base: random.integer(2, 9) }),
  question: ({ n, base }) => `${n},${base}:`,
  widest: (level) => `${MOST[level - 1]},9:`,
  solve({ n, base }) {
    const steps: string[] = [];
    for (let rest = n; rest > 0; rest = Math.floor(rest / base)) {
      steps.push(`${rest}/${base}=${Math.floor(rest / base)};${rest % base}`);
    }
    return { steps, answer: n.toString(base) };
  },
  guess: ({ n, base }, random) => Math.max(1, n + random.pick([-2, -1, 1, 2, base])).toString(base),
});
