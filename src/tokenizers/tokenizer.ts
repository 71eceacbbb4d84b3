/**
 * @file What a tokenizer is to the rest of Reckoner.
 */

/** Tokens with a role. `<think>` and its kin are single tokens so that a format is one id, not a guess. */
export interface SpecialTokens {
  pad: number;
  bos: number;
  eos: number;
  think: number;
  endThink: number;
  answer: number;
  endAnswer: number;
}

export interface Tokenizer {
  readonly vocabularySize: number;
  readonly special: SpecialTokens;
  /**
   * Token ids of `text`. Special tokens written out (`<think>`) become their single id. No BOS is added.
   * @throws UserError (data) when a character is not in the vocabulary; the message names it.
   */
  encode(text: string): number[];
  /** The text of `ids`; special tokens are written out, except pad, bos and eos, which are dropped. */
  decode(ids: readonly number[]): string;
  /** Hugging Face `tokenizer.json`, loadable by the `tokenizers` library. */
  toJSON(): Record<string, unknown>;
}

/**
 * For a model with more ids than the tokenizer has tokens, as released models have to round their sizes up: those ids may be drawn, as in
 * other programs (a trained model gives them next to no probability), and spell nothing.
 */
export function withUnusedIds(tokenizer: Tokenizer): Tokenizer {
  return { ...tokenizer, decode: (ids) => tokenizer.decode(ids.filter((id) => id < tokenizer.vocabularySize)) };
}
