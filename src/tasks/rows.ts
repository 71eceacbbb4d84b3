/**
 * @file Tasks from JSON Lines files: `questions` (mathematics, science, multiple choice) and `code`
 * (functions with tests).
 *
 * A file gives a fixed list of problems. With one file, a problem's hash says whether it is for
 * training or evaluation, one in five, as everywhere; with a file for each, every row belongs to
 * the split that its file is for.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { demandGrant } from '../base/grants.js';
import { canonicalAnswer, parseAnswer, sameParsed } from './answers/index.js';
import { gradeCompletion, parseCompletion, quote, writeCompletion } from './completion.js';
import { defineTask, formatReward } from './definition.js';
import { parseQuantity, sameQuantity } from './quantity.js';
import { canonical, sandbox } from './sandbox/index.js';
import { type Problem, type Split, splitOf, type Task, type Verdict } from './task.js';

/**
 * The objects of a file, each with where it stands. @throws UserError (usage) that names file and
 * line
 */
export function readRows(file: string): { row: Record<string, unknown>; where: string }[] {
  demandGrant(file, 'file');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new UserError(
      'usage',
      `file: ${file}: cannot be read; give the path of a .jsonl file`,
      'file',
    );
  }
  const rows = text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const where = `${file}:${i + 1}`;
    try {
      const row = JSON.parse(line) as unknown;
      if (typeof row === 'object' && row !== null && !Array.isArray(row))
        return [{ row: row as Record<string, unknown>, where }];
    } catch {}
    throw new UserError('usage', `file: ${where}: is not a JSON object`, 'file');
  });
  if (rows.length === 0) throw new UserError('usage', `file: ${file}: has no rows`, 'file');
  return rows;
}

const textIn = (row: Record<string, unknown>, ...names: string[]): string | undefined => {
  for (const name of names) {
    const value = row[name];
    if (typeof value === 'string') return value;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  }
  return undefined;
};

/** `key`, made to belong to a split by a suffix. */
function keyIn(key: string, split: Split | null): string {
  if (split === null) return key;
  let out = key;
  for (let i = 1; splitOf(out) !== split; i++) out = `${key} #${i}`;
  return out;
}

interface Row<Data> {
  readonly key: string;
  readonly prompt: string;
  readonly data: Data;
  readonly gold: string | null;
}

/** A task whose problems are the rows of one or two files. */
function taskOfRows<Data>(
  name: string,
  files: { file: string; evaluationFile?: string },
  read: (row: Record<string, unknown>, where: string) => Row<Data>,
  verify: (data: Data, completion: string) => Verdict | Promise<Verdict>,
  pooled: boolean,
): Task<Row<Data>> {
  const from = (file: string, split: Split | null): Problem<Row<Data>>[] =>
    readRows(file).map(({ row, where }) => {
      const made = read(row, where);
      return { key: keyIn(made.key, split), prompt: made.prompt, data: made };
    });
  const { file, evaluationFile } = files;
  const problems =
    evaluationFile === undefined
      ? from(file, null)
      : [...from(file, 'train'), ...from(evaluationFile, 'evaluation')];
  const distinct = [...new Map(problems.map((problem) => [problem.key, problem])).values()];
  const texts = problems.flatMap(({ prompt, data }) => [prompt, data.gold ?? '']);
  return {
    name,
    alphabet: [...new Set(texts.join('').replace(/<\/?(think|answer)>/g, ''))].sort().join(''),
    maxPromptLength: Math.max(...problems.map(({ prompt }) => [...prompt].length)),
    pooled,
    generate: (random) => random.pick(problems),
    listed: (split) => distinct.filter(({ key }) => splitOf(key) === split),
    verify: ({ data }, completion) => verify(data.data, completion),
    demonstrate({ data }) {
      if (data.gold !== null) return data.gold;
      throw new UserError('usage', `task ${name}: ${data.key} has no solution to imitate`, 'file');
    },
    gold: ({ data }) => data.gold,
  };
}

const missing = (where: string, what: string): never => {
  throw new UserError('usage', `file: ${where}: has no ${what}`, 'file');
};

interface Question {
  readonly truth: string;
  /** Letters that can be chosen; '' where the answer is free. */
  readonly letters: string;
}

/** The letter that a free text chooses: `B`, `(b)`, `b.`, `B: 12 m`. */
const letterIn = (text: string): string | null =>
  /^\s*\(?([a-z])(?:\)|\.|:|\s|$)/i.exec(text)?.[1].toUpperCase() ?? null;

/** A question of `questions`, from any of the usual shapes. */
export function readQuestion(row: Record<string, unknown>, where: string): Row<Question> {
  const question =
    textIn(row, 'question', 'prompt', 'problem') ?? missing(where, 'question, prompt or problem');
  const raw = textIn(row, 'answer', 'solution') ?? missing(where, 'answer or solution');
  const choices = Array.isArray(row.choices) ? row.choices.map(String) : null;
  if (choices) {
    const letters = 'ABCDEFGHIJ'.slice(0, choices.length);
    const index =
      typeof row.answer === 'number' ? row.answer : letters.indexOf(letterIn(raw) ?? '?');
    const at = index >= 0 && index < choices.length ? index : choices.indexOf(raw);
    if (at < 0) missing(where, `answer among its ${choices.length} choices`);
    const shown = choices.map((choice, i) => `\n${letters[i]}: ${choice}`).join('');
    const truth = letters[at];
    return {
      key: question,
      prompt: `${question}${shown}\n`,
      data: { truth, letters },
      gold: writeCompletion('', truth),
    };
  }
  // GSM8K ends its solutions with `#### 42` and notes its sums as <<48/2=24>>; MATH boxes its
  // answers.
  const marked = raw.lastIndexOf('####');
  const boxed = /\\boxed\{/.test(raw);
  const truth = marked >= 0 ? raw.slice(marked + 4).trim() : raw.trim();
  const thinking =
    marked >= 0
      ? raw.slice(0, marked)
      : boxed && raw.length > 60
        ? raw
        : (textIn(row, 'thinking', 'rationale') ?? '');
  const clean = thinking
    .replace(/<<[^<>]*>>/g, '')
    .replace(/<\/?(think|answer)>/g, '')
    .trim();
  const answer = textIn(row, 'answer') !== undefined && marked < 0 ? raw.trim() : truth;
  return {
    key: question,
    prompt: `${question}\n`,
    data: { truth: answer, letters: '' },
    gold: writeCompletion(clean, answer),
  };
}

const files = {
  /** A JSON Lines file. */
  file: z.string().min(1),
  /** Another one for evaluation; without it one row in five of `file` is. */
  evaluationFile: z.string().min(1).optional(),
};

export const questions = defineTask({
  name: 'questions',
  description: 'Questions from a JSON Lines file: GSM8K, {prompt, answer}, multiple choice.',
  options: z.strictObject({
    ...files,
    /** How far off a number may be, as a share of the value; 0 is exact. */
    tolerance: z.number().min(0).max(0.5).default(0),
    formatReward,
  }),
  create({ tolerance, formatReward, ...where }): Task {
    const task = taskOfRows(
      'questions',
      where,
      readQuestion,
      ({ truth, letters }, completion) =>
        gradeCompletion(completion, formatReward, (answer) => {
          const correct =
            letters !== ''
              ? letterIn(answer) === truth
              : sameParsed(parseAnswer(truth), parseAnswer(answer), { tolerance }) ||
                (parseQuantity(truth) !== null &&
                  sameQuantity(truth, answer, Math.max(tolerance, 1e-9)));
          return {
            correct,
            reason: correct
              ? `is ${quote(truth)}`
              : `answers ${quote(answer)}, not ${quote(truth)}`,
          };
        }),
      false,
    ) as Task;
    return { ...task, voteOf: (answer) => canonicalAnswer(answer) };
  },
});

interface CodeProblem {
  readonly prompt: string;
  readonly entry: string;
  readonly tests?: string;
  readonly examples?: readonly { readonly args: readonly unknown[]; readonly expected: unknown }[];
}

/** A problem of `code`: HumanEval-X, MultiPL-E, or `{prompt, entry, tests: [{args, expected}]}`. */
export function readCodeProblem(row: Record<string, unknown>, where: string): Row<CodeProblem> {
  const prompt = textIn(row, 'prompt', 'question') ?? missing(where, 'prompt');
  const declared = textIn(row, 'declaration') ?? prompt;
  const names = [...declared.matchAll(/(?:function\s+|(?:const|let|var)\s+)([A-Za-z_$][\w$]*)/g)];
  const entry =
    textIn(row, 'entry', 'entry_point') ??
    names.at(-1)?.[1] ??
    missing(where, 'entry, the name of the function');
  const key = textIn(row, 'task_id', 'name') ?? prompt;
  const solution = textIn(row, 'canonical_solution', 'solution');
  const gold = solution === undefined ? null : writeCompletion('', solution);
  if (Array.isArray(row.tests)) {
    const examples = row.tests.map((test: unknown, i) => {
      const { args, expected } = (test ?? {}) as { args?: unknown; expected?: unknown };
      if (!Array.isArray(args) || expected === undefined)
        missing(where, `args and expected in tests.${i}`);
      return { args: args as unknown[], expected };
    });
    return { key, prompt, data: { prompt, entry, examples }, gold };
  }
  const tests = textIn(row, 'test', 'tests') ?? missing(where, 'test or tests');
  return { key, prompt, data: { prompt, entry, tests }, gold };
}

/**
 * The code of an answer: without Markdown fences, and after the prompt where it is a continuation
 * of it.
 */
export function codeOf(answer: string, { prompt, entry }: CodeProblem): string {
  const fenced = /```(?:js|javascript|ts)?\s*\n([\s\S]*?)```/.exec(answer);
  const code = fenced ? fenced[1] : answer;
  const whole = new RegExp(
    `(?:function\\s*\\*?\\s*|(?:const|let|var)\\s+)${entry.replaceAll('$', '\\$')}\\b`,
  ).test(code);
  return whole || !prompt.includes(entry) ? code : `${prompt}${code}`;
}

export const code = defineTask({
  name: 'code',
  description:
    'JavaScript functions with tests from a JSON Lines file; answers run in the sandbox.',
  options: z.strictObject({ ...files, formatReward }),
  create({ formatReward, ...where }): Task {
    return taskOfRows(
      'code',
      where,
      readCodeProblem,
      async (problem, completion): Promise<Verdict> => {
        const parsed = parseCompletion(completion);
        if (!parsed.wellFormed)
          return { reward: 0, correct: false, wellFormed: false, reason: parsed.reason };
        const { entry, tests, examples = [] } = problem;
        const failed = (reason: string): Verdict => ({
          reward: formatReward,
          correct: false,
          wellFormed: true,
          reason,
        });
        const calls = examples.map(({ args }) => JSON.stringify(args));
        const result = await sandbox({ code: codeOf(parsed.answer, problem), entry, tests, calls });
        if (result.error !== undefined) return failed(result.error);
        if (tests !== undefined) {
          const { passed, failure } = result.tests ?? { passed: 0, failure: 'was not tested' };
          if (failure !== '') return failed(failure);
          return {
            reward: 1,
            correct: true,
            wellFormed: true,
            reason: `passes ${passed} assertions`,
          };
        }
        for (const [i, { expected }] of examples.entries()) {
          const got = result.calls?.[i] ?? { error: 'was not called' };
          if ('error' in got) return failed(`test ${i + 1} ${got.error}`);
          if (got.value !== canonical(expected))
            return failed(`test ${i + 1} gives ${quote(got.value)}`);
        }
        return {
          reward: 1,
          correct: true,
          wellFormed: true,
          reason: `passes ${examples.length} tests`,
        };
      },
      true,
    ) as Task;
  },
});
