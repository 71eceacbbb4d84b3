/**
 * @file The form of a completion: `<think>…</think><answer>…</answer>`, and nothing before, between
 * or after.
 *
 * It is the template of DeepSeek-R1-Zero (arXiv 2501.12948, table 1) without its prose. The form is
 * strict so that a reward is never a guess about which of two answers was meant: a doubled tag,
 * text after the end or a tag inside a part make a completion ill-formed. Parsing scans the text a
 * fixed number of times and never backtracks: a megabyte costs a millisecond, whatever is in it.
 */
import type { Verdict } from './task.js';

const THINK = '<think>';
const END_THINK = '</think>';
const ANSWER = '<answer>';
const END_ANSWER = '</answer>';
const TAGS = [THINK, END_THINK, ANSWER, END_ANSWER];

export type ParsedCompletion =
  | { readonly wellFormed: true; readonly thinking: string; readonly answer: string }
  | { readonly wellFormed: false; readonly reason: string };

/** A completion in the form that `parseCompletion` reads. */
export function writeCompletion(thinking: string, answer: string): string {
  return THINK + thinking + END_THINK + ANSWER + answer + END_ANSWER;
}

/**
 * The two parts of a completion, or why it has not the form. Linear in the length of `text`; never
 * throws.
 */
export function parseCompletion(text: string): ParsedCompletion {
  const no = (reason: string): ParsedCompletion => ({ wellFormed: false, reason });
  if (!text.startsWith(THINK)) return no('does not start with <think>');
  const endThink = text.indexOf(END_THINK, THINK.length);
  if (endThink < 0) return no('no </think>');
  const answerAt = endThink + END_THINK.length;
  if (!text.startsWith(ANSWER, answerAt)) return no('no <answer> right after </think>');
  const endAnswer = text.indexOf(END_ANSWER, answerAt + ANSWER.length);
  if (endAnswer < 0) return no('no </answer>');
  if (endAnswer + END_ANSWER.length !== text.length) return no('text after </answer>');
  const thinking = text.slice(THINK.length, endThink);
  const answer = text.slice(answerAt + ANSWER.length, endAnswer);
  for (const tag of TAGS) {
    if (thinking.includes(tag)) return no(`${tag} inside the thinking`);
    if (answer.includes(tag)) return no(`${tag} inside the answer`);
  }
  return { wellFormed: true, thinking, answer };
}

/**
 * Grades a completion: its form here, its answer by `check`, which returns why the answer is right
 * or wrong. Right answers earn 1, wrong ones in the right form `formatReward`, everything else 0.
 */
export function gradeCompletion(
  completion: string,
  formatReward: number,
  check: (answer: string) => { correct: boolean; reason: string },
): Verdict {
  const parsed = parseCompletion(completion);
  if (!parsed.wellFormed)
    return { reward: 0, correct: false, wellFormed: false, reason: parsed.reason };
  const { correct, reason } = check(parsed.answer);
  return { reward: correct ? 1 : formatReward, correct, wellFormed: true, reason };
}

/**
 * A piece of a model's text for a one-line reason: quoted and cut, with control characters escaped.
 */
export function quote(text: string, limit = 24): string {
  return JSON.stringify(text.length > limit ? `${text.slice(0, limit)}…` : text);
}
