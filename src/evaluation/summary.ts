/**
 * @file From transcripts to figures: what one problem adds, and what all of them say.
 */
import { majorityVote } from './statistics.js';
import type { Transcript } from './transcripts.js';

/** What a transcript says of a problem that was not answered. */
export const NOTHING = {
  completion: '',
  answer: null,
  reward: 0,
  correct: false,
  wellFormed: false,
  stop: 'refused',
  promptTokens: 0,
  completionTokens: 0,
  seconds: 0,
  usd: 0,
} as const;

/** What the completions of one problem add up to. */
export interface Tally {
  /** Sampled completions that are correct. */
  correct: number;
  /** 1 where the one at temperature 0 is. */
  greedy: number;
  /** Sampled completions in the right form, and those that were cut off. */
  wellFormed: number;
  truncated: number;
  /** Tokens of all samples. */
  tokens: number;
  /** 1 where the most frequent answer is correct. */
  majority: number;
}

export const TALLY_FIELDS = [
  'correct',
  'greedy',
  'wellFormed',
  'truncated',
  'tokens',
  'majority',
] as const;

type Graded = Pick<
  Transcript,
  'sample' | 'answer' | 'correct' | 'wellFormed' | 'stop' | 'completionTokens'
>;

/**
 * Adds up the transcripts of one problem.
 * @param voteOf makes answers alike that are the same (`1/2` and `0.5`)
 */
export function tallyOf(
  transcripts: readonly Graded[],
  voteOf: (answer: string) => string = (answer) => answer,
): Tally {
  const samples = transcripts
    .filter(({ sample }) => sample !== null)
    .sort((a, b) => Number(a.sample) - Number(b.sample));
  const votes = samples.map(({ answer }) => (answer === null ? null : voteOf(answer)));
  const winner = majorityVote(votes);
  const count = (test: (one: Graded) => boolean): number => samples.filter(test).length;
  return {
    correct: count(({ correct }) => correct),
    greedy: transcripts.some(({ sample, correct }) => sample === null && correct) ? 1 : 0,
    wellFormed: count(({ wellFormed }) => wellFormed),
    truncated: count(({ stop }) => stop === 'length'),
    tokens: samples.reduce((sum, { completionTokens }) => sum + (completionTokens ?? 0), 0),
    majority:
      winner !== null && samples.some(({ correct }, i) => correct && votes[i] === winner) ? 1 : 0,
  };
}

/** Transcripts by problem, for `count` problems. */
export function byProblem<T extends { problem: number }>(
  transcripts: readonly T[],
  count: number,
): T[][] {
  const groups: T[][] = Array.from({ length: count }, () => []);
  for (const transcript of transcripts) groups[transcript.problem]?.push(transcript);
  return groups;
}
