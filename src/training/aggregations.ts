/**
 * @file Aggregations: what the sum of token losses is divided by.
 *
 * All variants of GRPO sum the same token losses; they differ in the weight of a token, which
 * depends on lengths alone. So an aggregation gives one weight for each completion, the same for
 * all its tokens, and the device multiplies.
 *
 * The global batch is what one optimizer step sees, over all ranks: each rank holds some of its
 * groups, whole, and is told the totals. Weighted losses then add up over ranks with no further
 * division.
 *
 * | name           | weight of a token                        | source                                              |
 * |----------------|------------------------------------------|-----------------------------------------------------|
 * | `grpo`         | 1 / (tokens of its completion × sequences) | Shao et al. 2024, eq. 3                           |
 * | `dapo`         | 1 / (tokens of its group × groups)       | Yu et al. 2025, eq. 8                               |
 * | `batch-tokens` | 1 / tokens of the global batch           | TRL's `dapo`                                        |
 * | `dr_grpo`      | 1 / (longest allowed completion × sequences) | Liu et al. 2025, section 3.2; the constant is TRL's |
 *
 * `grpo` gives a long wrong answer a smaller penalty per token than a short one, so wrong answers
 * grow; the others do not.
 */

/** Of the global batch: over all ranks, for one optimizer step. */
export interface BatchTotals {
  /** Completions. */
  sequences: number;
  /** Completion tokens that count in the loss. */
  tokens: number;
  /** Groups (prompts). */
  groups: number;
}

/**
 * @param lengths completion tokens that count in the loss, for each completion of one group
 * @param maxTokens the longest completion that the sampler may give
 * @returns the weight of every token of each completion; 0 for a completion without tokens
 */
export type Aggregation = (
  lengths: readonly number[],
  totals: BatchTotals,
  maxTokens: number,
) => number[];

const each = (lengths: readonly number[], weight: (length: number) => number): number[] =>
  lengths.map((length) => (length > 0 ? weight(length) : 0));

export const aggregations: Record<string, Aggregation> = {
  grpo: (lengths, totals) => each(lengths, (length) => 1 / (length * totals.sequences)),
  dapo: (lengths, totals) => {
    const groupTokens = lengths.reduce((sum, length) => sum + length, 0);
    return each(lengths, () => 1 / (groupTokens * totals.groups));
  },
  'batch-tokens': (lengths, totals) => each(lengths, () => 1 / totals.tokens),
  dr_grpo: (lengths, totals, maxTokens) => each(lengths, () => 1 / (maxTokens * totals.sequences)),
};
