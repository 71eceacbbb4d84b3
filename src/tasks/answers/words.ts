/**
 * @file Answers that are words: how they are told from formulas, and what of their spelling counts.
 */

import { numberInWords } from './number-words.js';
import { type Token, textOfToken } from './tokens.js';
import type { Value } from './tree.js';

/** Words as they are compared: without case, articles and marks. */
export function wordsOf(tokens: readonly Token[]): string {
  const text = tokens
    .filter(
      (token, i) =>
        // Braces around upright text.
        !(token.t === 'open' && token.op === '{' && tokens[i + 1]?.t === 'word') &&
        !(token.t === 'close' && token.op === '{' && tokens[i - 1]?.t === 'word'),
    )
    .map((token) => (token.space ? ` ${textOfToken(token)}` : textOfToken(token)))
    .join('');
  return plainWords(text);
}

export function plainWords(text: string): string {
  const plain = text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^["'*_`]+|["'*_`.!?,;:]+$/g, '')
    .trim();
  // Commands of LaTeX differ by case, and spaces between them say nothing.
  if (plain.includes('\\')) return plain.replace(/ /g, '');
  return plain.toLowerCase().replace(/^(?:the|an?) (?=\p{L}{2})/u, '');
}

/** Words and nothing else, not letters that are a product or a name (`xy`, `AB`). */
export function areWords(tokens: readonly Token[]): boolean {
  const words = tokens.filter((token) => token.t === 'run' || token.t === 'word');
  if (words.length === 0) return false;
  if (!tokens.every((token) => token.t !== 'num' && token.t !== 'cmd')) return false;
  if (
    tokens.some(
      (token) => token.t === 'op' && !['-', "'", '.', '&', '"', '!', '?'].includes(token.op),
    )
  )
    return false;
  if (tokens.length > 1) return words.some(({ text }) => text.length > 1);
  const [{ text }] = words;
  return text.length > 1 && !/^(?:[xyz]{2,3}|[A-Z]{2,4}|\$)$/.test(text);
}

export function textValue(tokens: readonly Token[]): Value {
  const text = wordsOf(tokens);
  const value = numberInWords(text);
  if (value !== null)
    return { k: 'formula', node: { k: 'num', value, places: 0 }, unit: null, percent: false };
  return /^(?:no solutions?|empty set|none)$/.test(text) ? { k: 'empty' } : { k: 'text', text };
}
