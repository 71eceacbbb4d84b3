/**
 * @file Advantages: how much better a completion did than the rest of its group.
 *
 * GRPO (Shao et al. 2024, arXiv:2402.03300, section 4.1.2) has no value network: the group's own
 * mean reward is the baseline. The paper divides by the group's standard deviation and does not say
 * which one; we take the unbiased one (divided by G − 1) plus 1e-4, as TRL does (torch's `std`), so
 * that a recipe moved here from there learns at the same rate. With rewards of 0 and 1 and G = 8
 * the population's would make every advantage 7% larger.
 *
 * Dr. GRPO (Liu et al. 2025, arXiv:2503.20783) leaves the division out: it gives questions that are
 * almost always, or almost never, solved a larger weight than those in between.
 */

/**
 * One group's rewards in, one advantage for each completion out. An empty group gives an empty
 * list.
 */
export type Advantage = (rewards: readonly number[]) => number[];

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Added to the standard deviation, so that a group of equal rewards gives zeros. */
export const STD_EPSILON = 1e-4;

function groupMean(rewards: readonly number[]): number[] {
  const mean = meanOf(rewards);
  return rewards.map((reward) => reward - mean);
}

function groupStd(rewards: readonly number[]): number[] {
  const centred = groupMean(rewards);
  // A group of one has no spread; its only advantage is 0 whatever it is divided by.
  const variance =
    centred.reduce((sum, value) => sum + value * value, 0) / Math.max(1, rewards.length - 1);
  return centred.map((value) => value / (Math.sqrt(variance) + STD_EPSILON));
}

export const advantages: Record<string, Advantage> = {
  /** (r − mean) / (std + 1e-4), std unbiased: GRPO. */
  'group-std': groupStd,
  /** r − mean: Dr. GRPO. */
  'group-mean': groupMean,
};

/**
 * False when all rewards of a group are equal: such a group has no gradient. DAPO's dynamic
 * sampling (Yu et al. 2025, arXiv:2503.14476, section 3.2) drops it and samples another.
 */
export function hasSignal(rewards: readonly number[]): boolean {
  return rewards.some((reward) => reward !== rewards[0]);
}
