/**
 * @file What the pages compute before they draw: intervals, widths, scales, which curves there are.
 */
import { accuracyInterval } from '../../base/intervals.js';
import type { RunDetail } from '../protocol.js';
import { percentRange } from './format.js';

/** `95%: 0.0–16.1%`, or nothing where the number of problems is not known. */
export function rangeOf(results: Readonly<Record<string, number>>): string {
  const interval = accuracyInterval(results);
  return interval === null ? '' : `95%: ${percentRange(interval.low, interval.high)}`;
}

/**
 * Widths of stages in time: what a stage that ended took, of others the plan or what they took so
 * far. Without a plan, a stage that has not begun is taken for an average one.
 */
export function stageSeconds(
  all: readonly { id: string; seconds: { value: number } | null }[],
  known: readonly { id: string; state: string; seconds: number }[],
): number[] {
  const spent = new Map(known.map((stage) => [stage.id, stage]));
  const weights = all.map(({ id, seconds }) => {
    const stage = spent.get(id);
    if (stage?.state === 'done') return stage.seconds;
    const least = stage?.seconds ?? 0;
    return seconds === null ? (stage === undefined ? null : least) : Math.max(least, seconds.value);
  });
  const sure = weights.flatMap((weight) => weight ?? []);
  const mean = sure.length === 0 ? 1 : sure.reduce((sum, one) => sum + one, 0) / sure.length;
  return weights.map((weight) => weight ?? mean);
}

/** True for a stage that is worth drawing; one of a single step, as an evaluation, has no curve. */
export const hasCurves = ({ steps, curves }: RunDetail['state']['stages'][number]): boolean =>
  steps !== 1 &&
  Object.entries(curves).some(([name, { first }]) => name !== 'usd' && first.length > 0);

/** Everything is drawn to one scale: up to the highest total or the end of its interval. */
export function scaleOf(
  rows: readonly { from: number; to: number; total: boolean; high: number | null }[],
): number {
  const bars = rows.flatMap(({ from, to }) => [from, to]);
  const ends = rows.filter(({ total }) => total).map(({ high }) => high ?? 0);
  return Math.max(...bars, ...ends) * 1.01;
}
