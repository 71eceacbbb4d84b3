/**
 * @file Examples of data files in the forms that are in use: text, prompt and completion, question
 * and answer, OpenAI's messages (with tools, weights and reasoning), ShareGPT's conversations and
 * Alpaca's instructions; other column names by a mapping.
 *
 * Columns that no form has are ignored and named once. A row that has none of the forms is an error
 * with its place: what a model learns from is not left out in silence.
 */
import { UserError } from '../base/errors.js';
import { writeCompletion } from '../tasks/completion.js';
import { readRecords } from '../tasks/records.js';
import type { Prompting } from '../tokenizers/prompting.js';

export interface Example {
  prompt: string;
  completion: string;
  /** Earlier turns of a chat, which are read and not learned from. */
  before?: { prompt: string; completion: string }[];
  /** The words around the prompt, of a task that has some. */
  prompting?: Prompting;
}

/** Name of a column here → its name in the file. */
export type Columns = Readonly<Record<string, string>>;

type Row = Record<string, unknown>;

const ROLES: Record<string, 'system' | 'user' | 'assistant' | 'tool'> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  model: 'assistant',
  bot: 'assistant',
  tool: 'tool',
  function: 'tool',
  observation: 'tool',
};

/** Fields of a message that are read. */
const MESSAGE_FIELDS = new Set(
  'role from content value reasoning_content reasoning thinking tool_calls weight name tool_call_id train'.split(
    ' ',
  ),
);

const text = (value: unknown): string | null =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null;

/** Text of a message: a string, or parts of which those of text count; null is none. */
function contentOf(value: unknown): string | null {
  if (value === null || value === undefined) return '';
  if (!Array.isArray(value)) return text(value);
  const parts = value.map((part) => text((part as Row | null)?.text ?? ''));
  return parts.every((part) => part !== null) ? parts.join('') : null;
}

/** One example for each answer of a chat; null where it is none. */
function chatExamples(messages: unknown, ignored: Set<string>): Example[] | null {
  if (!Array.isArray(messages) || messages.length < 2) return null;
  const before: { prompt: string; completion: string }[] = [];
  const out: Example[] = [];
  let prompt: string | null = null;
  for (const message of messages as Row[]) {
    if (typeof message !== 'object' || message === null) return null;
    for (const field of Object.keys(message))
      if (!MESSAGE_FIELDS.has(field)) ignored.add(`messages.${field}`);
    const name = String(message.role ?? message.from);
    const role = Object.hasOwn(ROLES, name) ? ROLES[name] : null;
    const content = contentOf(message.content ?? message.value);
    if (role === null || content === null) return null;
    if (role !== 'assistant') {
      prompt = prompt === null ? content : `${prompt}\n${content}`;
      continue;
    }
    if (prompt === null) return null;
    const reasoning = text(message.reasoning_content ?? message.reasoning ?? message.thinking);
    const calls = Array.isArray(message.tool_calls) ? JSON.stringify(message.tool_calls) : '';
    const said = [content, calls].filter((part) => part !== '').join('\n');
    const completion = reasoning === null ? said : `<think>${reasoning}</think>${said}`;
    if (completion === '') return null;
    // A weight of 0 is read and not learned from, as OpenAI has it.
    if (message.weight !== 0) out.push({ prompt, completion, before: [...before] });
    before.push({ prompt, completion });
    prompt = null;
  }
  return prompt === null ? out : null;
}

const FORMS =
  '{"text"}, {"messages"}, {"conversations"}, {"prompt", "answer"}, {"prompt", "completion"} or {"instruction", "output"}, all of them text; other columns need "columns"';

/** The examples of one row, and the columns that were read; a reason where it has no form. */
function examplesOf(
  row: Row,
  ignored: Set<string>,
): { examples: Example[]; read: string[] } | string {
  const plain = text(row.text);
  if (plain !== null && plain !== '')
    return { examples: [{ prompt: '', completion: plain }], read: ['text'] };
  for (const field of ['messages', 'conversations', 'conversation']) {
    if (!(field in row)) continue;
    const examples = chatExamples(row[field], ignored);
    return examples === null
      ? `${field} must end with an answer, and every answer must follow a question`
      : { examples, read: [field, 'tools', 'system'] };
  }
  const instruction = text(row.instruction);
  const output = text(row.output);
  if (instruction !== null && output !== null && output !== '') {
    const input = text(row.input) ?? '';
    const prompt = input === '' ? instruction : `${instruction}\n${input}`;
    return { examples: [{ prompt, completion: output }], read: ['instruction', 'input', 'output'] };
  }
  const promptField = ['prompt', 'question', 'problem'].find((field) => text(row[field]) !== null);
  if (promptField === undefined) return `must be ${FORMS}`;
  const prompt = text(row[promptField]) as string;
  const completion = text(row.completion ?? row.response);
  if (completion !== null && completion !== '')
    return { examples: [{ prompt, completion }], read: [promptField, 'completion', 'response'] };
  const answer = text(row.answer);
  if (answer === null || promptField !== 'prompt') return `must be ${FORMS}`;
  const thinking = text(row.thinking ?? row.reasoning ?? row.reasoning_content) ?? '';
  return {
    examples: [{ prompt, completion: writeCompletion(thinking, answer) }],
    read: ['prompt', 'answer', 'thinking', 'reasoning', 'reasoning_content'],
  };
}

/**
 * The examples of a file or folder, and what was ignored in it, one line each.
 * @throws UserError (usage) that names the file and the line
 */
export function readExampleFile(
  file: string,
  columns: Columns = {},
): { examples: Example[]; notes: string[] } {
  const { rows, notes: bad } = readRecords(file, 'data');
  if (bad.length > 0) {
    const where = /:(\d+)/.exec(bad[0])?.[1];
    const message = `data: ${file}, line ${where}: is not JSON; write one object a line`;
    throw new UserError('usage', message, 'data');
  }
  const ignored = new Set<string>();
  const renamed = Object.entries(columns);
  const examples = rows.flatMap(({ row, where }) => {
    const own: Row = { ...row };
    for (const [name, column] of renamed) {
      const line = where.slice(where.lastIndexOf(':') + 1);
      if (!(column in row)) {
        const message = `data: ${file}, line ${line}: has no column ${column}; it has ${Object.keys(row).join(', ')}`;
        throw new UserError('usage', message, 'data');
      }
      own[name] = row[column];
      if (name !== column) delete own[column];
    }
    const found = examplesOf(own, ignored);
    if (typeof found === 'string') {
      const at = where.lastIndexOf(':');
      const message = `data: ${where.slice(0, at)}, line ${where.slice(at + 1)}: ${found}`;
      throw new UserError('usage', message, 'data');
    }
    for (const field of Object.keys(own)) if (!found.read.includes(field)) ignored.add(field);
    return found.examples;
  });
  if (examples.length === 0)
    throw new UserError(
      'usage',
      `data: ${file} has no example; write one JSON object a line`,
      'data',
    );
  const notes =
    ignored.size === 0 ? [] : [`${file}: columns that are not read: ${[...ignored].join(', ')}`];
  return { examples, notes };
}
