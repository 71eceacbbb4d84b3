/**
 * @file Grading a sampled completion: from tokens to text to verdict.
 *
 * Verdicts come as promises, because some tasks run code or a user's rewards in other threads; a
 * stage asks for all of its completions at once and waits for all. A pure task answers within the
 * call, so it pays for a promise and nothing else.
 */
import type { Completion } from '../inference/index.js';
import { judge, withOpening } from '../tasks/formats.js';
import type { Problem, Task, Verdict } from '../tasks/task.js';
import { opensThinking } from '../tokenizers/opening.js';
import { promptedThinking } from '../tokenizers/prompting.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';

export interface Graded {
  /** What the tokens spell, after the `<think>` that their prompt ended in. */
  text: string;
  verdict: Verdict;
  /** What was read as the answer, where an evaluation asked. */
  answer: string | null;
}

/**
 * The text that the task sees is what the tokens spell. Tokens that spell nothing (padding, a
 * second beginning) would let a model think where nobody can read it, so a completion that holds
 * one is malformed.
 */
export async function grade(
  task: Task,
  tokenizer: Tokenizer,
  problem: Problem,
  completion: Completion,
  /** In training a reward is earned in the task's form only; an evaluation looks for the answer. */
  evaluating = false,
): Promise<Graded> {
  const { pad, bos, eos } = tokenizer.special;
  const spelled = completion.stop === 'eos' ? completion.tokens.slice(0, -1) : completion.tokens;
  const { prompt, prompting } = problem;
  const opened = prompting
    ? promptedThinking(tokenizer, prompt, prompting)
    : opensThinking(tokenizer, prompt);
  const text = withOpening(tokenizer.decode(spelled), opened);
  if (spelled.some((token) => token === pad || token === bos || token === eos)) {
    return {
      text,
      verdict: {
        reward: 0,
        correct: false,
        wellFormed: false,
        reason: 'holds a token that spells nothing',
      },
      answer: null,
    };
  }
  if (completion.stop === 'length') {
    const verdict = await task.verify(problem, text);
    return {
      text,
      verdict: {
        ...verdict,
        reward: 0,
        correct: false,
        reason: `cut off at ${spelled.length} tokens`,
      },
      answer: null,
    };
  }
  if (evaluating) return { text, ...(await judge(task, problem, text)) };
  return { text, verdict: await task.verify(problem, text), answer: null };
}

/** For each of the task's parts: completions, rewards, right ones. To be summed over ranks. */
export function partSums(
  task: Task,
  graded: readonly { problem: Problem; verdict: Verdict }[],
): number[] {
  return (task.parts ?? []).flatMap((part) => {
    const own = graded.filter(({ problem }) => problem.part === part).map(({ verdict }) => verdict);
    return [
      own.length,
      own.reduce((sum, { reward }) => sum + reward, 0),
      own.filter(({ correct }) => correct).length,
    ];
  });
}

/**
 * `reward.<part>` and `accuracy.<part>` of `partSums`; a part that no completion was of has none.
 */
export function partValues(task: Task, sums: readonly number[]): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [i, part] of (task.parts ?? []).entries()) {
    const [count, reward, correct] = sums.slice(3 * i, 3 * i + 3);
    if (count === 0) continue;
    values[`reward.${part}`] = reward / count;
    values[`accuracy.${part}`] = correct / count;
  }
  return values;
}
