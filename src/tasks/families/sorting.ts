/**
 * @file sorting: numbers in ascending order, `17,4,23:`; each step appends the smallest that is
 * left.
 */
import { defineFamily } from './family.js';

export const sorting = defineFamily<readonly number[]>({
  name: 'sorting',
  description: 'Numbers in ascending order.',
  levels: 4,
  alphabet: '\n,0123456789:',
  draw: (random, level) =>
    Array.from({ length: level + 2 }, () => random.integer(level === 1 ? 1 : 10, 99)),
  question: (numbers) => `${numbers.join()}:`,
  widest: (level) => '99,'.repeat(level + 2),
  solve(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    return {
      steps: sorted.slice(1).map((_, i) => sorted.slice(0, i + 1).join()),
      answer: sorted.join(),
    };
  },
  guess: (numbers, random) => random.shuffle(numbers).join(),
});
