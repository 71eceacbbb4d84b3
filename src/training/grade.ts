/**
 * @file Grading a sampled completion: from tokens to text to verdict.
 */
import type { Completion } from '../inference/index.js';
import type { Problem, Task, Verdict } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';

/**
 * The text that the task sees is what the tokens spell. Tokens that spell nothing (padding, a second beginning) would let a
 * model think where nobody can read it, so a completion that holds one is malformed.
 */
export function grade(
  task: Task,
  tokenizer: Tokenizer,
  problem: Problem,
  completion: Completion,
): { text: string; verdict: Verdict } {
  const { pad, bos, eos } = tokenizer.special;
  const spelled = completion.stop === 'eos' ? completion.tokens.slice(0, -1) : completion.tokens;
  const text = tokenizer.decode(spelled);
  if (spelled.some((token) => token === pad || token === bos || token === eos)) {
    return { text, verdict: { reward: 0, correct: false, wellFormed: false, reason: 'holds a token that spells nothing' } };
  }
  if (completion.stop === 'length') {
    const verdict = task.verify(problem, text);
    return { text, verdict: { ...verdict, reward: 0, correct: false, reason: `cut off at ${spelled.length} tokens` } };
  }
  return { text, verdict: task.verify(problem, text) };
}
