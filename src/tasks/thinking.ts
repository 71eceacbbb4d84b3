/**
 * @file Where the thinking of a completion ends and its answer begins: `<think>…</think>` and
 * `<answer>…</answer>`, in a whole text or in one that is still coming.
 *
 * It is the one reader of these tags, for tasks, `serve` (`reasoning_content`), `chat` and the
 * studio. It imports nothing, so that a page can have it.
 */

export type Part = 'thinking' | 'text' | 'answer';

/** Tags, by the part that follows them. */
const TAGS: Record<string, Part> = {
  '<think>': 'thinking',
  '</think>': 'text',
  '<answer>': 'answer',
  '</answer>': 'text',
};
const NAMES = Object.keys(TAGS);
const [THINK, END_THINK] = NAMES;

export interface Piece {
  part: Part;
  text: string;
}

/** Reads a text as it comes. The tags belong to no part. */
export class PartReader {
  /** Where the next text belongs. */
  part: Part;
  private held = '';

  /** @param opened the prompt ended in `<think>`: the text begins inside the thinking */
  constructor(opened = false) {
    this.part = opened ? 'thinking' : 'text';
  }

  /** The pieces that `text` completes; what may be the beginning of a tag is kept back. */
  push(text: string): Piece[] {
    this.held += text;
    const pieces: Piece[] = [];
    const put = (piece: string): void => {
      const last = pieces.at(-1);
      if (last?.part === this.part) last.text += piece;
      else if (piece !== '') pieces.push({ part: this.part, text: piece });
    };
    while (this.held !== '') {
      const open = this.held.indexOf('<');
      if (open !== 0) {
        put(open < 0 ? this.held : this.held.slice(0, open));
        this.held = open < 0 ? '' : this.held.slice(open);
        continue;
      }
      const tag = NAMES.find((name) => this.held.startsWith(name));
      if (tag !== undefined) {
        this.part = TAGS[tag];
        this.held = this.held.slice(tag.length);
      } else if (NAMES.some((name) => name.startsWith(this.held))) {
        break;
      } else {
        put('<');
        this.held = this.held.slice(1);
      }
    }
    return pieces;
  }

  /** What was kept back, when no more comes. */
  end(): Piece[] {
    const text = this.held;
    this.held = '';
    return text === '' ? [] : [{ part: this.part, text }];
  }
}

/**
 * Thinking and answer of a text, also of one that was cut off or has not the form: a part ends
 * where the next tag begins. Null where its tag is missing.
 */
export function partsOf(text: string): { thinking: string | null; answer: string | null } {
  const after = (open: string): string | null => {
    const at = text.indexOf(open);
    if (at < 0) return null;
    const rest = text.slice(at + open.length);
    const ends = NAMES.map((tag) => rest.indexOf(tag));
    return rest.slice(0, Math.min(rest.length, ...ends.filter((end) => end >= 0)));
  };
  return { thinking: after(THINK), answer: after('<answer>') };
}

/**
 * Thinking and what follows it. A text that only closes its thinking was opened by its prompt.
 * `content` is null while the thinking has not ended.
 */
export function splitThinking(text: string): { thinking: string; content: string | null } {
  const opens = /^\s*<think>/.exec(text)?.[0].length ?? 0;
  const end = text.indexOf(END_THINK);
  if (end < 0)
    return opens > 0
      ? { thinking: text.slice(opens), content: null }
      : { thinking: '', content: text };
  const first = text.indexOf(THINK);
  if (opens === 0 && first >= 0 && first < end) {
    // Something stands before the thinking: it belongs to the content.
    const content = text.slice(0, first) + text.slice(end + END_THINK.length);
    return { thinking: text.slice(first + THINK.length, end), content };
  }
  return { thinking: text.slice(opens, end), content: text.slice(end + END_THINK.length) };
}

/**
 * A completion with the `<think>` that its prompt ended in. Models that are prompted so put white
 * space between their parts, which is no part of either.
 */
export const withOpening = (text: string, opened: boolean): string =>
  opened && !text.trimStart().startsWith(THINK)
    ? `${THINK}${text.replace(/<\/think>\s+<answer>/, '</think><answer>').trimEnd()}`
    : text;
