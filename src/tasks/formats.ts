/**
 * @file Forms of a reply: where its thinking ends and where its answer stands (R1's tags, a box,
 * the last number, the last line, JSON, or a function of a recipe's own).
 *
 * There is one reader of completions. Training, evaluations of models here and of endpoints, `chat`,
 * `serve` and the studio ask it, and every task is given what it read in one form,
 * `<think>…</think><answer>…</answer>`, so that a task never knows which form a model was taught.
 * The thinking is what `<think>` opens, wherever that stands: a chat template may end in it, and
 * then the text of the completion is shown and read with it (`withOpening`). A box or a number
 * inside the thinking is no answer.
 */
import { UserError } from '../base/errors.js';
import { answerIn, lastBox, lastLine, lastNumber, tagged } from './answers/find.js';
import { parseCompletion, writeCompletion } from './completion.js';
import { parseJson } from './json.js';
import { sandbox } from './sandbox/index.js';
import type { Format, Problem, Task, Verdict } from './task.js';
import { splitThinking, withOpening } from './thinking.js';

export { splitThinking, withOpening } from './thinking.js';

const THINK = '<think>';
const END_THINK = '</think>';

/** A form whose answer stands in what follows the thinking. */
function following(
  name: string,
  instruction: string,
  missing: string,
  find: (content: string) => string | null,
  show: (answer: string) => string,
): Format {
  return {
    name,
    instruction,
    read(text) {
      const { thinking, content } = splitThinking(text);
      if (content === null) return { wellFormed: false, reason: 'no </think>' };
      const answer = find(content);
      return answer === null || answer.trim() === ''
        ? { wellFormed: false, reason: missing }
        : { wellFormed: true, thinking, answer: answer.trim() };
    },
    write: (thinking, answer) =>
      `${thinking === '' ? '' : `${THINK}${thinking}${END_THINK}`}${show(answer)}`,
  };
}

/** The `answer` of the last JSON object of a text, as text. */
function jsonAnswer(content: string): string | null {
  const end = content.lastIndexOf('}');
  for (let at = content.lastIndexOf('{', end), tries = 0; at >= 0 && tries < 32; tries++) {
    const value = parseJson(content.slice(at, end + 1)) as { answer?: unknown } | undefined;
    if (value !== undefined && value !== null && typeof value === 'object' && 'answer' in value) {
      const { answer } = value;
      if (answer === null) return null;
      return typeof answer === 'object' ? JSON.stringify(answer) : String(answer);
    }
    if (at === 0) break;
    at = content.lastIndexOf('{', at - 1);
  }
  return null;
}

export const thinkAnswer: Format = {
  name: 'think-answer',
  instruction:
    'Solve the problem. Think first if it helps. End with the final answer alone, without explanation, between <answer> and </answer>.',
  read: parseCompletion,
  write: writeCompletion,
};

export const formats: Record<string, Format> = {
  'think-answer': thinkAnswer,
  boxed: following(
    'boxed',
    'Solve the problem. Put the final answer in \\boxed{}.',
    'no box after the thinking',
    lastBox,
    (answer) => `\\boxed{${answer}}`,
  ),
  'last-number': following(
    'last-number',
    'Solve the problem. End with the final answer, a number.',
    'no number after the thinking',
    lastNumber,
    (answer) => answer,
  ),
  'final-line': following(
    'final-line',
    'Solve the problem. Write the final answer alone on the last line.',
    'nothing after the thinking',
    (content) => {
      const line = lastLine(content);
      return line === '' ? null : answerIn(line);
    },
    (answer) => answer,
  ),
  json: following(
    'json',
    'Solve the problem. End with a JSON object {"answer": …} that holds the final answer.',
    'no JSON object with an answer after the thinking',
    jsonAnswer,
    (answer) => JSON.stringify({ answer }),
  ),
};

/** A form by a recipe's own function: `content => answer`, or null where there is none. */
function byFunction(code: string): Format {
  return {
    name: 'function',
    instruction: 'Solve the problem.',
    async read(text) {
      const { thinking, content } = splitThinking(text);
      if (content === null) return { wellFormed: false, reason: 'no </think>' };
      const result = await sandbox({
        code,
        entry: null,
        calls: [JSON.stringify([content, thinking])],
      });
      const call = result.calls?.[0] ?? { error: result.error ?? 'gives nothing' };
      if ('error' in call) return { wellFormed: false, reason: `the format ${call.error}` };
      const answer = parseJson(call.value);
      if (typeof answer !== 'string' && typeof answer !== 'number')
        return { wellFormed: false, reason: 'the format finds no answer' };
      return { wellFormed: true, thinking, answer: String(answer) };
    },
    write: (thinking, answer) =>
      `${thinking === '' ? '' : `${THINK}${thinking}${END_THINK}`}${answer}`,
  };
}

/** The form that a task's `format` names. @throws UserError (usage) */
export function formatOf(value: unknown): Format {
  if (value === undefined) return thinkAnswer;
  if (typeof value === 'string' && Object.hasOwn(formats, value)) return formats[value];
  if (typeof value === 'string' && /=>|^\s*function\b/.test(value)) return byFunction(value);
  const message = `task: format: no form ${JSON.stringify(value)}; there are ${Object.keys(formats).join(', ')}, or a function such as "text => text.trim()"`;
  throw new UserError('usage', message, 'format');
}

/** A task whose completions have another form, or whose prompts open the thinking. */
export function withFormat(task: Task, format: Format, opensThinking: boolean): Task {
  if (format === thinkAnswer && !opensThinking) return task;
  const reform = (completion: string): string => {
    const read = parseCompletion(completion);
    if (!read.wellFormed) return completion;
    const text = format.write(read.thinking, read.answer);
    return opensThinking ? text.replace(/^<think>/, '') : text;
  };
  const opened = <P extends Problem>(problem: P): P =>
    opensThinking ? { ...problem, prompt: `${problem.prompt}${THINK}` } : problem;
  // What the form itself is written with: `\boxed{}`.
  const marks = format.write('', '').replace(/<\/?(?:think|answer)>/g, '');
  return {
    ...task,
    alphabet: [...new Set(task.alphabet + marks)].sort().join(''),
    format: () => format,
    pooled: task.pooled || format.name === 'function',
    maxPromptLength: task.maxPromptLength + (opensThinking ? THINK.length : 0),
    generate: (random, progress) => opened(task.generate(random, progress)),
    ...(task.listed && { listed: (split) => (task.listed?.(split) ?? []).map(opened) }),
    async verify(problem, completion) {
      const read = await format.read(withOpening(completion, opensThinking));
      if (!read.wellFormed)
        return { reward: 0, correct: false, wellFormed: false, reason: read.reason };
      return task.verify(problem, writeCompletion(read.thinking, read.answer));
    },
    demonstrate: (problem, random) => reform(task.demonstrate(problem, random)),
    gold: (problem) => {
      const gold = task.gold(problem);
      return gold === null ? null : reform(gold);
    },
  };
}

export const formOf = (task: Task, problem: Problem): Format =>
  task.format?.(problem) ?? thinkAnswer;

/** A reply as an evaluation grades it, and the answer that was read in it. */
export interface Judged {
  readonly verdict: Verdict;
  /** What has a vote; null where nothing was answered. */
  readonly answer: string | null;
}

/**
 * Grades a reply for its answer, whatever form it has; whether it has the task's form is kept
 * apart, as `wellFormed`.
 */
export async function judge(task: Task, problem: Problem, text: string): Promise<Judged> {
  const form = formOf(task, problem);
  const read = await form.read(text);
  if (read.wellFormed)
    return { verdict: await task.verify(problem, text), answer: read.answer.trim() };
  const own = await task.verify(problem, text);
  if (own.correct || own.wellFormed) return { verdict: own, answer: null };
  const loose = looseAnswer(text);
  if (loose === null) return { verdict: own, answer: null };
  const verdict = await task.verify(problem, form.write(loose.thinking, loose.answer));
  return { verdict: { ...verdict, wellFormed: false }, answer: loose.answer };
}

/** Thinking and answer of a reply in any form: tags, a box, or all that follows the thinking. */
export function looseAnswer(text: string): { thinking: string; answer: string } | null {
  const { thinking, content } = splitThinking(text);
  if (content === null) return null;
  const clean = (part: string): string => part.replace(/<\/?(?:think|answer)>/g, '').trim();
  if (/<answer>/.test(content)) {
    const inside = tagged(content, 'answer');
    if (inside !== null) return { thinking: clean(thinking), answer: clean(inside) };
    if (/<\/answer>/.test(content)) return null;
  }
  const box = lastBox(content);
  const answer = box ?? clean(content);
  return answer === '' ? null : { thinking: clean(thinking), answer };
}

/** Whether what follows the thinking holds one answer in tags, or in a box. */
export function isMarked(text: string): boolean {
  const { content } = splitThinking(text);
  return content !== null && (tagged(content, 'answer') ?? lastBox(content)) !== null;
}
