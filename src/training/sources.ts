/**
 * @file Where supervised stages take their examples from: the task's demonstrations, what an
 * earlier stage accepted, a file of the user's, or a mixture of them.
 *
 * Example number `index` is a function of (seed, stage, index) alone. Each source counts its own
 * examples: a file is gone through in epochs, each shuffled anew; a task writes a fresh
 * demonstration every time. In a mixture the source of an index is drawn by weight, and number
 * `index × share` of that source is taken, so that it, too, is gone through about evenly.
 *
 * A user's file has one JSON object a line, in one of three forms:
 *
 *   {"text": "…"}                                                        plain text
 *   {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", …}]}   a chat; every answer in it is an example
 *   {"prompt": "…", "answer": "…", "thinking": "…"}                       a problem, or {"prompt", "completion"} word by word
 *
 * Sequences lie one after the other in a micro-batch, without padding (docs/decisions/0006); text
 * longer than the model's positions is cut into windows.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { MAX_TEXT_BYTES, readRegular } from '../base/regular.js';
import { writeCompletion } from '../tasks/completion.js';
import { problemAt, type Task } from '../tasks/task.js';

/** The stage that reads, as far as its sources are concerned. */
export interface SourceContext {
  stage: string;
  task: Task;
  dataFolder: string;
  taskOf(options: Record<string, unknown>): Task;
}

const from = z.string();
const data = z.string().min(1);
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
  sha256,
  /** Several sources by weight: `[{from, weight}, {data, weight}, {task, weight}]`. */
  mix: z
    .array(
      z.union([
        z.strictObject({ from, weight }),
        z.strictObject({ data, sha256, weight }),
        z.strictObject({ task: z.record(z.string(), z.unknown()), weight }),
      ]),
    )
    .min(1)
    .optional(),
};

export type SourceSpec = {
  from?: string;
  data?: string;
  task?: Record<string, unknown>;
  weight: number;
};

/** A stage's sources, however they are written. */
export function sourcesOf(spec: {
  from?: string;
  data?: string;
  mix?: readonly SourceSpec[];
}): readonly SourceSpec[] {
  if (spec.mix) return spec.mix;
  const { from, data } = spec;
  return [
    { ...(from === undefined ? {} : { from }), ...(data === undefined ? {} : { data }), weight: 1 },
  ];
}

export interface Example {
  prompt: string;
  completion: string;
  /** Earlier turns of a chat, which are read and not learned from. */
  before?: { prompt: string; completion: string }[];
}

const lineSchema = z.union([
  z.strictObject({ text: z.string().min(1) }),
  z.strictObject({ prompt: z.string(), completion: z.string().min(1) }),
  z.strictObject({ prompt: z.string(), answer: z.string(), thinking: z.string().default('') }),
  z.strictObject({
    messages: z
      .array(z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() }))
      .min(2),
  }),
]);

/**
 * One example for each answer of a chat; a system message goes before the question that follows it.
 */
function chatExamples(messages: readonly { role: string; content: string }[]): Example[] | null {
  const before: { prompt: string; completion: string }[] = [];
  const out: Example[] = [];
  let prompt: string | null = null;
  for (const { role, content } of messages) {
    if (role !== 'assistant') prompt = prompt === null ? content : `${prompt}\n${content}`;
    else if (prompt === null) return null;
    else {
      out.push({ prompt, completion: content, before: [...before] });
      before.push({ prompt, completion: content });
      prompt = null;
    }
  }
  return out.length > 0 && prompt === null ? out : null;
}

/** @throws UserError (usage) that names the file and the line */
export function readExamples(file: string): Example[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserError(
      'usage',
      `data: ${file} cannot be read (${(error as Error).message}); give the path of a JSONL file`,
      'data',
    );
  }
  const examples = text.split('\n').flatMap((line, i): Example[] => {
    if (line.trim() === '') return [];
    const refuse = (why: string): never => {
      throw new UserError('usage', `data: ${file}, line ${i + 1}: ${why}`, 'data');
    };
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return refuse('is not JSON; write one object a line');
    }
    const parsed = lineSchema.safeParse(value);
    if (!parsed.success) {
      return refuse(
        'must be {"text"}, {"messages"}, {"prompt", "answer"} or {"prompt", "completion"}, all of them text',
      );
    }
    const example = parsed.data;
    if ('text' in example) return [{ prompt: '', completion: example.text }];
    if ('completion' in example) return [example];
    if ('answer' in example)
      return [
        { prompt: example.prompt, completion: writeCompletion(example.thinking, example.answer) },
      ];
    return (
      chatExamples(example.messages) ??
      refuse('messages must end with an answer, and every answer must follow a question')
    );
  });
  if (examples.length === 0)
    throw new UserError(
      'usage',
      `data: ${file} has no example; write one JSON object a line`,
      'data',
    );
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

function demonstrations(task: Task, stageSeed: number): Source {
  return (number, progress) => {
    const problem = problemAt(task, stageSeed, 'train', number, progress);
    return {
      prompt: problem.prompt,
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
  const sources = specs.map(({ from, data, task }, i): Source => {
    // The only source of a stage has no number in its key.
    const name = specs.length === 1 ? [] : [i];
    if (from !== undefined) return epochs(acceptedBy(context, from), stageSeed, name);
    if (data !== undefined) return epochs(readExamples(data), stageSeed, name);
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
