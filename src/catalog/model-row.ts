/** @file What the catalogue knows of a published model. */

export interface ModelRow {
  name: string;
  /** Other spellings; compared after lower-casing and removing punctuation (see `modelKey`). */
  aliases: readonly string[];
  config: Readonly<Record<string, unknown>>;
  /** Year and month in which its weights were published. */
  released?: string;
  /** Tokens of pretraining, and the sequence length of most of it. */
  trainedTokens?: number;
  sequenceTokens?: number;
  /** Sequences a step in most of pretraining. */
  globalBatch?: number;
  source: string;
}
