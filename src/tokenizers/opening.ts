/**
 * @file Whether a prompt ends in `<think>`, so that the completion begins inside its thinking: chat
 * templates of R1's distilled models, Qwen3's thinking ones and GLM's end so.
 */
import type { Tokenizer } from './tokenizer.js';

const templates = new WeakMap<Tokenizer, boolean>();

/** Whether text that a model sees ends in an open `<think>`. */
export const endsInThinking = (text: string): boolean => /<think>\s*$/.test(text);

/** The same of a rendered prompt's tokens. */
export function tokensOpenThinking(tokenizer: Tokenizer, prompt: readonly number[]): boolean {
  return ['<think>', '<think>\n', '<think>\n\n'].some((ending) => {
    try {
      const ids = tokenizer.encode(ending);
      return ids.length <= prompt.length && ids.every((id, i) => id === prompt.at(i - ids.length));
    } catch {
      // Its vocabulary has no such characters.
      return false;
    }
  });
}

/** Whether a completion of this prompt begins inside its thinking. */
export function opensThinking(tokenizer: Tokenizer, prompt: string): boolean {
  if (endsInThinking(prompt)) return true;
  let template = templates.get(tokenizer);
  if (template === undefined) {
    template = tokensOpenThinking(tokenizer, tokenizer.prompt(''));
    templates.set(tokenizer, template);
  }
  return template;
}
