/**
 * @file functions: a JavaScript function of two numbers from examples, `3,4:11;1,2:5;…` gives
 * `(a,b)=>a+b*2`.
 *
 * Code generation small enough for a tiny model. An answer is any JavaScript expression that is a
 * function; it is run in the sandbox on the examples shown and on as many others, which only the
 * grader knows, so that a table of the examples does not pass.
 */
import { z } from 'zod';
import type { Random } from '../../base/random.js';
import { parseCompletion, quote, writeCompletion } from '../completion.js';
import { defineTask, formatReward, integerRange, share } from '../definition.js';
import { canonical, sandbox } from '../sandbox/index.js';
import type { Task, Verdict } from '../task.js';

type Term = { readonly text: string; value(a: number, b: number): number };

interface Synthesis {
  /** The body of the function that was drawn. */
  readonly expression: string;
  /** Arguments and result; the first `SHOWN` are in the prompt. */
  readonly examples: readonly {
    readonly args: readonly [number, number];
    readonly result: number;
  }[];
}

const SHOWN = 4;
const HIDDEN = 4;
/** Longer prompts are drawn again. */
const LONGEST = 30;
/** Where two functions that agree are taken for one. */
const GRID = [0, 1, 2, 3, 5, 8].flatMap((a) => [1, 4, 6, 7].map((b) => [a, b] as const));

function operand(random: Random): Term {
  const kind = random.integer(0, 4);
  if (kind < 2) return { text: 'a', value: (a) => a };
  if (kind < 4) return { text: 'b', value: (_, b) => b };
  const n = random.integer(1, 9);
  return { text: String(n), value: () => n };
}

/** A chain of products and sums, as JavaScript reads it. */
function chain(random: Random, operations: number): Term {
  const operands = Array.from({ length: operations + 1 }, () => operand(random));
  const operators = Array.from({ length: operations }, () => random.pick(['+', '-', '*']));
  return {
    text: operands.map(({ text }, i) => (i === 0 ? text : operators[i - 1] + text)).join(''),
    value(a, b) {
      let sum = 0;
      let sign = 1;
      let product = operands[0].value(a, b);
      operators.forEach((operator, i) => {
        const next = operands[i + 1].value(a, b);
        if (operator === '*') product *= next;
        else {
          sum += sign * product;
          sign = operator === '+' ? 1 : -1;
          product = next;
        }
      });
      return sum + sign * product;
    },
  };
}

function draw(random: Random, level: number): Term {
  if (level < 3) return chain(random, level);
  const [yes, no] = [chain(random, 1), chain(random, 1)];
  return random.chance(0.5)
    ? {
        text: `a<b?${yes.text}:${no.text}`,
        value: (a, b) => (a < b ? yes.value(a, b) : no.value(a, b)),
      }
    : {
        text: `a>b?${yes.text}:${no.text}`,
        value: (a, b) => (a > b ? yes.value(a, b) : no.value(a, b)),
      };
}

export const functions = defineTask({
  name: 'functions',
  description: 'A JavaScript function of two numbers from examples; answers run in the sandbox.',
  options: z.strictObject({
    /** Lowest and highest level: one operation, two, or a choice between two operations. */
    level: integerRange(1, 3).default([1, 3]),
    /** Share of demonstrations that check the examples; the others answer at once. */
    stepByStep: share.default(0.5),
    /** Share of hasty demonstrations whose answer is another function. */
    wrong: share.default(0.8),
    formatReward,
  }),
  create({ level: [low, high], stepByStep, wrong, formatReward }): Task<Synthesis> {
    const write = ({ args, result }: Synthesis['examples'][number]): string =>
      `${args.join()}:${result};`;
    const gold = ({ expression, examples }: Synthesis): string =>
      writeCompletion(
        examples
          .slice(0, SHOWN)
          .map(
            ({ args: [a, b], result }) =>
              `${expression.replaceAll('a', String(a)).replaceAll('b', String(b))}=${result}`,
          )
          .join('\n'),
        `(a,b)=>${expression}`,
      );
    return {
      name: 'functions',
      alphabet: '\n()*+,-0123456789:;<=>?ab',
      maxPromptLength: LONGEST,
      pooled: true,
      generate(random) {
        for (;;) {
          const { text, value } = draw(random, random.integer(low, high));
          const behaviour = GRID.map(([a, b]) => value(a, b));
          if (new Set(behaviour).size < 3) continue;
          const seen = new Set<string>();
          const examples: { args: [number, number]; result: number }[] = [];
          while (examples.length < SHOWN + HIDDEN) {
            const args: [number, number] = [random.integer(0, 9), random.integer(0, 9)];
            if (seen.has(args.join())) continue;
            seen.add(args.join());
            examples.push({ args, result: value(...args) });
          }
          const prompt = examples.slice(0, SHOWN).map(write).join('');
          if (
            prompt.length > LONGEST ||
            new Set(examples.slice(0, SHOWN).map(({ result }) => result)).size < 2
          )
            continue;
          return {
            key: `functions ${behaviour.join()}`,
            prompt,
            data: { expression: text, examples },
          };
        }
      },
      async verify({ data: { examples } }, completion): Promise<Verdict> {
        const parsed = parseCompletion(completion);
        if (!parsed.wellFormed)
          return { reward: 0, correct: false, wellFormed: false, reason: parsed.reason };
        const calls = examples.map(({ args }) => JSON.stringify(args));
        const result = await sandbox({ code: parsed.answer, entry: null, calls });
        const failed = (reason: string): Verdict => ({
          reward: formatReward,
          correct: false,
          wellFormed: true,
          reason,
        });
        if (result.error !== undefined) return failed(result.error);
        for (const [i, { args, result: wanted }] of examples.entries()) {
          const got = result.calls?.[i] ?? { error: 'was not called' };
          const what = i < SHOWN ? `f(${args.join()})` : 'a hidden example';
          if ('error' in got) return failed(`${what} ${got.error}`);
          if (got.value !== canonical(wanted))
            return failed(
              i < SHOWN ? `${what} gives ${quote(got.value)}, not ${wanted}` : `${what} fails`,
            );
        }
        return { reward: 1, correct: true, wellFormed: true, reason: 'meets all examples' };
      },
      demonstrate({ data }, random) {
        if (random.chance(stepByStep)) return gold(data);
        const expression = random.chance(wrong)
          ? draw(random, random.integer(low, high)).text
          : data.expression;
        return writeCompletion('', `(a,b)=>${expression}`);
      },
      gold: ({ data }) => gold(data),
    };
  },
});
