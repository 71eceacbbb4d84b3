/**
 * @file How long completions will be, said before there is a model: from what the task
 * demonstrates.
 *
 * - A model that has imitated demonstrations writes completions of their lengths.
 * - Reinforcement learning from the answer alone changes them. Where wrong demonstrations are far
 *   shorter than right ones, they answered without working: the model learns to work, and
 *   completions become as long as the gold answers. Where wrong ones are about as long, they worked
 *   and gave up: the model learns to go on until it is right or out of tokens, so tries follow one
 *   another. Each try is right less often than a demonstration (`IMITATION`).
 * - A model that has learned nothing ends at random: one token in the vocabulary's size is the end.
 *
 * Longer thinking as the outcome of reinforcement learning is what DeepSeek-R1 reports (Nature
 * 2025, figure 1b). How fast it comes about is not known beforehand: `PROGRESS` is the share of the
 * stage's completions that already are of the later kind, and its range is what widens the interval
 * of a plan. `IMITATION` and `PROGRESS` were set once, from runs of the two shipped tasks.
 */
import { Random } from '../base/random.js';
import { evaluationProblems } from '../tasks/dataset.js';
import { type Problem, problemAt, type Task } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { between, moment } from './local/clock.js';

/** How often an imitated try is right, as a share of how often a demonstration is. */
const IMITATION = 0.6;
/** Wrong demonstrations shorter than this share of the right ones did not try. */
const TRIED = 0.75;
/**
 * Share of a stage's completions that are as long as those at its end: expected, and the ends of
 * the 90% interval.
 */
export const PROGRESS = { value: 0.75, low: 0.4, high: 1 } as const;
/** Demonstrations looked at. */
const DRAWN = 300;

/** Lengths of completions in tokens, the end included; each is as likely. */
export interface Lengths {
  /** Mean tokens of a prompt, the beginning included. */
  promptTokens: number;
  /** Of demonstrations, and so of a model that imitates them. */
  imitated: number[];
  /** Of right demonstrations: what rejection sampling keeps. */
  right: number[];
  /** After reinforcement learning; may go beyond `maxTokens`, where the caller cuts it off. */
  improved(maxTokens: number, random: Random): number;
  /** Share of demonstrations that are right. */
  rightShare: number;
  /**
   * Seconds that it took to draw a problem, to draw and demonstrate one, and to grade a completion.
   */
  seconds: { problem: number; demonstration: number; grade: number };
}

/** What the model has been through by then. */
export type Experience = 'none' | 'imitation' | 'reinforcement';

const mean = (values: readonly number[]): number =>
  values.reduce((sum, x) => sum + x, 0) / Math.max(1, values.length);

/**
 * Draws problems of a stage and looks at their demonstrations. `evaluation`: so many different
 * problems of that split.
 */
export function surveyLengths(
  task: Task,
  tokenizer: Tokenizer,
  seed: number,
  evaluation: number | null,
): Lengths {
  const start = moment();
  // Where problems must differ, the longer ones prevail: all are drawn, and some looked at.
  const all: Problem[] =
    evaluation === null
      ? Array.from({ length: DRAWN }, (_, i) => problemAt(task, seed, 'train', i))
      : evaluationProblems(task, seed, evaluation);
  const problems = Array.from(
    { length: Math.min(DRAWN, all.length) },
    (_, i) => all[Math.floor((i * all.length) / Math.min(DRAWN, all.length))],
  );
  const drawn = moment();
  const texts = problems.map((problem, i) =>
    task.demonstrate(problem, new Random(seed, 'survey', i)),
  );
  const imitated = texts.map((text) => tokenizer.encode(text).length + 1);
  const prompts = problems.map((problem) => tokenizer.encode(problem.prompt).length + 1);
  const demonstrated = moment();
  const isRight = texts.map((text, i) => {
    // What other threads grade is not waited for here: a right demonstration is then one that is
    // the gold answer.
    const verdict = task.pooled ? null : task.verify(problems[i], text);
    return verdict !== null && 'correct' in verdict
      ? verdict.correct
      : text === task.gold(problems[i]);
  });
  const graded = moment();
  const gold = problems.flatMap((problem) => {
    const text = task.gold(problem);
    return text === null ? [] : [tokenizer.encode(text).length + 1];
  });
  const right = imitated.filter((_, i) => isRight[i]);
  const wrong = imitated.filter((_, i) => !isRight[i]);
  const rightShare = right.length / imitated.length;
  const goesOn = right.length > 0 && wrong.length > 0 && mean(wrong) >= TRIED * mean(right);
  const ends = gold.length > 0 ? gold : right.length > 0 ? right : imitated;

  function improved(maxTokens: number, random: Random): number {
    if (!goesOn) return wrong.length === 0 ? random.pick(imitated) : random.pick(ends);
    let length = 0;
    while (length < maxTokens) {
      if (random.chance(IMITATION * rightShare)) return length + random.pick(right);
      length += random.pick(wrong);
    }
    return length;
  }

  const problem = between(start, drawn, 1).work / all.length;
  return {
    promptTokens: mean(prompts),
    imitated,
    right: right.length > 0 ? right : imitated,
    improved,
    rightShare,
    seconds: {
      problem,
      demonstration: problem + between(drawn, demonstrated, 1).work / problems.length,
      grade: between(demonstrated, graded, 1).work / problems.length,
    },
  };
}

/**
 * Draws the length of a completion.
 * @param share of completions that are of the later kind, while reinforcement learning goes on
 */
export function drawLength(
  lengths: Lengths,
  experience: Experience,
  share: number,
  limits: { maxTokens: number; vocabulary: number },
  random: Random,
): number {
  const { maxTokens, vocabulary } = limits;
  let length: number;
  if (random.uniform() < share) length = lengths.improved(maxTokens, random);
  else if (experience === 'none')
    length = Math.ceil(Math.log(1 - random.uniform()) / Math.log(1 - 1 / vocabulary));
  else if (experience === 'imitation') length = random.pick(lengths.imitated);
  else length = lengths.improved(maxTokens, random);
  return Math.max(1, Math.min(maxTokens, length));
}
