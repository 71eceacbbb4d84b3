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
import { createSampler, generationFlops, MAX_CAPACITY } from '../../inference/index.js';
import { problemAt } from '../../tasks/task.js';
import { grade } from '../../training/grade.js';
import {
  encodePrompt,
  longestPrompt,
  progressAt,
  type SampleRecord,
  type Stage,
  type StageContext,
  slotsOf,
} from '../../training/stage.js';
import type { Facts } from '../facts.js';
import { defineStage, needPositions } from '../kind.js';
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
  create: createRejectionSample,
});

interface Accepted {
  index: number;
  prompt: string;
  completion: string;
}

export function createRejectionSample(
  context: StageContext,
  options: RejectionSampleOptions,
): Stage {
  const { backend, model, tokenizer, task, stage, dataFolder } = context;
  const { rank, worldSize } = backend.ranks;
  const stageSeed = hashString(`${context.seed}:${stage}`);
  const slots = slotsOf(backend, options.prompts);
  const sampler = createSampler(backend, model, {
    capacity: Math.max(1, Math.min(MAX_CAPACITY, slots.length * options.samples)),
    maxPrompt: longestPrompt(tokenizer, task),
    maxTokens: options.maxTokens,
    eos: tokenizer.special.eos,
  });
  const accepted: Accepted[] = [];
  const partOf = (r: number): string => join(dataFolder, `${stage}.rank${r}.jsonl`);

  return {
    steps: options.steps,
    purpose: 'data',
    state: [],
    resumableFrom: Number.POSITIVE_INFINITY,
    async step(step) {
      const indices = slots.map((slot) => (step - 1) * options.prompts + slot);
      const progress = progressAt(step, options.steps);
      const problems = indices.map((index) => problemAt(task, stageSeed, 'train', index, progress));
      const prompts = problems.map((problem) => encodePrompt(tokenizer, problem));
      const completions = await sampler.generate(prompts, {
        samples: options.samples,
        maxTokens: options.maxTokens,
        temperature: options.temperature,
        key: [stageSeed, 'rejection-sample'],
        promptIndex: (i) => indices[i],
      });
      const kept = new Array<number>(problems.length).fill(0);
      let correct = 0;
      let completionTokens = 0;
      const samples: SampleRecord[] = [];
      const graded = await Promise.all(
        completions.map((c) => grade(task, tokenizer, problems[c.prompt], c)),
      );
      for (const [c, completion] of completions.entries()) {
        const i = completion.prompt;
        const { text, verdict } = graded[c];
        completionTokens += completion.tokens.length;
        if (i === 0) {
          const { reward, correct: right, reason } = verdict;
          const tokens = completion.tokens.length;
          samples.push({
            prompt: problems[i].prompt,
            completion: text,
            reward,
            correct: right,
            reason,
            tokens,
          });
        }
        if (!verdict.correct) continue;
        correct++;
        if (kept[i] < options.keep) {
          kept[i]++;
          accepted.push({ index: indices[i], prompt: problems[i].prompt, completion: text });
        }
      }
      const flops = prompts.reduce((sum, prompt, i) => {
        const own = completions.filter((c) => c.prompt === i).map((c) => c.tokens.length);
        return sum + generationFlops(model.architecture, prompt.length, own);
      }, 0);
      const promptTokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
      const [count, right, tokensIn, tokensOut, modelFlops, acceptedSum] = await backend.ranks.sum([
        completions.length,
        correct,
        promptTokens,
        completionTokens,
        flops,
        accepted.length,
      ]);
      return {
        values: { accuracy: right / count, length: tokensOut / count, accepted: acceptedSum },
        tokensIn,
        tokensOut,
        modelFlops,
        samples,
      };
    },
    async finish() {
      mkdirSync(dataFolder, { recursive: true });
      writeFileAtomic(partOf(rank), accepted.map((a) => `${JSON.stringify(a)}\n`).join(''));
      await backend.ranks.barrier();
      if (rank === 0) {
        const all: Accepted[] = [];
        for (let r = 0; r < worldSize; r++) {
          for (const line of readRegular(partOf(r), 'data', MAX_TEXT_BYTES, false)
            .toString('utf8')
            .split('\n'))
            if (line !== '') all.push(JSON.parse(line));
        }
        all.sort((a, b) => a.index - b.index);
        const lines = all.map(
          ({ prompt, completion }) => `${JSON.stringify({ prompt, completion })}\n`,
        );
        writeFileAtomic(join(dataFolder, `${stage}.jsonl`), lines.join(''));
        for (let r = 0; r < worldSize; r++) rmSync(partOf(r));
      }
      await backend.ranks.barrier();
    },
  };
}
