/**
 * @file Evaluating a model on problems that training cannot have seen.
 *
 * pass@1 is sampled at a temperature and averaged over k samples, as DeepSeek-R1 reports it; pass@k
 * is the unbiased estimator of Chen et al. 2021; greedy stands beside them, since a model can look
 * better by merely becoming sure. Every rank takes every worldSize-th problem; the results are the
 * same on all ranks.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import type { Completion, Needs, Policy } from '../policy/policy.js';
import { evaluationProblems } from '../tasks/dataset.js';
import type { Problem, Task } from '../tasks/task.js';
import type { Ranks } from '../tensor/backend.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { grade } from '../training/grade.js';
import { encodePrompt, type SampleRecord, slotsOf } from '../training/stage.js';
import { sumAll } from '../training/sums.js';
import { passAtK } from './statistics.js';
import { byProblem, NOTHING, TALLY_FIELDS, type Tally, tallyOf } from './summary.js';
import type { Transcript } from './transcripts.js';

export const evaluateSchema = z.strictObject({
  /** Distinct problems of the evaluation split. */
  problems: z.number().int().positive().default(1000),
  /** Sampled completions of each problem. */
  samples: z.number().int().positive().default(4),
  temperature: z.number().positive().default(1),
  /** Also reports pass@k for this k ≤ samples; 1 leaves it out. */
  passAt: z.number().int().positive().default(1),
  /** Also decodes greedily, once for each problem. */
  greedy: z.boolean().default(true),
  maxTokens: z.number().int().positive(),
});

export type EvaluateOptions = z.infer<typeof evaluateSchema>;

export interface EvaluateContext {
  ranks: Pick<Ranks, 'rank' | 'worldSize' | 'sum'>;
  /** Opens the policy that is evaluated. */
  open(needs: Needs): Promise<Policy>;
  tokenizer: Tokenizer;
  task: Task;
  seed: number;
}

export interface EvaluationResult {
  results: Record<string, number>;
  tokensIn: number;
  tokensOut: number;
  modelFlops: number;
  /** Correct samples of each problem. */
  correct: number[];
  /**
   * The greedy completions of the first few problems, or the first samples where nothing was
   * decoded greedily.
   */
  samples: SampleRecord[];
}

/**
 * Sequences answered at once, and memory for their keys and values: whatever the machine, so that
 * answers are the same.
 */
const MAX_SEQUENCES = 128;
export const MAX_CACHE_BYTES = 512 * 1024 * 1024;
/** How many of a task's problems are shown in the run's samples. */
const SHOWN = 8;

export interface AnswerOptions {
  samples: number;
  temperature: number;
  greedy: boolean;
  maxTokens: number;
  /** Sees each completion once it is graded, in no particular order. */
  onTranscript?: (transcript: Transcript) => void;
}

/** The problems that a model can be asked, and why not the others: length, or characters. */
function readable(
  tokenizer: Tokenizer,
  problems: readonly Problem[],
  all: readonly number[],
  longest: number,
  maxTokens: number,
): { fitting: number[]; refused: { problem: number; reason: string }[] } {
  const fitting: number[] = [];
  const refused: { problem: number; reason: string }[] = [];
  for (const problem of all) {
    try {
      const { length } = encodePrompt(tokenizer, problems[problem]);
      if (length + maxTokens <= longest) fitting.push(problem);
      else
        refused.push({
          problem,
          reason: `the question has ${length} tokens and the answer may have ${maxTokens}, more than the model's ${longest}`,
        });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.push({ problem, reason: error.message });
    }
  }
  return { fitting, refused };
}

/** Longest completion that leaves room for all questions but those that fill half of the context. */
export function roomFor(
  tokenizer: Tokenizer,
  problems: readonly Problem[],
  positions: number,
): number {
  const lengths = problems.flatMap((problem) => {
    try {
      return [encodePrompt(tokenizer, problem).length];
    } catch {
      return [];
    }
  });
  const usual = lengths.filter((length) => 2 * length <= positions);
  return (
    positions - Math.max(1, ...(usual.length > 0 ? usual : [Math.min(...lengths, positions - 1)]))
  );
}

/**
 * Lets the model answer some of the problems, and grades its completions.
 * @param all numbers of the problems; a problem is answered alike whichever others are
 * @returns in the order (samples before greedy, problem, sample), and the operations that it took
 */
export async function answerProblems(
  context: EvaluateContext,
  problems: readonly Problem[],
  all: readonly number[],
  options: AnswerOptions,
): Promise<{ transcripts: Transcript[]; modelFlops: number }> {
  const { tokenizer, task, seed } = context;
  const probe = await context.open({});
  const { positions } = probe.limits;
  probe.close();
  const reading = readable(tokenizer, problems, all, positions, options.maxTokens);
  const { fitting: own, refused } = reading;
  const left = refused.flatMap(({ problem, reason }) => {
    const { prompt, part } = problems[problem];
    const common = { ...NOTHING, problem, ...(part === undefined ? {} : { part }), prompt, reason };
    const samples = Array.from({ length: options.samples }, (_, sample) => ({ ...common, sample }));
    return options.greedy ? [...samples, { ...common, sample: null }] : samples;
  });
  for (const transcript of left) options.onTranscript?.(transcript);
  if (own.length === 0) return { transcripts: options.onTranscript ? [] : left, modelFlops: 0 };
  const prompts = own.map((i) => encodePrompt(tokenizer, problems[i]));
  const maxPrompt = prompts.reduce((longest, prompt) => Math.max(longest, prompt.length), 1);
  const policy = await context.open({
    sampling: {
      capacity: Math.min(MAX_SEQUENCES, own.length * options.samples),
      maxPrompt,
      maxTokens: options.maxTokens,
      maxCacheBytes: MAX_CACHE_BYTES,
    },
  });
  const transcriptOf = async (completion: Completion, greedy: boolean): Promise<Transcript> => {
    const { prompt, sample, tokens, stop } = completion;
    const problem = problems[own[prompt]];
    const { text, verdict, answer } = await grade(task, tokenizer, problem, completion, true);
    const { reward, correct, wellFormed, reason } = verdict;
    return {
      problem: own[prompt],
      sample: greedy ? null : sample,
      ...(problem.part === undefined ? {} : { part: problem.part }),
      prompt: problem.prompt,
      completion: text,
      answer: stop === 'eos' ? answer : null,
      reward,
      correct,
      wellFormed,
      reason,
      stop,
      promptTokens: sample === 0 ? prompts[prompt].length : 0,
      completionTokens: tokens.length,
      seconds: 0,
      usd: null,
    };
  };
  const { maxTokens, onTranscript } = options;
  const transcripts: Transcript[] = options.onTranscript ? [] : [...left];
  let modelFlops = 0;
  const pass = async (
    samples: number,
    temperature: number,
    key: (string | number)[],
    greedy: boolean,
  ): Promise<void> => {
    const graded: Promise<void>[] = [];
    const sampled = await policy.sample({
      prompts,
      samples,
      temperature,
      key,
      maxTokens,
      promptIndex: (i) => own[i],
      onCompletion: (completion) => {
        if (onTranscript) graded.push(transcriptOf(completion, greedy).then(onTranscript));
      },
    });
    await Promise.all(graded);
    if (!onTranscript)
      transcripts.push(
        ...(await Promise.all(sampled.completions.map((c) => transcriptOf(c, greedy)))),
      );
    modelFlops += sampled.modelFlops;
  };
  await pass(options.samples, options.temperature, [seed, 'evaluate'], false);
  if (options.greedy) await pass(1, 0, [], true);
  policy.close();
  return { transcripts, modelFlops };
}

/** Evaluates the policy as it is. All ranks call it together. */
export async function evaluate(
  context: EvaluateContext,
  options: EvaluateOptions,
): Promise<EvaluationResult> {
  const { ranks, task, seed } = context;
  const problems = evaluationProblems(task, seed, options.problems);
  const own = slotsOf(ranks, problems.length);
  const { transcripts, modelFlops } = await answerProblems(context, problems, own, options);

  const n = problems.length;
  const table = new Float64Array(TALLY_FIELDS.length * n);
  const groups = byProblem(transcripts, n);
  for (const i of own) {
    const tally = tallyOf(groups[i], task.voteOf);
    for (const [f, field] of TALLY_FIELDS.entries()) table[f * n + i] = tally[field];
  }
  const all = Float64Array.from(await sumAll(ranks, Array.from(table)));
  const columnOf = (field: keyof Tally): Float64Array => {
    const f = TALLY_FIELDS.indexOf(field);
    return all.subarray(f * n, (f + 1) * n);
  };
  const sumOf = (field: keyof Tally): number => columnOf(field).reduce((sum, x) => sum + x, 0);
  const total = (pick: (transcript: Transcript) => number | null): number =>
    transcripts.reduce((sum, transcript) => sum + (pick(transcript) ?? 0), 0);
  const [allIn, allOut, allFlops] = await ranks.sum([
    total(({ promptTokens }) => promptTokens),
    total(({ completionTokens }) => completionTokens),
    modelFlops,
  ]);
  const correct = Array.from(columnOf('correct'));
  const drawn = n * options.samples;
  const results: Record<string, number> = {
    problems: n,
    samples: options.samples,
    temperature: options.temperature,
    pass1: sumOf('correct') / drawn,
    majority: sumOf('majority') / n,
    wellFormed: sumOf('wellFormed') / drawn,
    truncated: sumOf('truncated') / drawn,
    length: sumOf('tokens') / drawn,
  };
  if (options.greedy) results.greedy = sumOf('greedy') / n;
  const rates = correct.map((c) => c / options.samples);
  // pass@1 of each part, over the parts' own problems.
  for (const part of task.parts ?? []) {
    const own = rates.filter((_, i) => problems[i].part === part);
    if (own.length > 0) results[`pass1.${part}`] = own.reduce((sum, r) => sum + r, 0) / own.length;
  }
  if (options.passAt > 1) {
    const k = options.passAt;
    results[`pass${k}`] = correct.reduce((sum, c) => sum + passAtK(options.samples, c, k), 0) / n;
  }
  const shown = transcripts
    .filter(({ sample }) => (options.greedy ? sample === null : sample === 0))
    .slice(0, SHOWN);
  const samples = shown.map(
    ({ prompt, completion, reward, correct, reason, completionTokens }): SampleRecord => {
      return { prompt, completion, reward, correct, reason, tokens: completionTokens ?? 0 };
    },
  );
  return { results, tokensIn: allIn, tokensOut: allOut, modelFlops: allFlops, correct, samples };
}
