/**
 * @file What a tokenizer is to the rest of Reckoner.
 */
import type { ChatMessage, TemplateSwitches } from './chat-template.js';

/** Tokens with a role; null where a tokenizer has none. */
export interface SpecialTokens {
  pad: number | null;
  /** Put before every text. */
  bos: number | null;
  /** Ends a completion. */
  eos: number;
}

/** A plain object: spreading it makes a tokenizer that differs in what is overridden. */
export interface Tokenizer {
  readonly vocabularySize: number;
  readonly special: SpecialTokens;
  /** Every token after which a completion is over; `special.eos` is the first. */
  readonly stops: readonly number[];
  /**
   * Token ids of `text`. Special tokens written out (`<think>`) become their single id. No BOS is
   * added.
   * @throws UserError (data) when a character is not in the vocabulary; the message names it.
   */
  encode(text: string): number[];
  /**
   * The text of `ids`; special tokens are written out, except pad, bos and eos, which are dropped.
   */
  decode(ids: readonly number[]): string;
  /**
   * The bytes that a token writes after others, also where they are a part of a character; null for
   * one that writes none. Without it a token writes what `decode` says of it alone.
   */
  spell?(id: number): Uint8Array | null;
  /**
   * What a completion of this prompt follows: by the chat template where there is one, else BOS
   * (where there is one) and the text.
   */
  prompt(text: string): number[];
  /** What the answer to a conversation follows, by the chat template; null where there is none. */
  readonly chat:
    | ((messages: readonly ChatMessage[], switches?: TemplateSwitches) => number[])
    | null;
  /** Hugging Face `tokenizer.json`, loadable by the `tokenizers` library. */
  toJSON(): Record<string, unknown>;
}

/** A prompt without a template. */
export function plainPrompt({ bos }: SpecialTokens, text: readonly number[]): number[] {
  return bos === null ? [...text] : [bos, ...text];
}

/**
 * For a model with more ids than the tokenizer has tokens, as released models have to round their
 * sizes up: those ids may be drawn, as in other programs (a trained model gives them next to no
 * probability), and spell nothing.
 */
export function withUnusedIds(tokenizer: Tokenizer): Tokenizer {
  return {
    ...tokenizer,
    decode: (ids) => tokenizer.decode(ids.filter((id) => id < tokenizer.vocabularySize)),
    spell:
      tokenizer.spell &&
      ((id) => (id < tokenizer.vocabularySize ? (tokenizer.spell?.(id) ?? null) : null)),
  };
}
