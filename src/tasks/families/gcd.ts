/** @file gcd: the greatest common divisor by Euclid's algorithm, `84,36:` */
import { defineFamily } from './family.js';

const MOST = [99, 999, 9999];

export const gcd = defineFamily<readonly [number, number]>({
  name: 'gcd',
  description: 'The greatest common divisor of two numbers.',
  levels: 3,
  alphabet: '\n%,0123456789:=',
  draw(random, level) {
    const most = MOST[level - 1];
    // Two numbers at random mostly share nothing, so a divisor is drawn first.
    const divisor = random.integer(1, Math.floor(most / 5));
    const [a, b] = [1, 2].map(() => divisor * random.integer(1, Math.floor(most / divisor)));
    return [Math.max(a, b), Math.min(a, b)];
  },
  question: ([a, b]) => `${a},${b}:`,
  widest: (level) => `${MOST[level - 1]},${MOST[level - 1]}:`,
  solve([a, b]) {
    const steps: string[] = [];
    let [x, y] = [a, b];
    while (y !== 0) {
      steps.push(`${x}%${y}=${x % y}`);
      [x, y] = [y, x % y];
    }
    return { steps, answer: String(x) };
  },
  guess: ([, b], random) => String(random.pick([1, 2, 3, 4, 5, 6, b])),
});
