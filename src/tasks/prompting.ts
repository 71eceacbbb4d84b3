/**
 * @file The `prompting` of a task's reference: checked, with its examples drawn, and put on every
 * problem.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { type Example, type Prompting, TEMPLATES } from '../tokenizers/prompting.js';
import { trainingProblem } from './dataset.js';
import type { Problem, Task } from './task.js';

const MOST_EXAMPLES = 64;
const MOST_CHARACTERS = 100_000;
/** Characters that stand for what a template puts around one more turn. */
const AROUND = 64;
/** Chooses the examples that a number asks for, whatever the seed of a run. */
const EXAMPLES_SEED = 0;

const words = z.string().max(MOST_CHARACTERS);

export const promptingSchema = z.strictObject({
  /** The system message. */
  system: words.optional(),
  /** Text after each problem, or around it where it holds `{problem}`. */
  instruction: words.optional(),
  /** Solved problems shown before: how many of the training problems, or the texts themselves. */
  examples: z
    .union([
      z.number().int().min(0).max(MOST_EXAMPLES),
      z.array(z.strictObject({ prompt: words, completion: words })).max(MOST_EXAMPLES),
    ])
    .optional(),
  /** `model`: the model's chat template; `none`: plain text; `r1-zero`: the template of R1-Zero. */
  template: z.enum(TEMPLATES).optional(),
});

export type PromptingReference = z.infer<typeof promptingSchema>;

/** @throws UserError (usage) naming the field */
export function readPrompting(value: unknown): PromptingReference | undefined {
  if (value === undefined) return undefined;
  const parsed = promptingSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0];
  const field = ['prompting', ...path.map(String)].join('.');
  throw new UserError('usage', `task: ${field}: ${message}`, field);
}

/** Training problems with their solutions, each problem once. */
function drawExamples(task: Task, count: number): Example[] {
  const drawn = new Map<string, Example>();
  for (let i = 0; drawn.size < count; i++) {
    if (i > 100 * count + 1000) {
      const message = `task: prompting.examples: ${count} asked for, but only ${drawn.size} training problems of ${task.name} have a solution to show`;
      throw new UserError('usage', message, 'prompting.examples');
    }
    const problem = trainingProblem(task, EXAMPLES_SEED, i);
    const completion = task.gold(problem);
    if (completion !== null) drawn.set(problem.key, { prompt: problem.prompt, completion });
  }
  return [...drawn.values()];
}

/** A task whose problems are asked in these words. @throws UserError (usage) */
export function withPrompting(
  task: Task,
  reference: PromptingReference | undefined,
  thinking: boolean | undefined,
): Task {
  if (reference === undefined && thinking === undefined) return task;
  const { examples: asked, ...rest } = reference ?? {};
  const examples = typeof asked === 'number' ? drawExamples(task, asked) : asked;
  const prompting: Prompting = {
    ...rest,
    ...(examples === undefined ? {} : { examples }),
    ...(thinking === undefined ? {} : { thinking }),
  };
  const { system = '', instruction = '' } = prompting;
  const turns = (examples ?? []).map(({ prompt, completion }) => prompt + completion);
  const around = [system, ...turns, instruction.repeat(turns.length + 1)].join('\n\n');
  const put = <P extends Problem>(problem: P): P => ({ ...problem, prompting });
  return {
    ...task,
    alphabet: [...new Set(task.alphabet + around)].sort().join(''),
    maxPromptLength: task.maxPromptLength + around.length + AROUND * (turns.length + 1),
    generate: (random, progress) => put(task.generate(random, progress)),
    ...(task.listed && { listed: (split) => (task.listed?.(split) ?? []).map(put) }),
  };
}
