/**
 * @file Where supervised stages take their examples from: the task's demonstrations, what an
 * earlier stage accepted, a file of the user's, or a mixture of them.
 *
 * Example number `index` is a function of (seed, stage, index) alone. Each source counts its own
 * examples: a file is gone through in epochs, each shuffled anew; a task writes a fresh
 * demonstration every time. In a mixture the source of an index is drawn by weight, and number
 * `index × share` of that source is taken, so that it, too, is gone through about evenly.
 *
 * The forms of a user's file are those of `examples.ts`.
 *
 * Sequences lie one after the other in a micro-batch, without padding (docs/decisions/0006); text
 * longer than the model's positions is cut into windows.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { MAX_TEXT_BYTES, readRegular } from '../base/regular.js';
import { problemAt, type Task } from '../tasks/task.js';
import { type Columns, type Example, readExampleFile } from './examples.js';

/** The stage that reads, as far as its sources are concerned. */
export interface SourceContext {
  stage: string;
  task: Task;
  dataFolder: string;
  taskOf(options: Record<string, unknown>): Task;
}

export type { Example } from './examples.js';

const from = z.string();
const data = z.string().min(1);
const columns = z.record(z.string(), z.string());
/** Of `data`, as a run records it. */
const sha256 = z.string().optional();
const weight = z.number().positive().default(1);

export const sourceFields = {
  /**
   * Id of an earlier `rejection-sample` or `distill` stage to learn from; without it the task's
   * demonstrations are used.
   */
  from: from.optional(),
  /** A JSONL file to learn from: text, chats, or prompts with answers. */
  data: data.optional(),
  /** Names of the file's columns: `{"prompt": "question", "answer": "solution"}`. */
  columns: columns.optional(),
  sha256,
  /** Several sources by weight: `[{from, weight}, {data, weight}, {task, weight}]`. */
  mix: z
    .array(
      z.union([
        z.strictObject({ from, weight }),
        z.strictObject({ data, columns: columns.optional(), sha256, weight }),
        z.strictObject({ task: z.record(z.string(), z.unknown()), weight }),
      ]),
    )
    .min(1)
    .optional(),
};

export type SourceSpec = {
  from?: string;
  data?: string;
  columns?: Columns;
  task?: Record<string, unknown>;
  weight: number;
};

/** A stage's sources, however they are written. */
export function sourcesOf(spec: {
  from?: string;
  data?: string;
  columns?: Columns;
  mix?: readonly SourceSpec[];
}): readonly SourceSpec[] {
  if (spec.mix) return spec.mix;
  const { from, data, columns } = spec;
  return [
    {
      ...(from === undefined ? {} : { from }),
      ...(data === undefined ? {} : { data }),
      ...(columns === undefined ? {} : { columns }),
      weight: 1,
    },
  ];
}

/** @throws UserError (usage) that names the file and the line */
export function readExamples(file: string, columns?: Columns): Example[] {
  const { examples, notes } = readExampleFile(file, columns);
  for (const note of notes) process.stderr.write(`note: ${note}\n`);
  return examples;
}

/** All text of examples, for a vocabulary. */
export const textOf = (examples: readonly Example[]): string =>
  examples
    .map(({ prompt, completion, before = [] }) =>
      [...before.flatMap((b) => [b.prompt, b.completion]), prompt, completion].join(''),
    )
    .join('');

function acceptedBy(context: SourceContext, from: string): Example[] {
  const file = join(context.dataFolder, `${from}.jsonl`);
  let text: string;
  try {
    text = readRegular(file, 'data', MAX_TEXT_BYTES, false).toString('utf8');
  } catch {
    throw new UserError(
      'state',
      `stage ${context.stage}: ${file} is missing; stage ${from} must run before it`,
      'from',
    );
  }
  const lines = text.split('\n').filter((line) => line !== '');
  if (lines.length === 0) {
    const message = `stage ${context.stage}: stage ${from} accepted no sample, so there is nothing to learn from`;
    throw new UserError('state', message, 'from');
  }
  return lines.map((line) => JSON.parse(line) as Example);
}

/** Number → example, of one source, at some progress of the stage. */
type Source = (number: number, progress?: number) => Example;

/** Epochs over a list, each in an order of its own. */
function epochs(
  examples: readonly Example[],
  stageSeed: number,
  name: readonly (string | number)[],
): Source {
  let epoch = -1;
  let order: Example[] = [];
  return (number) => {
    const wanted = Math.floor(number / examples.length);
    if (wanted !== epoch) {
      epoch = wanted;
      order = new Random(stageSeed, 'epoch', ...name, epoch).shuffle(examples);
    }
    return order[number % examples.length];
  };
}

/** What an example keeps of the problem that it answers. */
export const promptOf = ({
  prompt,
  prompting,
}: Pick<Example, 'prompt' | 'prompting'>): Pick<Example, 'prompt' | 'prompting'> => ({
  prompt,
  ...(prompting && { prompting }),
});

function demonstrations(task: Task, stageSeed: number): Source {
  return (number, progress) => {
    const problem = problemAt(task, stageSeed, 'train', number, progress);
    return {
      ...promptOf(problem),
      completion: task.demonstrate(problem, new Random(stageSeed, 'demonstration', number)),
    };
  };
}

/**
 * Example number `index` of a stage, at some progress of it (`problemAt`). Files are read at once.
 * @throws UserError (state) when an earlier stage has left nothing
 */
export function openSources(
  context: SourceContext,
  specs: readonly SourceSpec[],
  stageSeed: number,
): (index: number, progress?: number) => Example {
  const total = specs.reduce((sum, { weight }) => sum + weight, 0);
  const sources = specs.map(({ from, data, columns, task }, i): Source => {
    // The only source of a stage has no number in its key.
    const name = specs.length === 1 ? [] : [i];
    if (from !== undefined) return epochs(acceptedBy(context, from), stageSeed, name);
    if (data !== undefined) {
      const { examples } = readExampleFile(data, columns);
      return epochs(examples, stageSeed, name);
    }
    return demonstrations(task ? context.taskOf(task) : context.task, stageSeed);
  });
  if (sources.length === 1) return sources[0];
  return (index, progress) => {
    let left = new Random(stageSeed, 'source', index).uniform() * total;
    let i = 0;
    while (i + 1 < specs.length && left >= specs[i].weight) left -= specs[i++].weight;
    return sources[i](Math.floor((index * specs[i].weight) / total), progress);
  };
}
