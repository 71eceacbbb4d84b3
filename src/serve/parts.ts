/**
 * @file The parts of a completion as it comes: the reasoning between `<think>` and `</think>`, and
 * the answer.
 *
 * DeepSeek's API gives the first as `reasoning_content` and the second as `content`. The tags
 * themselves belong to neither, nor do
 * `<answer>` and `</answer>`, the form that Reckoner's models write (after DeepSeek-R1-Zero's
 * template).
 */
export type Part = 'reasoning' | 'content';

const TAGS: Record<string, Part> = {
  '<think>': 'reasoning',
  '</think>': 'content',
  '<answer>': 'content',
  '</answer>': 'content',
};
const NAMES = Object.keys(TAGS);

export interface Piece {
  part: Part;
  text: string;
}

export class PartSplitter {
  /** Where the next text belongs. */
  part: Part = 'content';
  private held = '';

  /**
   * @param raw leave the text as it is: it is JSON, which may well hold a tag
   * @param opened the prompt ended in `<think>`: the text begins inside the reasoning
   */
  constructor(
    private readonly raw = false,
    opened = false,
  ) {
    if (opened && !raw) this.part = 'reasoning';
  }

  /** The pieces that `text` completes; what may be the beginning of a tag is kept back. */
  push(text: string): Piece[] {
    if (this.raw) return text === '' ? [] : [{ part: 'content', text }];
    this.held += text;
    const pieces: Piece[] = [];
    const put = (piece: string): void => {
      if (piece !== '') pieces.push({ part: this.part, text: piece });
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
    return merged(pieces);
  }

  /** What was kept back, when no more comes. */
  end(): Piece[] {
    const text = this.held;
    this.held = '';
    return text === '' ? [] : [{ part: this.part, text }];
  }
}

/** Neighbours of one part as one piece. */
function merged(pieces: readonly Piece[]): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (last?.part === piece.part) last.text += piece.text;
    else out.push({ ...piece });
  }
  return out;
}
