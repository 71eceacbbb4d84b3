/**
 * @file The interface between a stage and the model that it samples from and trains: numbers and
 * tokens go through it, tensors do not.
 *
 * A stage is written once over this interface. The local engine is one implementation
 * (`local/local-policy.ts`); a client of a training server can be another, so everything here can
 * cross a network: lists of numbers, named losses, names of files. Ranks of one run call every
 * method together, each with its own share of the data.
 */
import type { BalanceOptions } from '../training/balance.js';
import type { PolicyLossForm } from '../training/losses.js';
import type { OptimizerSpec } from '../training/optimizer.js';

/** One sequence to learn from. Lists have one number for each predicted token. */
export interface Datum {
  /** Prompt and completion. */
  tokens: readonly number[];
  /** Tokens from here on are predicted and count; the ones before are only read. At least 1. */
  predictFrom: number;
  /** Log-probabilities (nats) under the policy that sampled the tokens. */
  old?: ArrayLike<number>;
  /** Log-probabilities under the reference policy, for a KL term. */
  reference?: ArrayLike<number>;
  /** One number stands for all predicted tokens. */
  advantages?: ArrayLike<number> | number;
  /** What each predicted token counts; default 1. */
  weights?: ArrayLike<number> | number;
}

/** A loss by its name. `tokenWeight`: what a token counts, usually 1 / tokens of the batch. */
export type Loss =
  | { name: 'cross-entropy'; tokenWeight: number; mtpWeight?: number }
  | ({ name: 'policy'; tokenWeight: number; temperature: number } & PolicyLossForm);

export interface Completion {
  /** Index into the prompts given. */
  prompt: number;
  /** 0 … samples − 1. */
  sample: number;
  /** Generated tokens, the end-of-sequence token included when there is one. */
  tokens: number[];
  /** Log-probability (nats) of each token under the tempered distribution that drew it. */
  logProbabilities: number[];
  stop: 'eos' | 'length';
  /** With a draft: how many tokens it guessed, and how many of them stood. */
  drafts?: { offered: number; accepted: number };
}

export interface SampleRequest {
  prompts: readonly (readonly number[])[];
  /** Completions of each prompt. */
  samples: number;
  /** Max tokens of a completion. */
  maxTokens: number;
  /** 0 takes the most likely token. */
  temperature: number;
  /** Names the random stream, for example [seed, stage, step]. */
  key: readonly (number | string)[];
  /** Number of prompt i in the key; lets ranks that hold parts of a batch draw what one would. */
  promptIndex?: (i: number) => number;
  /** Sees each completion as it ends. */
  onCompletion?: (completion: Completion) => void;
}

/** What a stage will ask of a policy, so that room is made, or a refusal comes before step 1. */
export interface Needs {
  /** Sampling, in as many sequences at once as these allow. */
  sampling?: {
    /** Sequences at once at most. */
    capacity: number;
    maxPrompt: number;
    maxTokens: number;
    draft?: 'mtp';
    /** Most bytes for keys and values, where capacity is to give way. */
    maxCacheBytes?: number;
  };
  /** Passes and steps. */
  training?: {
    optimizer: OptimizerSpec;
    balance: BalanceOptions;
    /** A KL term against a reference policy: the policy as it is now, or without its adapter. */
    reference: boolean;
  };
}

/** What a policy can do. A stage asks before its first step. */
export interface Limits {
  /** Longest sequence, tokens. */
  positions: number;
  /** It has a module of multi-token prediction, which can be trained and can draft. */
  predictsFurther: boolean;
  /** Names of losses that `pass` takes. */
  losses: readonly Loss['name'][];
  /** The reference policy can become the policy as it is (`renewReference`). */
  renewsReference: boolean;
}

/** Numbers by name, summed over this rank's data. */
export type Sums = Record<string, number>;

export interface Policy {
  readonly limits: Limits;
  /** Completions in the order (prompt, sample), and the model FLOPs that they took. */
  sample(request: SampleRequest): Promise<{ completions: Completion[]; modelFlops: number }>;
  /** Log-probabilities of what each datum predicts, without derivatives. */
  score(
    data: readonly Datum[],
    options: { of: 'policy' | 'reference'; temperature: number },
  ): Promise<{ logProbabilities: ArrayLike<number>[]; modelFlops: number }>;
  /**
   * Forward and backward passes. Gradients add up over calls until `step`.
   * @returns `loss` and the metrics of the named loss, and `modelFlops`
   */
  pass(data: readonly Datum[], loss: Loss): Promise<Sums>;
  /**
   * One optimizer update with the gradients of all ranks.
   * @param multiplier of the learning rate
   * @param update its number, from 1
   * @returns `gradientNorm`, and how a mixture of experts was balanced
   */
  step(multiplier: number, update: number): Promise<Sums>;
  /** The reference policy becomes the policy as it is now. */
  renewReference(): Promise<void>;
  /** Writes everything that a stage needs to go on; null, or why it must not be written. */
  save(write: SaveTarget): Promise<string | null>;
  /** Reads what `save` wrote of the training state: moments, reference policy. */
  load(folder: string): Promise<void>;
  /** Writes the model for its users, in a folder; its bytes. */
  export(folder: string): Promise<number>;
  /** Gives back the room that was made for `Needs`. */
  close(): void;
}

/** Where a policy's state goes: a snapshot of a run. */
export interface SaveTarget {
  folder: string;
  /** The run's own state, to be written beside the policy's. */
  state: Record<string, unknown>;
  /** Called once the state is known to be sound, before it is written. */
  before?: () => Promise<void>;
  written(file: { bytes: number; sha256: string }): void;
}
