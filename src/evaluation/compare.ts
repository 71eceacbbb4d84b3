/**
 * @file Accuracy beside cost: evaluations made here and published results as rows of one table,
 * each marked as what it is.
 */
import { formatShare } from '../base/text/index.js';
import { MODEL_SCORES, type ModelScore } from '../catalog/data/scores.js';
import { reportOf } from './report.js';
import type { Estimate } from './statistics.js';
import type { Transcript, TranscriptHeader } from './transcripts.js';

export interface ComparisonRow {
  model: string;
  benchmark: string;
  kind: 'measured' | 'published';
  /** A share; a published one has no interval (low = high = mean). Null for a rating. */
  accuracy: Estimate | null;
  /** As it is said: `79.8%`, `2029`. */
  score: string;
  /** What the answers to one problem cost. */
  usdPerProblem: number | null;
  /** Of the final training runs, where it was published. */
  trainingUsd: number | null;
  definition: string;
  date: string;
  source: string;
}

/** @param date when the transcripts were last written to, YYYY-MM-DD */
export function measuredRow(
  file: string,
  { header, transcripts }: { header: TranscriptHeader; transcripts: readonly Transcript[] },
  date: string,
): ComparisonRow {
  const { problems, pass1, usdPerProblem } = reportOf(header, transcripts);
  const unfinished =
    problems < header.problems ? `, unfinished: ${problems} of ${header.problems} problems` : '';
  const { samples, temperature, greedy } = header;
  const count = `${samples} sample${samples === 1 ? '' : 's'}${greedy ? ' and a greedy one' : ''}`;
  return {
    model: header.model,
    benchmark: header.task,
    kind: 'measured',
    accuracy: pass1,
    score: formatShare(pass1.mean),
    usdPerProblem,
    trainingUsd: null,
    definition: `pass@1 at temperature ${temperature}; a problem is ${count}; ${problems} problems${unfinished}`,
    date,
    source: file,
  };
}

export const publishedBenchmarks = (): string[] => [
  ...new Set(MODEL_SCORES.map(({ benchmark }) => benchmark)),
];

export function publishedRows(benchmarks: readonly string[]): ComparisonRow[] {
  return MODEL_SCORES.filter(({ benchmark }) => benchmarks.includes(benchmark)).map(publishedRow);
}

function publishedRow({
  score,
  unit,
  model,
  benchmark,
  usdPerProblem,
  trainingUsd,
  definition,
  date,
  source,
}: ModelScore): ComparisonRow {
  const share = score / 100;
  return {
    model,
    benchmark,
    kind: 'published',
    accuracy: unit === 'percent' ? { mean: share, low: share, high: share } : null,
    score: unit === 'percent' ? `${score}%` : String(score),
    usdPerProblem,
    trainingUsd,
    definition,
    date,
    source,
  };
}
