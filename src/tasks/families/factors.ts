/** @file factors: a whole number as a product of primes, `84=`, by trial division. */
import { defineFamily } from './family.js';

const RANGES = [
  [4, 999],
  [1000, 9999],
  [10_000, 99_999],
] as const;
/** Larger prime factors would need long tables of division. */
const LARGEST_PRIME = 97;

function primesOf(n: number): number[] {
  const out: number[] = [];
  let rest = n;
  for (let p = 2; p * p <= rest; p++) for (; rest % p === 0; rest /= p) out.push(p);
  return rest > 1 ? [...out, rest] : out;
}

export const factors = defineFamily<number>({
  name: 'factors',
  description: 'A whole number as a product of primes.',
  levels: 3,
  alphabet: '\n*/0123456789=',
  draw(random, level) {
    const [low, high] = RANGES[level - 1];
    for (;;) {
      const n = random.integer(low, high);
      const primes = primesOf(n);
      if (primes.length > 1 && primes[primes.length - 1] <= LARGEST_PRIME) return n;
    }
  },
  question: (n) => `${n}=`,
  widest: (level) => `${RANGES[level - 1][1]}=`,
  solve(n) {
    const primes = primesOf(n);
    let rest = n;
    const steps = primes.slice(0, -1).map((p) => {
      const next = rest / p;
      const step = `${rest}/${p}=${next}`;
      rest = next;
      return step;
    });
    return { steps, answer: primes.join('*') };
  },
  guess: (n, random) => `${random.pick([2, 3, 5, 7])}*${Math.floor(n / random.pick([2, 3, 5, 7]))}`,
});
