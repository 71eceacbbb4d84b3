/**
 * @file science and choice: physics and chemistry of the first school years, answered with a number
 * and its unit, or with a letter.
 *
 * A quantity is right in any unit of its kind, within one percent (`quantity.ts`). The wrong
 * choices are what the usual mistakes give: a factor turned over, forgotten or used twice.
 */
import { z } from 'zod';
import type { Random } from '../../base/random.js';
import { gradeCompletion, quote, writeCompletion } from '../completion.js';
import { defineTask, formatReward, integerRange, share } from '../definition.js';
import { sameQuantity } from '../quantity.js';
import type { PureTask } from '../task.js';
import { charactersOf } from './family.js';

interface Question {
  readonly text: string;
  /** `left=right`, one a line. */
  readonly steps: readonly string[];
  readonly value: number;
  readonly unit: string;
}

type Ask = (random: Random) => Question;

/** Molar masses in g/mol, rounded as in school. */
const MOLAR: readonly (readonly [formula: string, steps: string, mass: number])[] = [
  ['water', '2*1+16', 18],
  ['carbon dioxide', '12+2*16', 44],
  ['methane', '12+4*1', 16],
  ['ammonia', '14+3*1', 17],
  ['glucose', '6*12+12*1+6*16', 180],
];

const ask = (text: string, expression: string, value: number, unit: string): Question => ({
  text,
  steps: [`${expression}=${value}`],
  value,
  unit,
});

const LEVELS: readonly (readonly Ask[])[] = [
  [
    (r) => {
      const [v, t] = [r.integer(2, 99), r.integer(2, 99)];
      return ask(`speed ${v} m/s, time ${t} s, distance?`, `${v}*${t}`, v * t, 'm');
    },
    (r) => {
      const [i, ohms] = [r.integer(2, 50), r.integer(2, 99)];
      return ask(`current ${i} a, resistance ${ohms} ohm, voltage?`, `${i}*${ohms}`, i * ohms, 'v');
    },
    (r) => {
      const [m, a] = [r.integer(2, 99), r.integer(2, 20)];
      return ask(`mass ${m} kg, acceleration ${a} m/s^2, force?`, `${m}*${a}`, m * a, 'n');
    },
  ],
  [
    (r) => {
      const [a, t] = [r.integer(2, 12), r.integer(2, 40)];
      return ask(
        `from rest, acceleration ${a} m/s^2, time ${t} s, speed?`,
        `${a}*${t}`,
        a * t,
        'm/s',
      );
    },
    (r) => {
      const [i, v] = [r.integer(2, 60), r.integer(2, 99)];
      return ask(`voltage ${v} v, current ${i} a, power?`, `${v}*${i}`, v * i, 'w');
    },
    (r) => {
      const [name, steps, mass] = r.pick(MOLAR);
      const n = r.integer(2, 60);
      return {
        text: `${n} mol of ${name}, mass?`,
        steps: [`${steps}=${mass}`, `${n}*${mass}=${n * mass}`],
        value: n * mass,
        unit: 'g',
      };
    },
  ],
  [
    (r) => {
      const [halvings, period] = [r.integer(1, 5), r.integer(2, 30)];
      const left = r.integer(1, 40);
      const start = left * 2 ** halvings;
      const steps: string[] = [`${period * halvings}/${period}=${halvings}`];
      for (let now = start; now > left; now /= 2) steps.push(`${now}/2=${now / 2}`);
      return {
        text: `${start} g, half life ${period} h, mass after ${period * halvings} h?`,
        steps,
        value: left,
        unit: 'g',
      };
    },
    (r) => {
      const [m, v] = [2 * r.integer(1, 30), r.integer(2, 20)];
      const squared = v * v;
      return {
        text: `mass ${m} kg, speed ${v} m/s, kinetic energy?`,
        steps: [
          `${v}*${v}=${squared}`,
          `${m}*${squared}=${m * squared}`,
          `${m * squared}/2=${(m * squared) / 2}`,
        ],
        value: (m * squared) / 2,
        unit: 'j',
      };
    },
    (r) => {
      const [a, t] = [2 * r.integer(1, 10), r.integer(2, 30)];
      return {
        text: `from rest, acceleration ${a} m/s^2, time ${t} s, distance?`,
        steps: [
          `${t}*${t}=${t * t}`,
          `${a}*${t * t}=${a * t * t}`,
          `${a * t * t}/2=${(a * t * t) / 2}`,
        ],
        value: (a * t * t) / 2,
        unit: 'm',
      };
    },
  ],
];

const WORDS = `${LEVELS.flat()
  .map(() => '')
  .join(
    '',
  )}speed time distance current resistance voltage mass acceleration force from rest power mol of after half life kinetic energy`;
const ALPHABET = charactersOf(
  '\n*+/0123456789=?, ^',
  'kg m/s g ohm h v w n j a',
  WORDS,
  ...MOLAR.map(([name]) => name),
);
/** Longer questions are drawn again. */
const LONGEST = 51;

/** Units are written in small letters here; the grader knows them by their symbols too. */
const SYMBOLS: Record<string, string> = { v: 'V', n: 'N', w: 'W', j: 'J', a: 'A' };
const inSymbols = (answer: string): string =>
  answer.replace(/ ?([vnwja])$/, (_, letter: string) => ` ${SYMBOLS[letter]}`);

const options = {
  level: integerRange(1, LEVELS.length).default([1, LEVELS.length]),
  stepByStep: share.default(0.5),
  wrong: share.default(0.8),
  formatReward,
};

function draw(random: Random, [low, high]: readonly [number, number]): Question {
  for (;;) {
    const question = random.pick(LEVELS[random.integer(low, high) - 1])(random);
    if (question.text.length <= LONGEST) return question;
  }
}

export const science = defineTask({
  name: 'science',
  description: 'Physics and chemistry of the first school years, with units.',
  options: z.strictObject({
    ...options,
    /** How far off an answer may be, as a share of the value. */
    tolerance: z.number().min(0).max(0.1).default(0.01),
  }),
  create({ level, stepByStep, wrong, formatReward, tolerance }): PureTask<Question> {
    const gold = ({ steps, value, unit }: Question): string =>
      writeCompletion(steps.join('\n'), `${value} ${unit}`);
    return {
      name: 'science',
      alphabet: ALPHABET,
      maxPromptLength: LONGEST,
      generate(random) {
        const data = draw(random, level);
        return { key: `science ${data.text}`, prompt: data.text, data };
      },
      verify({ data }, completion) {
        return gradeCompletion(completion, formatReward, (answer) => {
          const truth = `${data.value} ${data.unit}`;
          const correct =
            answer === truth || sameQuantity(inSymbols(truth), inSymbols(answer), tolerance);
          return {
            correct,
            reason: correct ? `is ${truth}` : `answers ${quote(answer)}, not ${quote(truth)}`,
          };
        });
      },
      demonstrate({ data }, random) {
        if (random.chance(stepByStep)) return gold(data);
        const value = random.chance(wrong) ? mistakes(data)[random.integer(0, 2)] : data.value;
        return writeCompletion('', `${value} ${data.unit}`);
      },
      gold: ({ data }) => gold(data),
    };
  },
});

/** Three different wrong values. */
function mistakes({ value }: Question): number[] {
  const candidates = [
    value * 2,
    Math.ceil(value / 2),
    value + 10,
    value * 10,
    value + 1,
    value + 2,
    value + 3,
  ];
  return [...new Set(candidates)].filter((candidate) => candidate !== value).slice(0, 3);
}

interface Choice extends Question {
  /** The four values in the order shown. */
  readonly values: readonly number[];
}

export const choice = defineTask({
  name: 'choice',
  description: 'Physics and chemistry with four answers to choose from.',
  options: z.strictObject(options),
  create({ level, stepByStep, wrong, formatReward }): PureTask<Choice> {
    const letterOf = ({ values, value }: Choice): string => 'abcd'[values.indexOf(value)];
    const longest = LONGEST + 20;
    const gold = (data: Choice): string => writeCompletion(data.steps.join('\n'), letterOf(data));
    return {
      name: 'choice',
      alphabet: charactersOf(ALPHABET.replace('j', ''), ':bcd'),
      maxPromptLength: longest,
      generate(random) {
        for (;;) {
          const question = draw(random, level);
          const data = {
            ...question,
            values: random.shuffle([question.value, ...mistakes(question)]),
          };
          const prompt = `${data.text}${data.values.map((value, i) => ` ${'abcd'[i]}:${value}`).join('')}?`;
          if (prompt.length <= longest) return { key: `choice ${data.text}`, prompt, data };
        }
      },
      verify({ data }, completion) {
        return gradeCompletion(completion, formatReward, (answer) => {
          const truth = letterOf(data);
          const correct = answer === truth;
          return {
            correct,
            reason: correct ? `is ${truth}` : `answers ${quote(answer)}, not ${truth}`,
          };
        });
      },
      demonstrate({ data }, random) {
        if (random.chance(stepByStep)) return gold(data);
        return writeCompletion(
          '',
          random.chance(wrong) ? random.pick([...'abcd']) : letterOf(data),
        );
      },
      gold: ({ data }) => gold(data),
    };
  },
});
