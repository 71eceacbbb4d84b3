/**
 * @file order: things in order from comparisons, `b<d,a<b:` gives `abd`. Each step adds the next
 * one.
 */
import { defineFamily } from './family.js';

/** From smallest to largest, and the comparisons of neighbours in the order given. */
interface Order {
  readonly order: string;
  readonly shown: readonly string[];
}

const LETTERS = [...'abcdefgh'];

export const order = defineFamily<Order>({
  name: 'order',
  description: 'The order of things that follows from comparisons of two.',
  levels: 4,
  alphabet: '\n,:<abcdefgh',
  draw(random, level) {
    const letters = random.shuffle(LETTERS).slice(0, level + 3);
    const pairs = letters.slice(1).map((letter, i) => `${letters[i]}<${letter}`);
    return { order: letters.join(''), shown: random.shuffle(pairs) };
  },
  question: ({ shown }) => `${shown.join()}:`,
  widest: (level) => 'a<b,'.repeat(level + 2),
  solve: ({ order }) => ({
    steps: [...order].slice(1).map((_, i) => order.slice(0, i + 2)),
    answer: order,
  }),
  guess: ({ order }, random) => random.shuffle([...order]).join(''),
});
