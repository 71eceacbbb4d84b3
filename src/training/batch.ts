/**
 * @file Packed batches: sequences one after the other, what to predict where, and how much each
 * prediction counts.
 */
import type { Backend, Tensor } from '../tensor/backend.js';

export interface TrainingSequence {
  /** Prompt and completion. */
  tokens: readonly number[];
  /** Tokens from here on are predicted and count; the ones before are only read. At least 1. */
  predictFrom: number;
}

/**
 * The sequence as the formulas of `architecture/flops.ts` want it; `further`: multi-token prediction is
 * trained on it, too.
 */
export function flopsPart(
  { tokens, predictFrom }: TrainingSequence,
  further = false,
): { tokens: number; headTokens: number; furtherTokens?: number } {
  const part = { tokens: tokens.length - 1, headTokens: tokens.length - predictFrom };
  return further ? { ...part, furtherTokens: tokens.length - Math.max(2, predictFrom) } : part;
}

export interface PackedBatch {
  ids: Tensor;
  positions: Tensor;
  segments: Tensor;
  /** i32 [M]: rows whose next token is predicted. */
  rows: Tensor;
  /** i32 [M]: the tokens to predict. */
  targets: Tensor;
  /** M. */
  predictions: number;
  /** N. */
  tokens: number;
}

/**
 * Uploads `sequences` to the backend's stack. The last token of a sequence is only a target, so it
 * is not an input.
 */
export function packBatch(backend: Backend, sequences: readonly TrainingSequence[]): PackedBatch {
  let tokens = 0;
  let predictions = 0;
  for (const { tokens: t, predictFrom } of sequences) {
    tokens += t.length - 1;
    predictions += t.length - predictFrom;
  }
  const ids = new Int32Array(tokens);
  const positions = new Int32Array(tokens);
  const segments = new Int32Array(sequences.length + 1);
  const rows = new Int32Array(predictions);
  const targets = new Int32Array(predictions);
  let n = 0;
  let m = 0;
  for (let s = 0; s < sequences.length; s++) {
    const { tokens: t, predictFrom } = sequences[s];
    for (let i = 0; i < t.length - 1; i++) {
      if (i + 1 >= predictFrom) {
        rows[m] = n;
        targets[m++] = t[i + 1];
      }
      ids[n] = t[i];
      positions[n++] = i;
    }
    segments[s + 1] = n;
  }
  const upload = (data: Int32Array): Tensor => {
    const tensor = backend.allocate('i32', [data.length]);
    backend.write(tensor, data);
    return tensor;
  };
  return {
    ids: upload(ids),
    positions: upload(positions),
    segments: upload(segments),
    rows: upload(rows),
    targets: upload(targets),
    predictions,
    tokens,
  };
}

/** What multi-token prediction needs beside the packed batch. */
export interface FurtherBatch {
  /** i32 [N]: the token after each input. */
  nextIds: Tensor;
  /** i32 [M]: rows for which the token after the next is predicted. */
  rows: Tensor;
  /** i32 [M]: those tokens. */
  targets: Tensor;
  /** M. */
  predictions: number;
}

/** The tokens two ahead, of the same sequences in the same order as `packBatch` has them. */
export function packFurther(
  backend: Backend,
  sequences: readonly TrainingSequence[],
): FurtherBatch {
  const nextIds: number[] = [];
  const rows: number[] = [];
  const targets: number[] = [];
  for (const { tokens, predictFrom } of sequences) {
    for (let i = 0; i < tokens.length - 1; i++) {
      if (i + 2 >= predictFrom && i + 2 < tokens.length) {
        rows.push(nextIds.length);
        targets.push(tokens[i + 2]);
      }
      nextIds.push(tokens[i + 1]);
    }
  }
  const upload = (data: readonly number[]): Tensor => {
    const tensor = backend.allocate('i32', [data.length]);
    backend.write(tensor, data);
    return tensor;
  };
  return {
    nextIds: upload(nextIds),
    rows: upload(rows),
    targets: upload(targets),
    predictions: rows.length,
  };
}

/**
 * Cuts `items` into runs of at most `limit` tokens each (always at least one item a run), in order.
 */
export function microBatches<T>(
  items: readonly T[],
  tokensOf: (item: T) => number,
  limit: number,
): T[][] {
  const out: T[][] = [];
  let current: T[] = [];
  let total = 0;
  for (const item of items) {
    const size = tokensOf(item);
    if (current.length > 0 && total + size > limit) {
      out.push(current);
      current = [];
      total = 0;
    }
    current.push(item);
    total += size;
  }
  if (current.length > 0) out.push(current);
  return out;
}
