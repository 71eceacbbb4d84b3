/**
 * @file The task that an evaluation is about, from what a person wrote behind `--task`.
 */
import { existsSync } from 'node:fs';
import { UserError } from '../base/errors.js';
import { type Described, taskOf } from '../inference/open.js';
import { formatOf } from '../tasks/formats.js';
import { createTask, grantReferences, type TaskReference, tasks } from '../tasks/index.js';
import { readRows } from '../tasks/rows.js';
import type { Task } from '../tasks/task.js';

/**
 * `questions` or `code`, by what the first row has. All rows are asked: the file is there to be
 * evaluated on.
 */
function ofRows(file: string): TaskReference {
  grantReferences({ file });
  const [{ row }] = readRows(file).rows;
  const hasTests = 'test' in row || 'tests' in row;
  return { name: hasTests ? 'code' : 'questions', file, evaluationFile: file };
}

/**
 * The instruction as a system message, for a model that was not trained on the task, where nothing
 * is said about its words. A model of ours does not see it: its template has no place for it.
 */
export function withUsualWords(reference: TaskReference): TaskReference {
  const { prompting, format } = reference;
  if (prompting !== undefined) return reference;
  return { ...reference, prompting: { system: formatOf(format).instruction } };
}

/**
 * A task's name, the path of a `.jsonl` file or of a module, or an object with a task and its
 * options as JSON.
 * @param own the model: what it was trained on stands for itself when it is named, with its
 * options, and when nothing is
 * @param change what the caller's flags say of its words
 * @param trust what the model's task refers to may be read and executed
 * @throws UserError (usage)
 */
export function chooseTask(
  text: string | undefined,
  own: Pick<Described, 'task' | 'folder'> | null,
  trust = false,
  change: (reference: TaskReference, ours: boolean) => TaskReference = (reference) => reference,
): { task: Task; reference: TaskReference } {
  // A model of ours knows its own form of prompt, whatever it is asked.
  const ours = own !== null && own.task !== null;
  const made = (named: TaskReference) => {
    const reference = change(named, ours);
    return { task: createTask(reference), reference };
  };
  if (text === undefined || text === own?.task?.name) {
    if (own?.task) {
      const reference = change(own.task, true);
      return { task: taskOf({ ...own, task: reference }, trust), reference };
    }
    throw new UserError(
      'usage',
      'the model does not say what it was trained on; name a task with --task',
      '--task',
    );
  }
  if (text.trimStart().startsWith('{')) {
    let reference: unknown;
    try {
      reference = JSON.parse(text);
    } catch (error) {
      throw new UserError('usage', `--task: is not JSON: ${(error as Error).message}`, '--task');
    }
    return made(reference as TaskReference);
  }
  if (Object.hasOwn(tasks, text)) return made({ name: text });
  const ending = /\.(jsonl|ndjson|json|parquet|[mc]?[jt]s)(?:\.gz)?$/.exec(text)?.[1];
  if (ending !== undefined && existsSync(text))
    return made(ending === 'jsonl' ? ofRows(text) : { module: text });
  const names = Object.keys(tasks).join(', ');
  const message =
    ending === undefined
      ? `no task ${JSON.stringify(text)}; there are ${names}`
      : `${text}: no such file`;
  throw new UserError(
    'usage',
    `${message}; a file is a .jsonl of problems, or a .ts or .js that exports a task`,
    '--task',
  );
}
