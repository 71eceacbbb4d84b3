/** @file words: short stories with numbers in them, in the manner of grade-school word problems. */
import type { Random } from '../../base/random.js';
import { charactersOf, defineFamily, nearby } from './family.js';

interface Story {
  readonly template: number;
  readonly name: string;
  readonly thing: string;
  readonly numbers: readonly number[];
}

interface Template {
  readonly level: number;
  /** {n} is the name, {t} the things, {0} … the numbers. */
  readonly text: string;
  /** Numbers as long as they get. */
  readonly widest: readonly number[];
  draw(random: Random): number[];
  /** `expression` and its value, one a step; the last is the answer. */
  steps(numbers: readonly number[]): (readonly [string, number])[];
}

const NAMES = ['ann', 'bob', 'eve', 'tom', 'sam', 'kim'];
const THINGS = ['apples', 'books', 'cards', 'coins', 'stamps'];

const TEMPLATES: readonly Template[] = [
  {
    level: 1,
    text: '{n} has {0} {t} and gets {1} more. how many {t}?',
    widest: [99, 99],
    draw: (random) => [random.integer(2, 99), random.integer(2, 99)],
    steps: ([a, b]) => [[`${a}+${b}`, a + b]],
  },
  {
    level: 1,
    text: '{n} has {0} {t} and gives {1} away. how many {t} are left?',
    widest: [99, 99],
    draw(random) {
      const a = random.integer(10, 99);
      return [a, random.integer(1, a)];
    },
    steps: ([a, b]) => [[`${a}-${b}`, a - b]],
  },
  {
    level: 2,
    text: '{n} buys {0} boxes of {1} {t} and loses {2}. how many {t}?',
    widest: [9, 12, 99],
    draw(random) {
      const [a, b] = [random.integer(2, 9), random.integer(2, 12)];
      return [a, b, random.integer(1, Math.min(99, a * b))];
    },
    steps: ([a, b, c]) => [
      [`${a}*${b}`, a * b],
      [`${a * b}-${c}`, a * b - c],
    ],
  },
  {
    level: 2,
    text: '{n} shares {0} {t} among {1} friends. how many {t} for each?',
    widest: [108, 9],
    draw(random) {
      const each = random.integer(2, 12);
      const friends = random.integer(2, 9);
      return [each * friends, friends];
    },
    steps: ([a, b]) => [[`${a}/${b}`, a / b]],
  },
  {
    level: 3,
    text: '{n} buys {0} {t} at {1} each and {2} at {3} each. what is the price?',
    widest: [9, 9, 9, 9],
    draw: (random) => [
      random.integer(2, 9),
      random.integer(2, 9),
      random.integer(2, 9),
      random.integer(2, 9),
    ],
    steps: ([a, b, c, d]) => [
      [`${a}*${b}`, a * b],
      [`${c}*${d}`, c * d],
      [`${a * b}+${c * d}`, a * b + c * d],
    ],
  },
  {
    level: 3,
    text: '{n} reads {0} pages a day for {1} days of a book of {2} pages. how many pages are left?',
    widest: [30, 9, 300],
    draw(random) {
      const [a, b] = [random.integer(5, 30), random.integer(2, 9)];
      return [a, b, a * b + random.integer(1, 99)];
    },
    steps: ([a, b, c]) => [
      [`${a}*${b}`, a * b],
      [`${c}-${a * b}`, c - a * b],
    ],
  },
];

const fill = ({ template, name, thing, numbers }: Story): string =>
  TEMPLATES[template].text
    .replaceAll('{n}', name)
    .replaceAll('{t}', thing)
    .replace(/\{(\d)\}/g, (_, i: string) => String(numbers[Number(i)]));

const templatesOf = (level: number): number[] =>
  TEMPLATES.flatMap((template, i) => (template.level === level ? [i] : []));

export const words = defineFamily<Story>({
  name: 'words',
  description: 'Short stories with numbers in them.',
  levels: 3,
  alphabet: charactersOf(
    '\n*+-/0123456789=',
    TEMPLATES.map(({ text }) => text.replace(/\{.\}/g, '')).join(''),
    ...NAMES,
    ...THINGS,
  ),
  draw(random, level) {
    const template = random.pick(templatesOf(level));
    return {
      template,
      name: random.pick(NAMES),
      thing: random.pick(THINGS),
      numbers: TEMPLATES[template].draw(random),
    };
  },
  question: fill,
  widest(level) {
    const texts = templatesOf(level).map((template) =>
      fill({ template, name: 'ann', thing: 'apples', numbers: TEMPLATES[template].widest }),
    );
    return texts.sort((a, b) => b.length - a.length)[0];
  },
  solve({ template, numbers }) {
    const steps = TEMPLATES[template].steps(numbers);
    return {
      steps: steps.map(([left, right]) => `${left}=${right}`),
      answer: String(steps[steps.length - 1][1]),
    };
  },
  guess: (_, random, answer) => nearby(answer, random),
});
