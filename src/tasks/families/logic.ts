/** @file logic: the value of a formula of t and f, `!(t&f)|f=`, innermost operation first. */
import type { Random } from '../../base/random.js';
import { defineFamily } from './family.js';

/** Replaces the leftmost innermost operation by its value; null where none is left. */
function reduce(formula: string): string | null {
  const value = (yes: boolean): string => (yes ? 't' : 'f');
  // Every operation of two is in parentheses, so these are all that can come first.
  const negation = /!([tf])/.exec(formula);
  const pair = /\(([tf])([&|])([tf])\)/.exec(formula);
  const first = negation && (!pair || negation.index < pair.index) ? negation : pair;
  if (first === null) return null;
  const result =
    first === negation
      ? value(first[1] === 'f')
      : value(
          first[2] === '&'
            ? first[1] === 't' && first[3] === 't'
            : first[1] === 't' || first[3] === 't',
        );
  return formula.slice(0, first.index) + result + formula.slice(first.index + first[0].length);
}

/** A formula with `pairs` operations of two. */
function draw(random: Random, pairs: number): string {
  const not = random.chance(0.3) ? '!' : '';
  if (pairs === 0) return not + random.pick(['t', 'f']);
  const left = random.integer(0, pairs - 1);
  return `${not}(${draw(random, left)}${random.pick(['&', '|'])}${draw(random, pairs - 1 - left)})`;
}

/** Longest formula; longer ones are drawn again. */
const longest = (level: number): number => 5 * (level + 1) + 3;

export const logic = defineFamily<string>({
  name: 'logic',
  description: 'The value of a formula of true and false.',
  levels: 5,
  alphabet: '\n!&()=ft|',
  draw(random, level) {
    for (;;) {
      const formula = draw(random, level + 1);
      if (formula.length <= longest(level)) return formula;
    }
  },
  question: (formula) => `${formula}=`,
  widest: (level) => `${' '.repeat(longest(level))}=`,
  solve(formula) {
    const steps: string[] = [];
    let now = formula;
    for (let next = reduce(now); next !== null; next = reduce(now)) {
      steps.push(next);
      now = next;
    }
    return { steps, answer: now };
  },
  guess: (_, random) => random.pick(['t', 'f']),
});
