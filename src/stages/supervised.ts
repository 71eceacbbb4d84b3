/**
 * @file Supervised stages: `pretrain` predicts every token of prompt and demonstration, `sft` those
 * of the completion only.
 *
 * A step takes the next `batch` examples of the stage's sources (`sources.ts`), by number. The loss
 * is the mean cross-entropy over the predicted tokens of the whole global batch.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { hashString, Random } from '../base/random.js';
import type { Datum } from '../policy/policy.js';
import { balanceSchema } from '../training/balance.js';
import { optimizerSchema } from '../training/optimizer.js';
import { createSchedule, scheduleSchema } from '../training/schedules.js';
import {
  type Example,
  openSources,
  type SourceSpec,
  sourceFields,
  sourcesOf,
} from '../training/sources.js';
import { encodePrompt, progressAt, slotsOf } from '../training/stage.js';
import { sumNamed } from '../training/sums.js';
import type { Facts } from './facts.js';
import { refuseWhere, type Spec, type StageKind } from './kind.js';
import type { Stage, StageContext } from './stage.js';
import { always, type Pass, type Work } from './work.js';

export const supervisedSchema = z.strictObject({
  steps: z.number().int().positive(),
  /** Examples a step, over all ranks. */
  batch: z.number().int().positive(),
  optimizer: optimizerSchema,
  schedule: scheduleSchema.prefault({ kind: 'constant' }),
  /** λ of multi-token prediction, for models that have it (`num_nextn_predict_layers`). */
  mtpWeight: z.number().min(0).default(0.3),
  /** Balancing a mixture of experts, for models that have one. */
  balance: balanceSchema(0.001),
  ...sourceFields,
});

export type SupervisedOptions = z.infer<typeof supervisedSchema>;

type SupervisedKind = StageKind<SupervisedOptions>;

/** What `pretrain` and `sft` have in common. */
export const supervisedKind = (
  kind: string,
  predicts: Pass['predicts'],
): Omit<SupervisedKind, 'create'> => ({
  kind,
  schema: supervisedSchema,
  trains: true,
  purpose: 'training',
  steps: ({ steps }) => steps,
  check: checkSupervised,
  data: {
    sources: sourcesOf,
    named: ({ data, mix, ...rest }, name) => ({
      ...rest,
      ...(data === undefined ? {} : { data: name(data) }),
      ...(mix === undefined
        ? {}
        : {
            mix: mix.map((source) =>
              'data' in source ? { ...source, data: name(source.data) } : source,
            ),
          }),
    }),
    from: (spec, file) => (spec.from || spec.mix ? null : { ...spec, data: file }),
  },
  work: (spec, facts) => [supervisedWork(spec, facts, predicts, sourcesOf(spec))],
});

function checkSupervised(
  spec: Spec<SupervisedOptions>,
  around: Parameters<NonNullable<SupervisedKind['check']>>[1],
): void {
  const { before, refuse } = around;
  const given = [spec.from, spec.data, spec.mix].filter((source) => source !== undefined);
  if (given.length > 1)
    refuse(['mix'], 'from, data and mix exclude each other; put all sources into mix');
  sourcesOf(spec).forEach(({ from }, s) => {
    if (from === undefined) return;
    if (before.some(({ id, kind }) => id === from && kind.keepsSamples)) return;
    refuse(
      spec.mix ? ['mix', s, 'from'] : ['from'],
      `"${from}" is not the id of an earlier rejection-sample or distill stage`,
    );
  });
  refuseWhere(around, () => createSchedule(spec.schedule, spec.steps));
}

/** One pass over `batch` examples a step. */
export function supervisedWork(
  spec: Pick<SupervisedOptions, 'steps' | 'batch' | 'optimizer' | 'mtpWeight'>,
  facts: Facts,
  predicts: Pass['predicts'],
  sources: readonly SourceSpec[],
): Work {
  const source = sources.every(({ from }) => from !== undefined)
    ? 'stage'
    : sources.every(({ data }) => data !== undefined)
      ? 'file'
      : 'task';
  return {
    phase: '',
    steps: spec.steps,
    purpose: 'training',
    rollouts: [],
    scores: [],
    passes: [
      {
        model: 'stage',
        sequences: always(spec.batch),
        ...facts.examples(sources),
        loss: 'cross-entropy',
        source,
        predicts,
        further: facts.predictsFurther && spec.mtpWeight > 0,
        trains: facts.adapter ? 'adapter' : 'all',
        optimizer: spec.optimizer,
        updates: 1,
      },
    ],
  };
}

/** Examples of a stage as token sequences. */
function createSequences(
  { tokenizer, stage }: StageContext,
  {
    stageSeed,
    completionOnly,
    longest,
  }: {
    stageSeed: number;
    completionOnly: boolean;
    longest: number;
  },
): (example: Example, index: number) => Datum {
  const end = tokenizer.special.eos;
  return ({ prompt, prompting, completion, before = [] }, index) => {
    const head = [
      ...before.flatMap((turn) => [
        ...encodePrompt(tokenizer, turn),
        ...tokenizer.encode(turn.completion),
        end,
      ]),
      ...encodePrompt(tokenizer, { prompt, prompting }),
    ];
    const tokens = [...head, ...tokenizer.encode(completion), end];
    const predictFrom = completionOnly ? head.length : 1;
    // The last token is only predicted, so it needs no position.
    if (tokens.length - 1 <= longest) return { tokens, predictFrom };
    if (prompt === '') {
      // A window of a long text, from a place of its own.
      const start = new Random(stageSeed, 'window', index).integer(0, tokens.length - 1 - longest);
      return { tokens: tokens.slice(start, start + longest + 1), predictFrom: 1 };
    }
    throw new UserError(
      'usage',
      `stage ${stage}: an example has ${tokens.length} tokens, ${JSON.stringify(prompt)} among them; raise model.max_position_embeddings (${longest}) to ${tokens.length}`,
      'model.max_position_embeddings',
    );
  };
}

/**
 * @param lazily opens the sources at the first step: a stage that makes its own data has none
 * before
 */
export async function createSupervised(
  context: StageContext,
  options: SupervisedOptions,
  completionOnly: boolean,
  lazily = false,
): Promise<Stage> {
  const { ranks, stage } = context;
  const schedule = createSchedule(options.schedule, options.steps);
  const stageSeed = hashString(`${context.seed}:${stage}`);
  const { optimizer, balance, mtpWeight, steps } = options;
  const policy = await context.open({ training: { optimizer, balance, reference: false } });
  const trainsFurther = policy.limits.predictsFurther && mtpWeight > 0;
  const open = () => openSources(context, sourcesOf(options), stageSeed);
  let example = lazily ? null : open();
  const longest = policy.limits.positions;
  const datumOf = createSequences(context, { stageSeed, completionOnly, longest });

  return {
    steps,
    purpose: 'training',
    policy,
    resumableFrom: 0,
    async step(step) {
      example ??= open();
      const data: Datum[] = [];
      for (const slot of slotsOf(ranks, options.batch)) {
        const index = (step - 1) * options.batch + slot;
        data.push(datumOf(example(index, progressAt(step, steps)), index));
      }
      const batch = await sumNamed(ranks, {
        predictions: data.reduce((sum, d) => sum + d.tokens.length - d.predictFrom, 0),
        tokens: data.reduce((sum, d) => sum + d.tokens.length - 1, 0),
      });
      const tokenWeight = 1 / batch.predictions;
      const passed = await policy.pass(data, { name: 'cross-entropy', tokenWeight, mtpWeight });
      const multiplier = schedule(step);
      const { gradientNorm, ...balanced } = await policy.step(multiplier, step);
      const { loss = 0, mtpLoss = 0, modelFlops } = passed;
      const all = await sumNamed(ranks, { loss, mtpLoss, modelFlops });
      const values: Record<string, number> = {
        loss: all.loss,
        grad_norm: gradientNorm,
        ...balanced,
        learning_rate: multiplier * optimizer.lr,
        ...(trainsFurther ? { mtp_loss: all.mtpLoss } : {}),
      };
      return { values, tokensIn: batch.tokens, tokensOut: 0, modelFlops: all.modelFlops };
    },
  };
}
