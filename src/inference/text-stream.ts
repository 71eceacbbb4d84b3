/**
 * @file From tokens to text as they come: whole characters only, and an end where a stop string
 * begins.
 */
import type { Tokenizer } from '../tokenizers/tokenizer.js';

/** A character that takes several tokens decodes to this until the last of them is there. */
const INCOMPLETE = '\uFFFD';

/**
 * Text of tokens, one after the other. Some tokenizers write a token differently by what comes
 * before it, so the text of a token is what it adds to the text of the few before it.
 */
export class TextStream {
  private ids: number[] = [];
  private read = 0;

  constructor(private readonly tokenizer: Pick<Tokenizer, 'decode'>) {}

  /** What a token adds; nothing as long as a character is not whole. */
  push(id: number): string {
    this.ids.push(id);
    const text = this.tokenizer.decode(this.ids);
    if (text.endsWith(INCOMPLETE)) return '';
    return this.take(text);
  }

  /** What is left when no more tokens come. */
  end(): string {
    return this.take(this.tokenizer.decode(this.ids));
  }

  private take(text: string): string {
    const before = this.tokenizer.decode(this.ids.slice(0, this.read));
    this.ids = this.ids.slice(this.read);
    this.read = this.ids.length;
    return text.slice(before.length);
  }
}

/**
 * Looks for stop strings in text that comes in pieces. What may be the beginning of one is kept
 * back.
 */
export class StopFinder {
  private held = '';

  constructor(private readonly stops: readonly string[]) {}

  /** Text that is safe to show, and whether a stop string was found; nothing after it is shown. */
  push(text: string): { text: string; stopped: boolean } {
    this.held += text;
    let first = -1;
    for (const stop of this.stops) {
      const at = this.held.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
      const shown = this.held.slice(0, first);
      this.held = '';
      return { text: shown, stopped: true };
    }
    let keep = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, this.held.length); length > keep; length--) {
        if (stop.startsWith(this.held.slice(this.held.length - length))) keep = length;
      }
    }
    const shown = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(shown.length);
    return { text: shown, stopped: false };
  }

  /** What was kept back, when no more comes. */
  end(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }
}
