/**
 * @file Multiple choice: the rows of data sets, and which choice a reply names.
 *
 * A reply names a choice by its letter, by its text, or by both; a letter with the text of another
 * choice, two letters, or a text that is no choice name none.
 */
import { answerIn, sameAnswer } from './answers/index.js';

export const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

export interface Choices {
  /** Their texts, in order. */
  readonly texts: readonly string[];
  /** Index of the right one. */
  readonly right: number;
}

const plain = (text: string): string =>
  text
    .replace(/\\(?:text|textbf|mathrm|mathbf|textit|mbox|mathit)\s*\{([^{}]*)\}/g, '$1')
    .replace(/[*_`$]/g, '')
    .replace(/\\[()[\]]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
const bare = (text: string): string => plain(text).toLowerCase().replace(/[.!]$/, '').trim();

/** The texts of a row's choices, and their labels where they have some. */
function listed(row: Record<string, unknown>): { texts: string[]; labels: string[] } | null {
  const value = row.choices ?? row.options;
  if (Array.isArray(value)) {
    const texts = value.map((item) =>
      typeof item === 'object' && item !== null
        ? String((item as { text?: unknown }).text ?? JSON.stringify(item))
        : String(item),
    );
    const labels = value.map((item) =>
      typeof item === 'object' && item !== null
        ? String((item as { label?: unknown }).label ?? '')
        : '',
    );
    return { texts, labels: labels.every((label) => label !== '') ? labels : [] };
  }
  if (typeof value !== 'object' || value === null) return null;
  // ARC: {text: […], label: […]}; MedQA: {A: …, B: …}.
  const { text, label } = value as { text?: unknown; label?: unknown };
  if (Array.isArray(text))
    return { texts: text.map(String), labels: Array.isArray(label) ? label.map(String) : [] };
  const entries = Object.entries(value).filter(([, inner]) => typeof inner === 'string');
  return { texts: entries.map(([, inner]) => String(inner)), labels: entries.map(([key]) => key) };
}

/** The choices of a row; null where it has none, a reason where they cannot be used. */
export function readChoices(row: Record<string, unknown>): Choices | string | null {
  const found = listed(row);
  if (found === null) return null;
  const { texts, labels } = found;
  if (texts.length < 2) return 'fewer than two choices';
  if (texts.length > LETTERS.length) return `more than ${LETTERS.length} choices`;
  if (new Set(texts).size < texts.length) return 'two choices that are the same';
  const answer =
    row.answer ??
    row.answerKey ??
    row.answer_idx ??
    row.answer_index ??
    row.correct_answer ??
    row.target;
  const right = rightOf(answer, texts, labels);
  return right < 0 ? `no answer among its ${texts.length} choices` : { texts, right };
}

function rightOf(answer: unknown, texts: readonly string[], labels: readonly string[]): number {
  const inRange = (i: number): number =>
    Number.isInteger(i) && i >= 0 && i < texts.length ? i : -1;
  if (typeof answer === 'number') return inRange(answer);
  if (typeof answer !== 'string') return -1;
  const said = answer.trim();
  // The text first: "a dog" and "B cells" begin with a letter and name none.
  for (const same of [
    (text: string) => text.trim() === said,
    (text: string) => bare(text) === bare(said),
  ]) {
    const at = texts.findIndex(same);
    if (
      at >= 0 &&
      !(
        said.length === 1 &&
        LETTERS.includes(said) &&
        labels.length === 0 &&
        at !== LETTERS.indexOf(said)
      )
    )
      return at;
  }
  const label = labels.indexOf(said);
  if (label >= 0) return label;
  const chosen = chosenIn(said, texts);
  if (chosen !== null) return chosen;
  return /^\d+$/.test(said) ? inRange(Number(said)) : -1;
}

/** Words before a letter that say nothing: "Option B", "the answer is B". */
const LEAD =
  /^(?:(?:so|thus|therefore|hence),?\s+|(?:it|this|that)(?:'s|\s+is|\s+must\s+be)\s+|I(?:'d|\s+would|'ll|\s+will)?\s+(?:choose|pick|select|say|go\s+with|think(?:\s+it\s+is|\s+it's)?)\s+|(?:the\s+|my\s+)?(?:correct\s+|right\s+|final\s+|best\s+)*(?:answer|option|choice)(?:\s+is|:)?\s*:?\s*)+/i;
/** What a reply sets its choice apart from: "C, not B". */
const REJECTED = /,?\s+(?:not|rather than|instead of|and not)\s+(?:option\s+)?\(?[A-Z]\)?[.!]?$/;

/** Index of the choice that a reply names, or null. */
export function chosenIn(reply: string, texts: readonly string[]): number | null {
  const letters = LETTERS.slice(0, texts.length);
  const whole = plain(answerIn(reply));
  const said = whole.replace(LEAD, '').replace(REJECTED, '').trim();
  if (said === '') return null;
  const single = /^[([{"']*([A-Za-z])[)\]}"'.:,]*$/.exec(said)?.[1].toUpperCase();
  if (single !== undefined)
    return letters.includes(single) ? letters.indexOf(single) : byText(said, texts);
  const exact = byText(said, texts);
  if (exact !== null) return exact;
  // `B. blue`, `(B) blue`, `B: blue`, `B - blue`, `B blue`.
  const marked =
    /^[([]*([A-Z])(?:[)\]]+[.:]?|[.:]|\s*[-–—])\s*(.+)$/s.exec(said) ??
    /^([A-Z])\s+(.+)$/s.exec(said);
  if (!marked || !letters.includes(marked[1])) return null;
  const at = letters.indexOf(marked[1]);
  const rest = marked[2].trim();
  const named = byText(rest, texts);
  if (named !== null) return named === at ? at : null;
  // Another letter makes it two: `B, C`, `A and B`, `B or C`.
  const others = [...rest.matchAll(/(?<![\p{L}\p{N}'])([A-Z])(?![\p{L}\p{N}'])/gu)].map(
    ([, letter]) => letter,
  );
  if (
    others.some(
      (letter) =>
        letters.includes(letter) && letter !== marked[1] && letter !== 'I' && letter !== 'A',
    )
  )
    return null;
  if (/^(?:and|or|,|\/|&)/i.test(rest)) return null;
  // A letter by itself before a sentence ("A dog is …") is no letter; one with a mark is, and one
  // that is called an option.
  const called = /\b(?:option|choice)\s*$/i.test(whole.slice(0, whole.length - said.length));
  return called || /^[([]*[A-Z][)\].:]/.test(said) ? at : null;
}

/** The one choice that has this text, or is the same answer. */
function byText(text: string, texts: readonly string[]): number | null {
  const exact = texts.findIndex((choice) => bare(choice) === bare(text));
  if (exact >= 0) return exact;
  const same = texts.flatMap((choice, i) => (sameAnswer(choice, text) ? [i] : []));
  return same.length === 1 ? same[0] : null;
}
