/**
 * @file A sequence in the batch sampler's hands: where its keys and values lie, and which random
 * numbers are its own.
 */
import { Random } from '../base/random.js';
import type { Distribution } from './choose.js';

/** A guess at a sequence's next token, and what it was drawn from. */
export interface Draft {
  token: number;
  q: Distribution;
}

export interface Sequence {
  prompt: number;
  sample: number;
  slot: number;
  promptSlot: number;
  promptLength: number;
  tokens: number[];
  logProbabilities: number[];
  draft: Draft | null;
  offered: number;
  accepted: number;
}

/** What names a random stream; see `GenerateOptions`. */
export interface Keyed {
  key: readonly (number | string)[];
  promptIndex?: (i: number) => number;
}

/**
 * The random number for a sequence's token number `index`, in [0, 1); another one for each
 * `purpose`.
 */
export function uniformOf(
  { key, promptIndex }: Keyed,
  { prompt, sample }: Sequence,
  index: number,
  ...purpose: string[]
): number {
  return new Random(
    ...key,
    promptIndex ? promptIndex(prompt) : prompt,
    sample,
    index,
    ...purpose,
  ).uniform();
}

/** Rows of a cache: `capacity` prompts, and after them as many completions. */
export class CacheLayout {
  constructor(
    private readonly capacity: number,
    private readonly maxPrompt: number,
    private readonly maxTokens: number,
  ) {}

  get rows(): number {
    return this.capacity * (this.maxPrompt + this.maxTokens);
  }

  /** First row of a prompt. */
  prompt(promptSlot: number): number {
    return promptSlot * this.maxPrompt;
  }

  /** First row of a completion. */
  own(slot: number): number {
    return this.capacity * this.maxPrompt + slot * this.maxTokens;
  }
}
