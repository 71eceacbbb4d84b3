/**
 * @file The order of a stage's curves: that of `inOrder`, but one that is drawn stays in its place
 * while others come, so that the page does not shift.
 */
import { useRef } from 'preact/hooks';
import type { StageState } from '../run-state.js';
import { inOrder } from './format.js';

/** What was placed before keeps its place; what is new follows. */
export const keepPlaces = (before: readonly string[], now: readonly string[]): string[] => [
  ...before.filter((name) => now.includes(name)),
  ...now.filter((name) => !before.includes(name)),
];

/** Names of the stage's metrics that have points. */
export function useCurveNames(stage: Pick<StageState, 'id' | 'curves'> | undefined): string[] {
  const placed = useRef(new Map<string, string[]>());
  if (stage === undefined) return [];
  const { id, curves } = stage;
  const now = inOrder(Object.keys(curves)).filter((name) => curves[name].first.length > 0);
  const names = keepPlaces(placed.current.get(id) ?? [], now);
  placed.current.set(id, names);
  return names;
}
