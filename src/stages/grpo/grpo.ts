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
 */
import { MAX_CAPACITY } from '../../inference/index.js';
import { hasSignal } from '../../training/advantages.js';
import { partSums, partValues } from '../../training/grade.js';
import { createSchedule } from '../../training/schedules.js';
import { createLengthLimit } from '../../training/shaping.js';
import { longestPrompt, type SampleRecord, slotsOf } from '../../training/stage.js';
import { sumAll, sumNamed } from '../../training/sums.js';
import type { Stage, StageContext, StepResult } from '../stage.js';
import type { GrpoOptions } from './options.js';
import { createRollout, type Group, type Rolled } from './rollout.js';
import { createUpdates, type Learned } from './update.js';

export async function createGrpo(context: StageContext, options: GrpoOptions): Promise<Stage> {
  const { tokenizer, task } = context;
  const { steps, samples, maxTokens, draft, optimizer, balance, replaceReference } = options;
  const schedule = createSchedule(options.schedule, steps);
  const slots = slotsOf(context.ranks, options.prompts);
  const policy = await context.open({
    training: { optimizer, balance, reference: options.klCoefficient > 0 },
    sampling: {
      capacity: Math.min(MAX_CAPACITY, slots.length * samples),
      maxPrompt: longestPrompt(tokenizer, task),
      maxTokens,
      draft,
    },
  });
  const rollout = createRollout(context, options, policy);
  const update = createUpdates(context, options, policy, schedule);
  const report = createReport(context, options);
  return {
    steps,
    patience: options.patience,
    purpose: 'training',
    policy,
    resumableFrom: 0,
    async step(step) {
      // A resumed run has the reference policy from its checkpoint, and the same steps due.
      if (replaceReference && step > 1 && (step - 1) % replaceReference === 0)
        await policy.renewReference();
      const rolled = await rollout(step);
      const learned = await update(rolled.groups, step);
      return report(step, schedule(step), rolled, learned);
    },
  };
}

const sum = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((all, value) => all + of(value), 0);

/** What a rank adds to a step's totals. */
function countsOf({ sampled, modelFlops }: Rolled, { sums, tokensIn, first }: Learned) {
  const verdicts = sampled.flatMap((group) => group.verdicts);
  const completions = sampled.flatMap((group) => group.completions);
  return {
    completions: completions.length,
    reward: sum(sampled, ({ rewards }) => sum(rewards, (r) => r)),
    correct: verdicts.filter(({ correct }) => correct).length,
    wellFormed: verdicts.filter(({ wellFormed }) => wellFormed).length,
    truncated: completions.filter(({ stop }) => stop === 'length').length,
    consistent: sum(sampled, ({ consistent }) => consistent.filter(Boolean).length),
    groups: sampled.length,
    zeroAdvantageGroups: sampled.filter(({ rewards }) => !hasSignal(rewards)).length,
    promptTokens: sum(sampled, ({ prompt }) => prompt.length),
    completionTokens: sum(completions, ({ tokens }) => tokens.length),
    trainedTokens: tokensIn,
    modelFlops: modelFlops + (sums.modelFlops ?? 0),
    loss: sums.loss ?? 0,
    clippedTokens: sums.clippedTokens ?? 0,
    klWeighted: sums.klWeighted ?? 0,
    policyTokens: sums.tokens ?? 0,
    absoluteLogRatio: sums.absoluteLogRatio ?? 0,
    entropy: sums.entropy ?? 0,
    firstLogRatio: first.absoluteLogRatio,
    firstTokens: first.tokens,
    draftsOffered: sum(completions, ({ drafts }) => drafts?.offered ?? 0),
    draftsAccepted: sum(completions, ({ drafts }) => drafts?.accepted ?? 0),
  };
}

const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

/** What a step says of itself, from the sums over all ranks. */
function createReport({ ranks, task }: StageContext, options: GrpoOptions) {
  const { minibatches, optimizer } = options;
  const lengthLimit = createLengthLimit(options.lengthSchedule, options.maxTokens);
  return async (
    step: number,
    multiplier: number,
    rolled: Rolled,
    learned: Learned,
  ): Promise<StepResult> => {
    const all = await sumNamed(ranks, countsOf(rolled, learned));
    const graded = rolled.sampled.flatMap(({ problem, verdicts }) =>
      verdicts.map((verdict) => ({ problem, verdict })),
    );
    const parts = await sumAll(ranks, partSums(task, graded));
    const { completions, policyTokens } = all;
    const values: Record<string, number> = {
      reward: all.reward / completions,
      accuracy: all.correct / completions,
      'completions/mean_length': all.completionTokens / completions,
      loss: all.loss / minibatches,
      grad_norm: learned.gradientNorm,
      learning_rate: multiplier * optimizer.lr,
      entropy: ratio(all.entropy, policyTokens),
      clip_ratio: ratio(all.clippedTokens, policyTokens),
      abs_log_ratio: ratio(all.absoluteLogRatio, policyTokens),
      'sampling/sampling_logp_difference/mean': ratio(all.firstLogRatio, all.firstTokens),
      well_formed: all.wellFormed / completions,
      'completions/clipped_ratio': all.truncated / completions,
      frac_reward_zero_std: all.zeroAdvantageGroups / all.groups,
      consistent: all.consistent / completions,
      ...learned.balance,
      ...(options.lengthSchedule ? { max_completion_length: lengthLimit(step) } : {}),
      ...(options.draft
        ? { draft_acceptance_rate: ratio(all.draftsAccepted, all.draftsOffered) }
        : {}),
      ...(options.klCoefficient > 0 ? { kl_loss: all.klWeighted / minibatches } : {}),
      ...partValues(task, parts),
    };
    const dead = all.zeroAdvantageGroups === all.groups && all.correct === 0;
    return {
      values,
      tokensIn: all.promptTokens + all.trainedTokens,
      tokensOut: all.completionTokens,
      modelFlops: all.modelFlops,
      samples: recordsOf(rolled.sampled[0]),
      noSignal: dead
        ? `none of ${completions} completions was right and no group had an advantage; ${all.truncated} were cut off at ${lengthLimit(step)} tokens`
        : undefined,
    };
  };
}

/** The first group of a step, for people to read. */
const recordsOf = (group: Group | undefined): SampleRecord[] =>
  group === undefined
    ? []
    : group.completions.map(({ tokens }, i) => ({
        prompt: group.problem.prompt,
        completion: group.texts[i],
        reward: group.rewards[i],
        correct: group.verdicts[i].correct,
        reason: group.verdicts[i].reason,
        tokens: tokens.length,
      }));
