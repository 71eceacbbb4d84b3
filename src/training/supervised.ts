/**
 * @file Supervised stages: `pretrain` predicts every token of prompt and demonstration, `sft` those of the completion only.
 *
 * A step draws `batch` examples, keyed by (seed, stage, step, slot): demonstrations that the task writes, or completions that
 * an earlier stage accepted. The loss is the mean cross-entropy over the predicted tokens of the whole global batch.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { hashString, Random } from '../base/random.js';
import { problemAt } from '../tasks/task.js';
import { Tape } from '../tensor/tape.js';
import { trainingFlops } from '../usage/flops.js';
import { crossEntropyStep } from './backpropagate.js';
import { flopsPart, microBatches, type TrainingSequence } from './batch.js';
import { createOptimizer, gradientNormOf, optimizerSchema } from './optimizer.js';
import { createSchedule, scheduleSchema } from './schedules.js';
import { encodePrompt, type Stage, type StageContext, slotsOf } from './stage.js';

export const supervisedSchema = z.strictObject({
  steps: z.number().int().positive(),
  /** Examples a step, over all ranks. */
  batch: z.number().int().positive(),
  optimizer: optimizerSchema,
  schedule: scheduleSchema,
  /** Id of an earlier `rejection-sample` stage to learn from; without it the task's demonstrations are used. */
  from: z.string().optional(),
});

export type SupervisedOptions = z.infer<typeof supervisedSchema>;

interface Example {
  prompt: string;
  completion: string;
}

function loadExamples(context: StageContext, from: string): Example[] {
  const file = join(context.dataFolder, `${from}.jsonl`);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new UserError('state', `stage ${context.stage}: ${file} is missing; stage ${from} must run before it`, 'from');
  }
  const examples = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Example);
  if (examples.length === 0) {
    throw new UserError(
      'state',
      `stage ${context.stage}: stage ${from} accepted no sample, so there is nothing to learn from`,
      'from',
    );
  }
  return examples;
}

export function createSupervised(context: StageContext, options: SupervisedOptions, completionOnly: boolean): Stage {
  const { backend, model, tokenizer, task, stage } = context;
  const schedule = createSchedule(options.schedule, options.steps);
  const stageSeed = hashString(`${context.seed}:${stage}`);
  model.store.attachGradients();
  const optimizer = createOptimizer(backend, model.store, options.optimizer);
  const examples = options.from === undefined ? null : loadExamples(context, options.from);
  let epoch = -1;
  let order: Example[] = [];

  /** Example number `index` of the stage: epochs over shuffled data, or a fresh demonstration. */
  function example(index: number): Example {
    if (examples) {
      const wanted = Math.floor(index / examples.length);
      if (wanted !== epoch) {
        epoch = wanted;
        order = new Random(stageSeed, 'epoch', epoch).shuffle(examples);
      }
      return order[index % examples.length];
    }
    const problem = problemAt(task, stageSeed, 'train', index);
    return { prompt: problem.prompt, completion: task.demonstrate(problem, new Random(stageSeed, 'demonstration', index)) };
  }

  function sequenceOf({ prompt, completion }: Example): TrainingSequence {
    const head = encodePrompt(tokenizer, { key: '', prompt, data: null });
    const tokens = [...head, ...tokenizer.encode(completion), tokenizer.special.eos];
    const longest = model.config.max_position_embeddings;
    // The last token is only predicted, so it needs no position.
    if (tokens.length - 1 > longest) {
      throw new UserError(
        'usage',
        `stage ${stage}: an example has ${tokens.length} tokens, ${JSON.stringify(prompt)} among them; raise model.max_position_embeddings (${longest}) to ${tokens.length}`,
        'model.max_position_embeddings',
      );
    }
    return { tokens, predictFrom: completionOnly ? head.length : 1 };
  }

  return {
    steps: options.steps,
    purpose: 'training',
    state: optimizer.state,
    resumable: true,
    async step(step) {
      const sequences = slotsOf(backend, options.batch).map((slot) => sequenceOf(example((step - 1) * options.batch + slot)));
      const predictions = sequences.reduce((sum, s) => sum + s.tokens.length - s.predictFrom, 0);
      const tokens = sequences.reduce((sum, s) => sum + s.tokens.length - 1, 0);
      const flops = sequences.reduce((sum, s) => sum + trainingFlops(model.config, flopsPart(s)), 0);
      const [allPredictions, allTokens, allFlops] = await backend.ranks.sum([predictions, tokens, flops]);

      model.store.resetGradients();
      let loss = 0;
      for (const part of microBatches(sequences, (s) => s.tokens.length, context.microBatchTokens)) {
        loss += await crossEntropyStep(new Tape(backend), model, part, 1 / allPredictions);
      }
      const multiplier = schedule(step);
      const gradientNorm = await gradientNormOf(backend, await optimizer.update(multiplier, step));
      const [allLoss] = await backend.ranks.sum([loss]);
      return {
        values: { loss: allLoss, gradientNorm, learningRate: multiplier * options.optimizer.lr },
        tokensIn: allTokens,
        tokensOut: 0,
        modelFlops: allFlops,
      };
    },
  };
}
