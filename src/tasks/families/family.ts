/**
 * @file What the generated families share: levels of difficulty, and demonstrations in two manners.
 *
 * A family says how to draw a problem of a level, how to ask it, and how to solve it in steps. The
 * rest is the same for all: careful demonstrations write one step a line, hasty ones answer at once
 * and are mostly wrong, so that reinforcement learning has something to find out (see sums.ts). All
 * families write with the characters of `ALPHABET` alone.
 */
import { z } from 'zod';
import type { Random } from '../../base/random.js';
import { gradeCompletion, quote, writeCompletion } from '../completion.js';
import {
  defineTask,
  formatReward,
  integerRange,
  share,
  type TaskDefinition,
} from '../definition.js';
import type { PureTask } from '../task.js';

/**
 * Every character that a built-in task may use: one vocabulary of 7 + 62 tokens for all of them.
 */
export const ALPHABET = '\n !%&()*+,-./0123456789:;<=>?^abcdefghijklmnopqrstuvwxyz|{}[]';

export interface Family<Data> {
  readonly name: string;
  readonly description: string;
  /** Difficulty is 1 … levels. */
  readonly levels: number;
  readonly alphabet: string;
  draw(random: Random, level: number): Data;
  /** The prompt; also what identifies the problem. */
  question(data: Data): string;
  /** One of the longest prompts of a level. */
  widest(level: number): string;
  solve(data: Data): { steps: readonly string[]; answer: string };
  /** A wrong answer as a hasty person gives it; may be right by chance. */
  guess(data: Data, random: Random, answer: string): string;
}

/** The task of a family, with its options. */
export function defineFamily<Data>(family: Family<Data>): TaskDefinition {
  const { name, levels } = family;
  const options = z.strictObject({
    /** Lowest and highest level that is drawn. */
    level: integerRange(1, levels).default([1, levels]),
    /** Share of demonstrations that work step by step; the others answer at once. */
    stepByStep: share.default(0.5),
    /** Share of hasty demonstrations whose answer is wrong. */
    wrong: share.default(0.8),
    formatReward,
  });
  return defineTask({
    name,
    description: family.description,
    options,
    create({ level: [low, high], stepByStep, wrong, formatReward }): PureTask<Data> {
      const gold = (data: Data): string => {
        const { steps, answer } = family.solve(data);
        return writeCompletion(steps.join('\n'), answer);
      };
      const lengths = Array.from(
        { length: high - low + 1 },
        (_, i) => family.widest(low + i).length,
      );
      return {
        name,
        alphabet: family.alphabet,
        maxPromptLength: Math.max(...lengths),
        generate(random) {
          const data = family.draw(random, random.integer(low, high));
          const prompt = family.question(data);
          return { key: `${name} ${prompt}`, prompt, data };
        },
        verify({ data }, completion) {
          return gradeCompletion(completion, formatReward, (answer) => {
            const truth = family.solve(data).answer;
            if (answer === truth) return { correct: true, reason: `is ${quote(truth, 60)}` };
            return { correct: false, reason: `answers ${quote(answer)}, not ${quote(truth)}` };
          });
        },
        demonstrate({ data }, random) {
          if (random.chance(stepByStep)) return gold(data);
          const { answer } = family.solve(data);
          return writeCompletion(
            '',
            random.chance(wrong) ? family.guess(data, random, answer) : answer,
          );
        },
        gold: ({ data }) => gold(data),
      };
    },
  });
}

/** The different characters of some texts, in order: a family's alphabet. */
export const charactersOf = (...texts: string[]): string =>
  [...new Set(texts.join(''))].sort().join('');

/** A whole number off by a little. */
export function nearby(answer: string, random: Random): string {
  const off = random.pick([1, 1, 1, 2, 2, 10]);
  return String(Number(answer) + (random.chance(0.5) ? off : -off));
}

/** `+5`, `-5`: a term with its sign. */
export const signed = (n: number): string => (n < 0 ? String(n) : `+${n}`);
