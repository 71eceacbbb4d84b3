/**
 * @file scored: any task with another reward, a JavaScript function that stands in the recipe and
 * runs in the sandbox.
 *
 *   {"name": "scored", "task": {"name": "sums"}, "reward": "({correct, completion}) => correct ? 1 - completion.length / 1000 : 0"}
 *
 * So a recipe says all that it rests on, and a reward can be typed into a page. The function gets
 * what a user's own reward gets (`rewards.ts`), and what the task itself would say. It is run with
 * the limits of a model's code: no files, no network, no clock. Completions that are graded
 * together share an interpreter, a few at a time, since to make one takes longer than to ask it.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { parseCompletion } from './completion.js';
import { defineTask, type TaskDefinition } from './definition.js';
import { type SandboxResult, sandbox } from './sandbox/index.js';
import type { Task, Verdict } from './task.js';

/** Completions that one interpreter grades; its limit of work is for all of them. */
const TOGETHER = 16;

type Call = NonNullable<SandboxResult['calls']>[number];

/** Asks the function about one sample at a time; samples of one moment travel together. */
function createScorer(code: string): (sample: unknown) => Promise<Call> {
  let waiting: { sample: unknown; resolve(call: Call): void }[] = [];
  async function ask(batch: typeof waiting): Promise<void> {
    const calls = batch.map(({ sample }) => JSON.stringify([sample]));
    const { calls: results, error = 'gives nothing' } = await sandbox({ code, entry: null, calls });
    for (const [i, { resolve }] of batch.entries()) resolve(results?.[i] ?? { error });
  }
  return (sample) =>
    new Promise((resolve) => {
      waiting.push({ sample, resolve });
      if (waiting.length > 1) return;
      // When everybody of this moment has asked.
      queueMicrotask(() =>
        queueMicrotask(() => {
          const all = waiting;
          waiting = [];
          for (let i = 0; i < all.length; i += TOGETHER) void ask(all.slice(i, i + TOGETHER));
        }),
      );
    });
}

/** The reward is the function's; whether the answer is right, the task alone says. */
function verdictOf(call: Call, { correct, wellFormed }: Verdict): Verdict {
  const nothing = { reward: 0, correct, wellFormed, failed: true } as const;
  if ('error' in call) return { ...nothing, reason: `the reward ${call.error}` };
  const reward = call.value === 'true' ? 1 : call.value === 'false' ? 0 : Number(call.value);
  if (!Number.isFinite(reward))
    return { ...nothing, reason: `the reward gives ${call.value.slice(0, 30)}, not a number` };
  return {
    reward,
    correct,
    wellFormed,
    reason: `scores ${Number(reward.toFixed(3))}`,
  };
}

/**
 * Refuses a reward that cannot be read before anything is trained with it. It is compiled as the
 * body of a function that is never called. @throws UserError (usage)
 */
function demandSyntax(code: string): void {
  try {
    new Function(`"use strict"; (${code}\n)`);
  } catch (error) {
    // A page may forbid to compile; the sandbox then says what is wrong.
    if (!(error instanceof SyntaxError)) return;
    throw new UserError('usage', `task scored: reward: SyntaxError: ${error.message}`, 'reward');
  }
}

export const scored = (createTask: (reference: Record<string, unknown>) => Task): TaskDefinition =>
  defineTask({
    name: 'scored',
    description: 'Another task with a reward of your own, JavaScript in the recipe.',
    options: z.strictObject({
      /** The task that draws problems and writes demonstrations, with its options. */
      task: z.looseObject({ name: z.string() }),
      /**
       * A function of `{prompt, completion, thinking, answer, correct, reward}` that gives a
       * number, or true and false for 1 and 0.
       */
      reward: z.string().min(1).max(10_000),
    }),
    create({ task: reference, reward: code }): Task {
      const task = createTask(reference);
      if (task.pooled)
        throw new UserError(
          'usage',
          `task scored: task: ${task.name} is graded by other code already`,
          'task',
        );
      demandSyntax(code);
      const score = createScorer(code);
      return {
        ...task,
        pooled: true,
        async verify(problem, completion) {
          const own = await task.verify(problem, completion);
          const parsed = parseCompletion(completion);
          const { thinking, answer } = parsed.wellFormed
            ? parsed
            : { thinking: null, answer: null };
          const { correct, reward } = own;
          const sample = { prompt: problem.prompt, completion, thinking, answer, correct, reward };
          return verdictOf(await score(sample), own);
        },
        // What the function would say about it is not known before it is asked.
        gold: () => null,
      };
    },
  });
