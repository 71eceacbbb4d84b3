/**
 * @file Rejection sampling: sample completions, keep the right ones, and let a later `sft` stage
 * imitate them.
 *
 * DeepSeek-R1's third stage (Nature 2025) made its 600k reasoning samples so; as a loop it is STaR
 * (Zelikman et al. 2022) or RAFT (Dong et al. 2023). What is kept goes to `data/<stage>.jsonl` of
 * the run, one `{prompt, completion}` a line, in the order of the problems, whatever the number of
 * ranks.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../base/files.js';
import { hashString } from '../../base/random.js';
import { MAX_TEXT_BYTES, readRegular } from '../../base/regular.js';
import { MAX_CAPACITY } from '../../inference/index.js';
import { problemAt } from '../../tasks/task.js';
import type { Example } from '../../training/examples.js';
import { grade } from '../../training/grade.js';
import { promptOf } from '../../training/sources.js';
import {
  encodePrompt,
  longestPrompt,
  progressAt,
  type SampleRecord,
  slotsOf,
} from '../../training/stage.js';
import { sumNamed } from '../../training/sums.js';
import type { Facts } from '../facts.js';
import { defineStage, needPositions } from '../kind.js';
import type { Stage, StageContext } from '../stage.js';
import { always, type Rollout, type Work } from '../work.js';

export const rejectionSampleSchema = z.strictObject({
  steps: z.number().int().positive(),
  /** Problems a step, over all ranks. */
  prompts: z.number().int().positive(),
  /** Completions of each problem. */
  samples: z.number().int().positive(),
  /** Most accepted completions kept of one problem. */
  keep: z.number().int().positive().default(1),
  maxTokens: z.number().int().positive(),
  temperature: z.number().positive().default(1),
});

export type RejectionSampleOptions = z.infer<typeof rejectionSampleSchema>;

/** `steps` rollouts of one round each, by `model`. */
export function samplingWork(
  { steps, prompts, samples, maxTokens }: RejectionSampleOptions,
  facts: Facts,
  model: Rollout['model'],
): Work {
  const question = { maxTokens, learns: false, evaluation: null };
  const { promptTokens, completionTokens } = facts.sampling(question);
  return {
    phase: '',
    steps,
    purpose: 'data',
    rollouts: [
      {
        model,
        prompts,
        samples,
        rounds: 1,
        replaced: always(0),
        promptTokens,
        completionTokens,
        maxTokens,
        draft: null,
        capacity: MAX_CAPACITY,
      },
    ],
    scores: [],
    passes: [],
  };
}

export const rejectionSample = defineStage<RejectionSampleOptions>({
  kind: 'rejection-sample',
  schema: rejectionSampleSchema,
  trains: false,
  purpose: 'data',
  keepsSamples: true,
  steps: ({ steps }) => steps,
  fits: ({ maxTokens }, made) => needPositions(made, maxTokens, 'maxTokens'),
  work: (spec, facts) => [samplingWork(spec, facts, 'stage')],
  create: (context, spec) => createRejectionSample(context, spec),
});

interface Accepted extends Pick<Example, 'prompt' | 'prompting' | 'completion'> {
  index: number;
}

/** @param from another model that samples; default: the run's */
export async function createRejectionSample(
  context: StageContext,
  options: RejectionSampleOptions,
  from?: string,
): Promise<Stage> {
  const { ranks, tokenizer, task, stage } = context;
  const { steps, samples, maxTokens, temperature } = options;
  const stageSeed = hashString(`${context.seed}:${stage}`);
  const slots = slotsOf(ranks, options.prompts);
  const maxPrompt = longestPrompt(tokenizer, task);
  const capacity = Math.min(MAX_CAPACITY, slots.length * samples);
  const policy = await context.open({ sampling: { capacity, maxPrompt, maxTokens } }, from);
  const accepted: Accepted[] = [];

  return {
    steps,
    purpose: 'data',
    policy: null,
    resumableFrom: Number.POSITIVE_INFINITY,
    async step(step) {
      const indices = slots.map((slot) => (step - 1) * options.prompts + slot);
      const progress = progressAt(step, steps);
      const problems = indices.map((index) => problemAt(task, stageSeed, 'train', index, progress));
      const prompts = problems.map((problem) => encodePrompt(tokenizer, problem));
      const { completions, modelFlops } = await policy.sample({
        prompts,
        samples,
        maxTokens,
        temperature,
        key: [stageSeed, 'rejection-sample'],
        promptIndex: (i) => indices[i],
      });
      const graded = await Promise.all(
        completions.map((c) => grade(task, tokenizer, problems[c.prompt], c)),
      );
      const kept = new Array<number>(problems.length).fill(0);
      const shown: SampleRecord[] = [];
      for (const [c, completion] of completions.entries()) {
        const i = completion.prompt;
        const { text, verdict } = graded[c];
        const { prompt } = problems[i];
        if (i === 0) {
          const { reward, correct, reason } = verdict;
          const tokens = completion.tokens.length;
          shown.push({ prompt, completion: text, reward, correct, reason, tokens });
        }
        if (!verdict.correct || kept[i] >= options.keep) continue;
        kept[i]++;
        accepted.push({ index: indices[i], ...promptOf(problems[i]), completion: text });
      }
      const all = await sumNamed(ranks, {
        completions: completions.length,
        correct: graded.filter(({ verdict }) => verdict.correct).length,
        tokensIn: prompts.reduce((sum, prompt) => sum + prompt.length, 0),
        tokensOut: completions.reduce((sum, { tokens }) => sum + tokens.length, 0),
        modelFlops,
        accepted: accepted.length,
      });
      const { tokensIn, tokensOut } = all;
      const values = {
        accuracy: all.correct / all.completions,
        'completions/mean_length': tokensOut / all.completions,
        accepted: all.accepted,
      };
      return { values, tokensIn, tokensOut, modelFlops: all.modelFlops, samples: shown };
    },
    async finish() {
      await writeAccepted(context, accepted);
      policy.close();
    },
  };
}

/** `data/<stage>.jsonl` from what every rank accepted, in the order of the problems. */
async function writeAccepted(
  { ranks, dataFolder, stage }: StageContext,
  accepted: readonly Accepted[],
): Promise<void> {
  const partOf = (r: number): string => join(dataFolder, `${stage}.rank${r}.jsonl`);
  mkdirSync(dataFolder, { recursive: true });
  writeFileAtomic(partOf(ranks.rank), accepted.map((a) => `${JSON.stringify(a)}\n`).join(''));
  await ranks.barrier();
  if (ranks.rank === 0) {
    const all: Accepted[] = [];
    for (let r = 0; r < ranks.worldSize; r++) {
      const part = readRegular(partOf(r), 'data', MAX_TEXT_BYTES, false).toString('utf8');
      for (const line of part.split('\n')) if (line !== '') all.push(JSON.parse(line));
    }
    all.sort((a, b) => a.index - b.index);
    const lines = all.map(({ index: _, ...example }) => `${JSON.stringify(example)}\n`);
    writeFileAtomic(join(dataFolder, `${stage}.jsonl`), lines.join(''));
    for (let r = 0; r < ranks.worldSize; r++) rmSync(partOf(r));
  }
  await ranks.barrier();
}
