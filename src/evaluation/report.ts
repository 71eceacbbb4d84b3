/**
 * @file What transcripts say: accuracy with its intervals, form, length, tokens, dollars.
 */
import { type Pricing, usdOf } from './price.js';
import {
  clusteredInterval,
  type Estimate,
  meanInterval,
  passAtK,
  wilsonInterval,
} from './statistics.js';
import { byProblem, tallyOf } from './summary.js';
import type { Transcript, TranscriptHeader } from './transcripts.js';

export interface EvaluationReport {
  /** Problems that have all their answers; the others are not counted. */
  problems: number;
  pass1: Estimate;
  passAtK: ({ k: number } & Estimate)[];
  majority: Estimate;
  greedy: Estimate | null;
  format: Estimate;
  /** Tokens of a sampled completion; null where an endpoint does not say. */
  length: Estimate | null;
  /** Shares of sampled completions. */
  stopReasons: { eos: number; length: number; refused: number };
  parts: { part: string; problems: number; pass1: Estimate }[];
  tokens: { prompt: number; cached: number; completion: number } | null;
  /** Of work here, or of requests, which overlap. */
  seconds: number;
  usd: number | null;
  usdPerProblem: number | null;
  usdPerCorrectAnswer: number | null;
}

/** 1, 2, 4, … up to n, and n itself. */
export function powersUpTo(n: number): number[] {
  const out: number[] = [];
  for (let k = 1; k < n; k *= 2) out.push(k);
  return [...out, n];
}

type Asked = Pick<TranscriptHeader, 'problems' | 'samples' | 'greedy'> & {
  pricing: Pricing | null;
};

/** @param voteOf see `Task.voteOf` */
export function reportOf(
  asked: Asked,
  all: readonly Transcript[],
  voteOf?: (answer: string) => string,
): EvaluationReport {
  const each = asked.samples + (asked.greedy ? 1 : 0);
  const groups = byProblem(all, asked.problems).filter((group) => group.length === each);
  const transcripts = groups.flat();
  const sampled = transcripts.filter(({ sample }) => sample !== null);
  const tallies = groups.map((group) => tallyOf(group, voteOf));
  const { samples } = asked;
  const n = groups.length;
  const share = (stop: Transcript['stop']): number =>
    n === 0 ? 0 : sampled.filter((transcript) => transcript.stop === stop).length / sampled.length;
  const sum = (pick: (transcript: Transcript) => number | null): number | null => {
    let total = 0;
    for (const transcript of transcripts) {
      const value = pick(transcript);
      if (value === null) return null;
      total += value;
    }
    return total;
  };
  const countOf = (field: 'majority' | 'greedy'): number =>
    tallies.reduce((total, tally) => total + tally[field], 0);
  const [prompt, completion] = [
    sum(({ promptTokens }) => promptTokens),
    sum(({ completionTokens }) => completionTokens),
  ];
  const usd = sum((transcript) => usdOf(transcript, asked.pricing));
  const solved = transcripts.filter(({ correct }) => correct).length;
  const parts = [
    ...new Set(transcripts.flatMap(({ part }) => (part === undefined ? [] : [part]))),
  ].sort();
  return {
    problems: n,
    pass1: clusteredInterval(tallies.map(({ correct }) => correct / samples)),
    passAtK: powersUpTo(samples).map((k) => ({
      k,
      ...clusteredInterval(tallies.map(({ correct }) => passAtK(samples, correct, k))),
    })),
    majority: wilsonInterval(countOf('majority'), n),
    greedy: asked.greedy ? wilsonInterval(countOf('greedy'), n) : null,
    format: clusteredInterval(tallies.map(({ wellFormed }) => wellFormed / samples)),
    length:
      completion === null ? null : meanInterval(tallies.map(({ tokens }) => tokens / samples)),
    stopReasons: { eos: share('eos'), length: share('length'), refused: share('refused') },
    parts: parts.map((part) => {
      const own = tallies.filter((_, i) => groups[i][0].part === part);
      return {
        part,
        problems: own.length,
        pass1: clusteredInterval(own.map(({ correct }) => correct / samples)),
      };
    }),
    tokens:
      prompt === null || completion === null
        ? null
        : { prompt, cached: sum(({ cachedTokens }) => cachedTokens ?? 0) ?? 0, completion },
    seconds: sum(({ seconds }) => seconds) ?? 0,
    usd,
    usdPerProblem: usd === null || n === 0 ? null : usd / n,
    usdPerCorrectAnswer: usd === null || solved === 0 ? null : usd / solved,
  };
}
