/**
 * @file shapes: areas, perimeters, hypotenuses and volumes with whole answers, `rectangle 3,4
 * area:`
 */
import type { Random } from '../../base/random.js';
import { charactersOf, defineFamily, nearby } from './family.js';

interface Shape {
  readonly kind: keyof typeof KINDS;
  readonly sides: readonly number[];
}

/** Legs and hypotenuse of right triangles; multiples are drawn too. */
const TRIPLES = [
  [3, 4, 5],
  [5, 12, 13],
  [8, 15, 17],
  [7, 24, 25],
  [20, 21, 29],
];

const many = (count: number, low: number, high: number) => (random: Random) =>
  Array.from({ length: count }, () => random.integer(low, high));

const KINDS = {
  'rectangle area': {
    draw: many(2, 2, 99),
    steps: ([a, b]: readonly number[]) => [[`${a}*${b}`, a * b]],
  },
  'rectangle perimeter': {
    draw: many(2, 2, 99),
    steps: ([a, b]: readonly number[]) => [
      [`${a}+${b}`, a + b],
      [`2*${a + b}`, 2 * (a + b)],
    ],
  },
  'triangle area': {
    draw: (random: Random) => [2 * random.integer(1, 49), random.integer(2, 99)],
    steps: ([a, b]: readonly number[]) => [
      [`${a}*${b}`, a * b],
      [`${a * b}/2`, (a * b) / 2],
    ],
  },
  'box volume': {
    draw: many(3, 2, 20),
    steps: ([a, b, c]: readonly number[]) => [
      [`${a}*${b}`, a * b],
      [`${a * b}*${c}`, a * b * c],
    ],
  },
  'box surface': {
    draw: many(3, 2, 20),
    steps: ([a, b, c]: readonly number[]) => [
      [`${a}*${b}`, a * b],
      [`${a}*${c}`, a * c],
      [`${b}*${c}`, b * c],
      [`${a * b}+${a * c}+${b * c}`, a * b + a * c + b * c],
      [`2*${a * b + a * c + b * c}`, 2 * (a * b + a * c + b * c)],
    ],
  },
  hypotenuse: {
    draw(random: Random) {
      const [a, b] = random.pick(TRIPLES);
      const scale = random.integer(1, 9);
      return random.shuffle([a * scale, b * scale]);
    },
    steps: ([a, b]: readonly number[]) => [
      [`${a}*${a}`, a * a],
      [`${b}*${b}`, b * b],
      [`${a * a}+${b * b}`, a * a + b * b],
      [`${Math.sqrt(a * a + b * b)}*${Math.sqrt(a * a + b * b)}`, a * a + b * b],
    ],
  },
} satisfies Record<
  string,
  { draw(random: Random): number[]; steps(sides: readonly number[]): (string | number)[][] }
>;

const LEVELS: readonly (readonly Shape['kind'][])[] = [
  ['rectangle area', 'rectangle perimeter'],
  ['triangle area', 'box volume'],
  ['box surface', 'hypotenuse'],
];

export const shapes = defineFamily<Shape>({
  name: 'shapes',
  description: 'Areas, perimeters, volumes and hypotenuses.',
  levels: 3,
  alphabet: charactersOf('\n*+,/0123456789:= ', ...Object.keys(KINDS)),
  draw(random, level) {
    const kind = random.pick(LEVELS[level - 1]);
    return { kind, sides: KINDS[kind].draw(random) };
  },
  question: ({ kind, sides }) => `${kind} ${sides.join()}:`,
  widest: (level) =>
    ['rectangle perimeter 99,99:', 'triangle area 98,99:', 'box surface 20,20,20:'][level - 1],
  solve({ kind, sides }) {
    const steps = KINDS[kind].steps(sides).map(([left, right]) => `${left}=${right}`);
    const answer =
      kind === 'hypotenuse' ? Math.hypot(...sides) : Number(steps[steps.length - 1].split('=')[1]);
    return { steps, answer: String(Math.round(answer)) };
  },
  guess: (_, random, answer) => nearby(answer, random),
});
