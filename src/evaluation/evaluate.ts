/**
 * @file Evaluating a model on problems that training cannot have seen.
 *
 * pass@1 is sampled at a temperature and averaged over k samples, as DeepSeek-R1 reports it; pass@k is the unbiased
 * estimator of Chen et al. 2021; greedy stands beside them, since a model can look better by merely becoming sure. Every rank
 * takes every worldSize-th problem; the results are the same on all ranks.
 */
import { z } from 'zod';
import { type Completion, createSampler, generationFlops } from '../inference/index.js';
import type { Model } from '../models/index.js';
import { parseCompletion } from '../tasks/completion.js';
import { evaluationProblems } from '../tasks/dataset.js';
import type { Task, Verdict } from '../tasks/task.js';
import type { Backend } from '../tensor/backend.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { type Graded, grade } from '../training/grade.js';
import { encodePrompt, type SampleRecord, slotsOf } from '../training/stage.js';
import { majorityVote, passAtK } from './statistics.js';

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
  backend: Backend;
  model: Model;
  tokenizer: Tokenizer;
  task: Task;
  seed: number;
  /** Called now and then with the completions done so far, on this rank. */
  onProgress?: (done: number, total: number) => void;
}

export interface EvaluationResult {
  results: Record<string, number>;
  tokensIn: number;
  tokensOut: number;
  modelFlops: number;
  /** Correct samples of each problem. */
  correct: number[];
  /** The greedy completions of the first few problems, or the first samples where nothing was decoded greedily. */
  samples: SampleRecord[];
}

/** Longest list that `Ranks.sum` takes. */
const CHUNK = 1024;
/** How many of a task's problems are shown in the run's samples. */
const SHOWN = 8;

async function sumAll(backend: Backend, values: Float64Array): Promise<Float64Array> {
  const out = new Float64Array(values.length);
  for (let i = 0; i < values.length; i += CHUNK) {
    out.set(await backend.ranks.sum(Array.from(values.subarray(i, i + CHUNK))), i);
  }
  return out;
}

/** Puts caches on the backend's stack and takes them off again. */
export async function evaluate(context: EvaluateContext, options: EvaluateOptions): Promise<EvaluationResult> {
  const { backend, model, tokenizer, task, seed } = context;
  const problems = evaluationProblems(task, seed, options.problems);
  const own = slotsOf(backend, problems.length);
  const prompts = own.map((i) => encodePrompt(tokenizer, problems[i]));
  const mark = backend.mark();
  const sampler = createSampler(backend, model, {
    capacity: Math.max(1, Math.min(128, own.length * options.samples)),
    maxPrompt: prompts.reduce((longest, prompt) => Math.max(longest, prompt.length), 1),
    maxTokens: options.maxTokens,
    eos: tokenizer.special.eos,
  });
  const total = own.length * (options.samples + (options.greedy ? 1 : 0));
  let done = 0;
  const onCompletion = (): void => {
    if (++done % 64 === 0 || done === total) context.onProgress?.(done, total);
  };
  const common = { maxTokens: options.maxTokens, promptIndex: (i: number) => own[i], onCompletion };
  const sampled = await sampler.generate(prompts, {
    ...common,
    samples: options.samples,
    temperature: options.temperature,
    key: [seed, 'evaluate'],
  });
  const greedy = options.greedy ? await sampler.generate(prompts, { ...common, samples: 1, temperature: 0, key: [] }) : [];
  backend.release(mark);

  // Per problem: sampled correct, greedy correct, well-formed samples, truncated samples, sampled tokens, majority correct.
  const n = problems.length;
  const table = new Float64Array(6 * n);
  let tokensIn = 0;
  let tokensOut = 0;
  let modelFlops = 0;
  const spend = (completions: readonly Completion[]): void => {
    const lengths: number[][] = prompts.map(() => []);
    for (const { prompt, tokens } of completions) lengths[prompt].push(tokens.length);
    for (let i = 0; i < prompts.length; i++) {
      tokensIn += prompts[i].length;
      tokensOut += lengths[i].reduce((sum, length) => sum + length, 0);
      modelFlops += generationFlops(model.config, prompts[i].length, lengths[i]);
    }
  };
  spend(sampled);
  spend(greedy);
  const samples: SampleRecord[] = [];
  const show = (i: number, text: string, { reward, correct, reason }: Verdict, tokens: number): void => {
    if (samples.length < SHOWN) samples.push({ prompt: problems[i].prompt, completion: text, reward, correct, reason, tokens });
  };
  const votes: (string | null)[][] = prompts.map(() => []);
  const rightAnswers: Set<string>[] = prompts.map(() => new Set());
  const gradeAll = (completions: readonly Completion[]): Promise<Graded[]> =>
    Promise.all(completions.map((c) => grade(task, tokenizer, problems[own[c.prompt]], c)));
  const gradedSamples = await gradeAll(sampled);
  for (const [c, completion] of sampled.entries()) {
    const i = own[completion.prompt];
    const { text, verdict } = gradedSamples[c];
    const parsed = parseCompletion(text);
    const answer = completion.stop === 'eos' && verdict.wellFormed && parsed.wellFormed ? parsed.answer.trim() : null;
    votes[completion.prompt].push(answer);
    if (verdict.correct && answer !== null) rightAnswers[completion.prompt].add(answer);
    if (!options.greedy && completion.sample === 0) show(i, text, verdict, completion.tokens.length);
    table[i] += verdict.correct ? 1 : 0;
    table[2 * n + i] += verdict.wellFormed ? 1 : 0;
    table[3 * n + i] += completion.stop === 'length' ? 1 : 0;
    table[4 * n + i] += completion.tokens.length;
  }
  votes.forEach((answers, p) => {
    const answer = majorityVote(answers);
    table[5 * n + own[p]] = answer !== null && rightAnswers[p].has(answer) ? 1 : 0;
  });
  const gradedGreedy = await gradeAll(greedy);
  for (const [c, completion] of greedy.entries()) {
    const i = own[completion.prompt];
    const { text, verdict } = gradedGreedy[c];
    table[n + i] += verdict.correct ? 1 : 0;
    show(i, text, verdict, completion.tokens.length);
  }
  const all = await sumAll(backend, table);
  const [allIn, allOut, allFlops] = await backend.ranks.sum([tokensIn, tokensOut, modelFlops]);
  const correct = Array.from(all.subarray(0, n));
  const sumOf = (from: number): number => all.subarray(from * n, (from + 1) * n).reduce((sum, x) => sum + x, 0);
  const drawn = n * options.samples;
  const results: Record<string, number> = {
    problems: n,
    samples: options.samples,
    temperature: options.temperature,
    pass1: sumOf(0) / drawn,
    majority: sumOf(5) / n,
    wellFormed: sumOf(2) / drawn,
    truncated: sumOf(3) / drawn,
    length: sumOf(4) / drawn,
  };
  if (options.greedy) results.greedy = sumOf(1) / n;
  // 95% interval over problems: samples of one problem are not independent.
  const rates = correct.map((c) => c / options.samples);
  const variance = rates.reduce((sum, r) => sum + (r - results.pass1) ** 2, 0) / Math.max(1, n - 1);
  results.pass1Half95 = 1.96 * Math.sqrt(variance / n);
  // pass@1 of each part, over the parts' own problems.
  for (const part of task.parts ?? []) {
    const own = rates.filter((_, i) => problems[i].part === part);
    if (own.length > 0) results[`pass1.${part}`] = own.reduce((sum, r) => sum + r, 0) / own.length;
  }
  if (options.passAt > 1) {
    const k = options.passAt;
    results[`pass${k}`] = correct.reduce((sum, c) => sum + passAtK(options.samples, c, k), 0) / n;
  }
  return { results, tokensIn: allIn, tokensOut: allOut, modelFlops: allFlops, correct, samples };
}
