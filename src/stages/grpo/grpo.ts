/**
 * @file Group relative policy optimization: the reinforcement learning of DeepSeek-R1.
 *
 * A step: take `prompts` problems; sample a group of completions of each; let the task grade them;
 * give each completion its advantage over its group; raise the log-probabilities of the tokens of
 * good ones and lower those of bad ones, within the clip bounds. Nothing else: no value network, no
 * learned reward.
 *
 * Shao et al. 2024 (arXiv:2402.03300); DeepSeek-R1 (Nature 2025, arXiv:2501.12948). Variants by
 * name in `losses.ts`: DAPO (arXiv:2503.14476) with dynamic sampling, Dr. GRPO (arXiv:2503.20783),
 * GSPO (arXiv:2507.18071). What is added to the task's reward is in `shaping.ts`.
 *
 * Groups live whole on one rank, so that advantages need no communication; only totals are summed.
 * The problem of a slot depends on (seed, stage, step, slot, round) and not on how many ranks there
 * are.
 */

import { forwardFlops, trainingFlops } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import { hashString } from '../../base/random.js';
import {
  type Completion,
  createSampler,
  generationFlops,
  MAX_CAPACITY,
} from '../../inference/index.js';
import { createModel } from '../../models/index.js';
import { type Problem, problemAt, type Verdict } from '../../tasks/task.js';
import { Tape } from '../../tensor/tape.js';
import { advantages, hasSignal } from '../../training/advantages.js';
import { aggregations, type BatchTotals } from '../../training/aggregations.js';
import { policyStep, scoreStep } from '../../training/backpropagate.js';
import { createBalancer } from '../../training/balance.js';
import { flopsPart, microBatches, type TrainingSequence } from '../../training/batch.js';
import { grade, partSums, partValues } from '../../training/grade.js';
import { createOptimizer, gradientNormOf } from '../../training/optimizer.js';
import { createSchedule } from '../../training/schedules.js';
import { createLengthLimit, isConsistent, overlongPenalty } from '../../training/shaping.js';
import {
  encodePrompt,
  longestPrompt,
  progressAt,
  type SampleRecord,
  type Stage,
  type StageContext,
  slotsOf,
} from '../../training/stage.js';
import type { GrpoOptions } from './options.js';

/** One prompt with its graded completions. */
interface Group {
  slot: number;
  problem: Problem;
  prompt: number[];
  completions: Completion[];
  texts: string[];
  verdicts: Verdict[];
  /** The task's, with what `shaping.ts` adds. */
  rewards: number[];
  consistent: boolean[];
}

/** Rounds of dynamic sampling that get problem numbers of their own. */
const ROUNDS = 17;

export function createGrpo(context: StageContext, options: GrpoOptions): Stage {
  const { backend, model, tokenizer, task, stage } = context;
  const advantageOf = advantages[options.advantage];
  const aggregate = aggregations[options.aggregation];
  const { ratio, surrogate, clipLow, clipHigh, klCoefficient } = options;
  const policy = { ratio, surrogate, clipLow, clipHigh, klCoefficient };
  const rounds = 1 + options.resample;
  const schedule = createSchedule(options.schedule, options.steps);
  const lengthLimit = createLengthLimit(options.lengthSchedule, options.maxTokens);
  const stageSeed = hashString(`${context.seed}:${stage}`);

  model.store.attachGradients();
  const optimizer = createOptimizer(backend, model.store, options.optimizer);
  const balancer = createBalancer(backend, model, options.balance);
  const state = [...optimizer.state];
  // Under an adapter the reference policy is there already: the model without the adapter.
  const { adapted } = model.store;
  if (adapted && options.replaceReference) {
    const message = `stage ${stage}: replaceReference: under an adapter the reference policy is the base model; leave it out`;
    throw new UserError('usage', message, 'replaceReference');
  }
  const withReference = policy.klCoefficient > 0;
  const reference = withReference && !adapted ? createModel(backend, model.config) : null;
  if (reference) {
    if (backend.ranks.rank === 0) backend.copy({ out: reference.store.flat, a: model.store.flat });
    state.push({ name: 'reference', tensor: reference.store.flat });
  }
  const slots = slotsOf(backend, options.prompts);
  const sampler = createSampler(backend, model, {
    capacity: Math.max(1, Math.min(MAX_CAPACITY, slots.length * options.samples)),
    maxPrompt: longestPrompt(tokenizer, task),
    maxTokens: options.maxTokens,
    eos: tokenizer.special.eos,
    draft: options.draft,
  });

  /**
   * Before a step's rollout, where it is due; a resumed run has the reference from its checkpoint,
   * and the same steps due.
   */
  async function renewReference(step: number): Promise<void> {
    if (
      !reference ||
      !options.replaceReference ||
      step === 1 ||
      (step - 1) % options.replaceReference !== 0
    )
      return;
    if (backend.ranks.rank === 0) backend.copy({ out: reference.store.flat, a: model.store.flat });
    await backend.ranks.barrier();
  }

  /**
   * Samples and grades one group for each slot; slots without signal try again, up to `rounds`
   * times.
   */
  async function rollout(step: number): Promise<{ groups: Group[]; sampled: Group[] }> {
    const chosen = new Map<number, Group>();
    const sampled: Group[] = [];
    const maxTokens = lengthLimit(step);
    let open = slots;
    for (let round = 0; round < rounds && open.length > 0; round++) {
      const progress = progressAt(step, options.steps);
      const problems = open.map((slot) =>
        problemAt(
          task,
          stageSeed,
          'train',
          ((step - 1) * options.prompts + slot) * ROUNDS + round,
          progress,
        ),
      );
      const prompts = problems.map((problem) => encodePrompt(tokenizer, problem));
      const pending = open;
      const completions = await sampler.generate(prompts, {
        samples: options.samples,
        maxTokens,
        temperature: options.temperature,
        key: [stageSeed, 'rollout', step, round],
        promptIndex: (i) => pending[i],
      });
      const verdicts = await Promise.all(
        completions.map((c) => grade(task, tokenizer, problems[c.prompt], c)),
      );
      for (let i = 0; i < pending.length; i++) {
        const own = completions.slice(i * options.samples, (i + 1) * options.samples);
        const graded = verdicts.slice(i * options.samples, (i + 1) * options.samples);
        const consistent = graded.map(({ text }, k) => own[k].stop === 'eos' && isConsistent(text));
        const group: Group = {
          slot: pending[i],
          problem: problems[i],
          prompt: prompts[i],
          completions: own,
          texts: graded.map((g) => g.text),
          verdicts: graded.map((g) => g.verdict),
          rewards: graded.map(({ verdict }, k) => {
            const { tokens, stop } = own[k];
            const tooLong = options.overlong
              ? overlongPenalty(options.overlong, tokens.length, stop === 'length', maxTokens)
              : 0;
            return verdict.reward + (consistent[k] ? options.consistency : 0) - tooLong;
          }),
          consistent,
        };
        sampled.push(group);
        if (rounds === 1 || hasSignal(group.rewards)) chosen.set(group.slot, group);
      }
      open = slots.filter((slot) => !chosen.has(slot));
    }
    return { groups: slots.flatMap((slot) => chosen.get(slot) ?? []), sampled };
  }

  interface Trained {
    sequence: TrainingSequence;
    completion: Completion;
    advantage: number;
    weight: number;
  }

  /**
   * Which update of a step a slot's group belongs to: a matter of the slot alone, whatever the
   * number of ranks.
   */
  const minibatchOf = (slot: number): number =>
    Math.floor((slot * options.minibatches) / options.prompts);

  /** Of the latest update. */
  let balance: Record<string, number> = {};

  /** One optimizer update on this rank's `groups`. Returns sums over this rank's tokens. */
  async function learn(groups: readonly Group[], step: number, update: number) {
    const counts = (c: Completion): boolean => !(options.maskTruncated && c.stop === 'length');
    const lengths = groups.map((group) =>
      group.completions.map((c) => (counts(c) ? c.tokens.length : 0)),
    );
    const [sequences, tokens, groupCount] = await backend.ranks.sum([
      groups.length * options.samples,
      lengths.flat().reduce((sum, length) => sum + length, 0),
      groups.length,
    ]);
    const totals: BatchTotals = { sequences, tokens, groups: groupCount };
    const items: Trained[] = groups
      .flatMap((group, g) => {
        const advantage = advantageOf(group.rewards);
        const weight = aggregate(lengths[g], totals, options.maxTokens);
        return group.completions.map((completion, i) => ({
          sequence: {
            tokens: [...group.prompt, ...completion.tokens],
            predictFrom: group.prompt.length,
          },
          completion,
          advantage: advantage[i],
          weight: weight[i],
        }));
      })
      .filter(({ completion }) => counts(completion));
    const sums = {
      loss: 0,
      clippedTokens: 0,
      klWeighted: 0,
      tokens: 0,
      absoluteLogRatio: 0,
      entropy: 0,
      flops: 0,
    };
    model.store.resetGradients();
    for (const part of microBatches(
      items,
      (item) => item.sequence.tokens.length,
      context.microBatchTokens,
    )) {
      const perToken = (value: (item: Trained) => number): Float32Array =>
        Float32Array.from(
          part.flatMap((item) =>
            new Array<number>(item.completion.tokens.length).fill(value(item)),
          ),
        );
      const packed = part.map((item) => item.sequence);
      const old = Float32Array.from(part.flatMap((item) => item.completion.logProbabilities));
      const score = () =>
        scoreStep(new Tape(backend, false), reference ?? model, packed, options.temperature);
      const referenceScores = withReference
        ? await (adapted ? model.store.withoutAdapter(score) : score())
        : null;
      const metrics = await policyStep(
        new Tape(backend, true, context.recompute),
        model,
        packed,
        {
          old,
          reference: referenceScores,
          advantages: perToken((i) => i.advantage),
          weights: perToken((i) => i.weight),
        },
        options.temperature,
        { ...policy, balance: balancer?.input(1 / Math.max(1, tokens)) },
      );
      for (const name of Object.keys(metrics) as (keyof typeof metrics)[])
        sums[name] += metrics[name];
      for (const sequence of packed) {
        sums.flops += trainingFlops(
          model.architecture,
          flopsPart(sequence),
          model.store.adapterSize,
        );
        if (withReference) sums.flops += forwardFlops(model.architecture, flopsPart(sequence));
      }
    }
    const squares = await optimizer.update(
      schedule(step),
      (step - 1) * options.minibatches + update,
    );
    const gradientNorm = await gradientNormOf(backend, squares);
    balance = (await balancer?.endStep()) ?? {};
    return { ...sums, gradientNorm };
  }

  return {
    steps: options.steps,
    patience: options.patience,
    purpose: 'training',
    state,
    resumableFrom: 0,
    async step(step) {
      await renewReference(step);
      const { groups, sampled } = await rollout(step);

      const learned = {
        loss: 0,
        clippedTokens: 0,
        klWeighted: 0,
        tokens: 0,
        absoluteLogRatio: 0,
        entropy: 0,
        flops: 0,
      };
      let gradientNorm = 0;
      // The first update's policy is still the one that sampled: what differs is how the two
      // programs computed it.
      const fresh = { absoluteLogRatio: 0, tokens: 0 };
      for (let m = 0; m < options.minibatches; m++) {
        const part = groups.filter((group) => minibatchOf(group.slot) === m);
        const result = await learn(part, step, m + 1);
        for (const name of Object.keys(learned) as (keyof typeof learned)[])
          learned[name] += result[name];
        gradientNorm = Math.max(gradientNorm, result.gradientNorm);
        if (m === 0)
          Object.assign(fresh, {
            absoluteLogRatio: result.absoluteLogRatio,
            tokens: result.tokens,
          });
      }

      let promptTokens = 0;
      let completionTokens = 0;
      let flops = learned.flops;
      for (const group of sampled) {
        promptTokens += group.prompt.length;
        const lengths = group.completions.map((c) => c.tokens.length);
        completionTokens += lengths.reduce((sum, length) => sum + length, 0);
        flops += generationFlops(model.architecture, group.prompt.length, lengths);
      }
      const verdicts = sampled.flatMap((group) => group.verdicts);
      const completions = sampled.flatMap((group) => group.completions);
      const trainedTokens = groups.reduce(
        (sum, g) =>
          sum + g.completions.reduce((s, c) => s + g.prompt.length + c.tokens.length - 1, 0),
        0,
      );
      const [
        count,
        reward,
        correct,
        wellFormed,
        truncated,
        silent,
        promptSum,
        completionSum,
        trained,
        flopSum,
        ...rest
      ] = await backend.ranks.sum([
        verdicts.length,
        sampled.reduce((sum, group) => sum + group.rewards.reduce((s, r) => s + r, 0), 0),
        verdicts.filter((v) => v.correct).length,
        verdicts.filter((v) => v.wellFormed).length,
        completions.filter((c) => c.stop === 'length').length,
        sampled.filter((group) => !hasSignal(group.rewards)).length,
        promptTokens,
        completionTokens,
        trainedTokens,
        flops,
        learned.loss,
        learned.clippedTokens,
        learned.klWeighted,
        learned.tokens,
        learned.absoluteLogRatio,
        learned.entropy,
        fresh.absoluteLogRatio,
        fresh.tokens,
        sampled.reduce((sum, group) => sum + group.consistent.filter(Boolean).length, 0),
        completions.reduce((sum, c) => sum + (c.drafts?.offered ?? 0), 0),
        completions.reduce((sum, c) => sum + (c.drafts?.accepted ?? 0), 0),
        ...partSums(
          task,
          sampled.flatMap((group) =>
            group.verdicts.map((verdict) => ({ problem: group.problem, verdict })),
          ),
        ),
      ]);
      const [
        loss,
        clippedTokens,
        klWeighted,
        policyTokens,
        absoluteLogRatio,
        entropy,
        freshLogRatio,
        freshTokens,
      ] = rest;
      const [consistent, offered, accepted] = rest.slice(8);
      const parts = rest.slice(11);
      const perToken = (value: number): number => (policyTokens > 0 ? value / policyTokens : 0);
      const values: Record<string, number> = {
        reward: reward / count,
        accuracy: correct / count,
        length: completionSum / count,
        loss: loss / options.minibatches,
        gradientNorm,
        learningRate: schedule(step) * options.optimizer.lr,
        entropy: perToken(entropy),
        clipFraction: perToken(clippedTokens),
        policyShift: perToken(absoluteLogRatio),
        sampleMismatch: freshTokens > 0 ? freshLogRatio / freshTokens : 0,
        wellFormed: wellFormed / count,
        truncated: truncated / count,
        silentGroups: (silent * options.samples) / count,
        consistent: consistent / count,
      };
      Object.assign(values, balance);
      if (options.lengthSchedule) values.maxTokens = lengthLimit(step);
      if (options.draft) values.draftAcceptance = offered > 0 ? accepted / offered : 0;
      if (withReference) values.klWeighted = klWeighted / options.minibatches;
      Object.assign(values, partValues(task, parts));
      const shown = sampled[0];
      const samples: SampleRecord[] = shown
        ? shown.completions.map((completion, i) => ({
            prompt: shown.problem.prompt,
            completion: shown.texts[i],
            reward: shown.rewards[i],
            correct: shown.verdicts[i].correct,
            reason: shown.verdicts[i].reason,
            tokens: completion.tokens.length,
          }))
        : [];
      return {
        values,
        tokensIn: promptSum + trained,
        tokensOut: completionSum,
        modelFlops: flopSum,
        samples,
        noSignal:
          silent * options.samples === count && correct === 0
            ? `none of ${count} completions was right and no group had an advantage; ${truncated} were cut off at ${lengthLimit(step)} tokens`
            : undefined,
      };
    },
  };
}
