/** @file units: the same amount in another unit, `35 km to m:` */
import { charactersOf, defineFamily } from './family.js';

interface Conversion {
  readonly amount: number;
  readonly from: string;
  readonly to: string;
  readonly factor: number;
}

/** How many of the smaller unit make the larger. */
const STEPS: readonly (readonly [large: string, small: string, factor: number])[] = [
  ['km', 'm', 1000],
  ['m', 'cm', 100],
  ['cm', 'mm', 10],
  ['kg', 'g', 1000],
  ['t', 'kg', 1000],
  ['l', 'ml', 1000],
  ['h', 'min', 60],
  ['min', 's', 60],
  ['day', 'h', 24],
  ['week', 'day', 7],
];

export const units = defineFamily<Conversion>({
  name: 'units',
  description: 'An amount in another unit.',
  levels: 3,
  alphabet: charactersOf('*/0123456789:= to', ...STEPS.map(([large, small]) => large + small)),
  draw(random, level) {
    const [large, small, factor] = random.pick(STEPS);
    const most = level === 1 ? 99 : 999;
    const amount = random.integer(2, most);
    if (level === 3) return { amount: amount * factor, from: small, to: large, factor };
    return { amount, from: large, to: small, factor };
  },
  question: ({ amount, from, to }) => `${amount} ${from} to ${to}:`,
  widest: (level) => ['99 week to day:', '999 week to day:', '6993 day to week:'][level - 1],
  solve({ amount, from, factor }) {
    const down = STEPS.some(([large, , f]) => large === from && f === factor);
    const answer = down ? amount * factor : amount / factor;
    return { steps: [`${amount}${down ? '*' : '/'}${factor}=${answer}`], answer: String(answer) };
  },
  guess: ({ amount }, random) => String(amount * random.pick([10, 100, 1000])),
});
