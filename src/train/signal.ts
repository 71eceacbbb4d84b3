/**
 * @file A policy from which nothing can be learned any more: dead policy, collapse, every
 * completion cut off, zero-advantage groups only.
 *
 * A step without a signal changes nothing (but for a KL term), so the next one hardly differs. Some
 * in a row are bad luck on a hard task; many are hours of rollouts for nothing.
 */
import type { Stage, StepResult } from '../stages/stage.js';

/** Steps in a row without a signal after which it is said. */
const WARN_AFTER = 5;

/** Watches the steps of a stage; the same on every rank. */
export function watchSignal({
  steps,
  patience = 0,
}: Pick<Stage, 'steps' | 'patience'>): (
  result: Pick<StepResult, 'noSignal'>,
  stageStep: number,
) => { warning?: string; stop?: string } {
  let without = 0;
  return ({ noSignal }, stageStep) => {
    without = noSignal === undefined ? 0 : without + 1;
    if (noSignal === undefined) return {};
    const said = `${without} step${without === 1 ? '' : 's'} in a row without a signal: ${noSignal}`;
    if (patience > 0 && without >= patience && stageStep < steps)
      return { stop: `${said}; stopped by patience ${patience}` };
    const due = without === WARN_AFTER || (stageStep === steps && without === steps);
    return due ? { warning: said } : {};
  };
}
