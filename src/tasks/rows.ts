/**
 * @file Tasks from JSON Lines files: `questions` (mathematics, science, multiple choice) and `code`
 * (functions with tests).
 *
 * A file gives a fixed list of problems. With one file, a problem's hash says whether it is for
 * training or evaluation, one in five, as everywhere; with a file for each, every row belongs to
 * the split that its file is for.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { demandGrant } from '../base/grants.js';
import { answerIn, canonicalAnswer, markedAnswer, sameAnswer } from './answers/index.js';
import { chosenIn, LETTERS, readChoices } from './choices.js';
import { gradeCompletion, parseCompletion, quote, writeCompletion } from './completion.js';
import { defineTask, formatReward } from './definition.js';
import { type Program, runProgram } from './program.js';
import { type Records, readRecords, summary } from './records.js';
import { canonical } from './sandbox/index.js';
import { type Problem, type Split, splitOf, type Task, type Verdict } from './task.js';

/** The objects of a file that was granted. @throws UserError (usage) that names the file */
export function readRows(file: string, split: 'train' | 'evaluation' | null = null): Records {
  demandGrant(file, 'file');
  return readRecords(file, 'file', split);
}

const textIn = (row: Record<string, unknown>, ...names: string[]): string | undefined => {
  for (const name of names) {
    const value = row[name];
    if (typeof value === 'string') return value;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    // Several answers of which one will do: the first.
    if (Array.isArray(value) && typeof value[0] === 'string') return value[0];
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
  const { file, evaluationFile } = files;
  const notes: string[] = [];
  const from = (path: string, split: Split | null): Problem<Row<Data>>[] => {
    const records = readRows(path, evaluationFile === undefined ? null : split);
    const known = new Map<string, string>();
    const repeated: string[] = [];
    const refused = new Map<string, string[]>();
    const made = records.rows.flatMap(({ row, where }): Problem<Row<Data>>[] => {
      let one: Row<Data>;
      try {
        one = read(row, where);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        const why = error.message.slice(`file: ${where}: `.length);
        refused.set(why, [...(refused.get(why) ?? []), where]);
        return [];
      }
      // A row is known by all of its content: one question may have several truths.
      const content = JSON.stringify([one.prompt, one.data]);
      let key = one.key;
      for (let i = 2; known.has(key); i++) {
        if (known.get(key) === content) {
          repeated.push(where);
          return [];
        }
        key = `${one.key} (${i})`;
      }
      known.set(key, content);
      return [{ key: keyIn(key, split), prompt: one.prompt, data: one }];
    });
    notes.push(...records.notes, ...summary('the same as another', repeated));
    for (const [why, places] of refused) notes.push(...summary(why, places));
    if (made.length === 0) {
      const [why, [where]] = [...refused][0] as [string, string[]];
      throw new UserError('usage', `file: ${where}: ${why}`, 'file');
    }
    return made;
  };
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
    ...(notes.length > 0 && { notes: [...new Set(notes)] }),
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
  /** What can be chosen; null where the answer is free. */
  readonly choices: readonly string[] | null;
}

/** A question of `questions`, from any of the usual shapes. */
export function readQuestion(row: Record<string, unknown>, where: string): Row<Question> {
  const question =
    textIn(row, 'question', 'prompt', 'problem', 'instruction') ??
    missing(where, 'question, prompt or problem');
  const choices = readChoices(row);
  if (typeof choices === 'string')
    throw new UserError('usage', `file: ${where}: has ${choices}`, 'file');
  if (choices !== null) {
    const { texts, right } = choices;
    const shown = texts.map((choice, i) => `\n${LETTERS[i]}: ${choice}`).join('');
    return {
      key: `${question}${shown}`,
      prompt: `${question}${shown}\n`,
      data: { truth: LETTERS[right], choices: texts },
      gold: writeCompletion('', LETTERS[right]),
    };
  }
  const stated = textIn(row, 'answer', 'final_answer', 'target', 'output');
  const solution = textIn(row, 'solution');
  const raw = stated ?? solution ?? missing(where, 'answer or solution');
  // GSM8K ends its solutions with `#### 42` and notes its sums as <<48/2=24>>; MATH boxes its
  // answers in solutions of any length.
  const truth = markedAnswer(raw) ?? raw.trim();
  if (truth === '') missing(where, 'answer');
  const worked = truth !== raw.trim() && !/^\\boxed|^\$/.test(raw.trim()) ? raw : '';
  const thinking = worked || (solution ?? textIn(row, 'thinking', 'rationale') ?? '');
  const clean = thinking
    .replace(/\n?\s*####[^\n]*\s*$/, '')
    .replace(/<<[^<>]*>>/g, '')
    .replace(/<\/?(think|answer)>/g, '')
    .trim();
  return {
    key: question,
    prompt: `${question}\n`,
    data: { truth, choices: null },
    gold: writeCompletion(clean === truth ? '' : clean, truth),
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
    /** `lenient` forgives form, `strict` nothing but spelling. */
    matching: z.enum(['lenient', 'strict']).default('lenient'),
    formatReward,
  }),
  create({ tolerance, matching, formatReward, ...where }): Task {
    const strict = matching === 'strict';
    const task = taskOfRows(
      'questions',
      where,
      readQuestion,
      ({ truth, choices }, completion) =>
        gradeCompletion(completion, formatReward, (answer) => {
          const correct =
            choices !== null
              ? chosenIn(answer, choices) === LETTERS.indexOf(truth)
              : sameAnswer(truth, answerIn(answer), { tolerance, strict });
          return {
            correct,
            reason: correct
              ? `is ${quote(truth)}`
              : `answers ${quote(answer)}, not ${quote(truth)}`,
          };
        }),
      false,
    ) as Task;
    return {
      ...task,
      // `B`, `(b)` and `B: 12 m` are one choice.
      voteOf: (answer) => canonicalAnswer(/^\W*([A-Z])[).:]/.exec(answer)?.[1] ?? answerIn(answer)),
    };
  },
});

interface CodeProblem extends Program {
  readonly solution: string | null;
  readonly tests?: string;
  readonly examples?: readonly { readonly args: readonly unknown[]; readonly expected: unknown }[];
}

/** A problem of `code`: HumanEval-X, MultiPL-E, or `{prompt, entry, tests: [{args, expected}]}`. */
export function readCodeProblem(row: Record<string, unknown>, where: string): Row<CodeProblem> {
  const prompt = textIn(row, 'prompt', 'question') ?? missing(where, 'prompt');
  const python = [prompt, textIn(row, 'test', 'tests') ?? ''].some((text) =>
    /^\s*(?:def \w+\(.*:\s*$|from \w[\w.]* import |import \w+\s*$|assert .*(?:==|\bin\b))/m.test(
      text,
    ),
  );
  if (python)
    throw new UserError('usage', `file: ${where}: is Python; only JavaScript is run here`, 'file');
  const declared = (textIn(row, 'declaration') ?? prompt).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
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
    return { key, prompt, data: { prompt, entry, solution: solution ?? null, examples }, gold };
  }
  const tests = textIn(row, 'test', 'tests') ?? missing(where, 'test or tests');
  return { key, prompt, data: { prompt, entry, solution: solution ?? null, tests }, gold };
}

const assertions = new WeakMap<CodeProblem, Promise<number>>();

/** Assertions that the row's own solution meets; 1 where it has none. */
function assertionsOf(problem: CodeProblem): Promise<number> {
  let known = assertions.get(problem);
  if (known === undefined) {
    const { solution, tests } = problem;
    known =
      solution === null
        ? Promise.resolve(1)
        : runProgram(solution, problem, { tests }).then(({ tests: done }) =>
            done?.failure === '' ? done.passed : 1,
          );
    assertions.set(problem, known);
  }
  return known;
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
        const { tests, examples = [] } = problem;
        const failed = (reason: string): Verdict => ({
          reward: formatReward,
          correct: false,
          wellFormed: true,
          reason,
        });
        const calls = examples.map(({ args }) => JSON.stringify(args));
        const result = await runProgram(parsed.answer, problem, { tests, calls });
        if (result.error !== undefined) return failed(result.error);
        if (tests !== undefined) {
          const { passed, failure } = result.tests ?? { passed: 0, failure: 'was not tested' };
          if (failure !== '') return failed(failure);
          // Fewer assertions than the solution meets were not all asked: a loop over nothing.
          const expected = await assertionsOf(problem);
          if (passed < expected) return failed(`meets ${passed} of ${expected} assertions`);
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
