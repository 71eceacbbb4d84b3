/**
 * @file Which part of a log led to the final weights, and which was lost to a kill.
 *
 * A resume goes back to a checkpoint: what was done after that checkpoint and before the resume was
 * paid for and thrown away. So we walk back from the end of the log: from a `resumed` event jump to
 * the checkpoint that it started from, from there to the `resumed` event before it, and so on. What
 * the walk passes over is kept, what it jumps over is lost work.
 */
import type { RunEvent } from '../../usage/events.js';

/**
 * For each event, in file order: true when it led to the end of the log, false when it was
 * superseded by a resume.
 */
export function keptEvents(events: readonly RunEvent[]): boolean[] {
  const kept = new Array<boolean>(events.length).fill(false);
  let end = endOfUsed(events);
  while (end > 0) {
    let start = end - 1;
    while (start > 0 && events[start].type !== 'resumed') start--;
    kept.fill(true, start, end);
    const event = events[start];
    if (event.type !== 'resumed') break;
    end = endOfResumed(events, start, event.fromStep);
  }
  return kept;
}

/**
 * A run that diverged or failed keeps its last checkpoint: what came after it is lost, as if
 * resumed from there.
 */
function endOfUsed(events: readonly RunEvent[]): number {
  const ended = events.findLastIndex((event) => event.type === 'ended' || event.type === 'resumed');
  const event = events[ended];
  if (event?.type !== 'ended' || (event.reason !== 'diverged' && event.reason !== 'failed'))
    return events.length;
  return events.findLastIndex((other) => other.type === 'checkpoint') + 1;
}

/** Where the part of the log ends that a resume at index `resumed` builds on (exclusive). */
function endOfResumed(events: readonly RunEvent[], resumed: number, fromStep: number): number {
  if (fromStep === 0) return 0;
  for (let i = resumed - 1; i >= 0; i--) {
    const event = events[i];
    if (event.type === 'checkpoint' && event.step === fromStep) return i + 1;
  }
  // Killed between writing the checkpoint and saying so: go by the step.
  for (let i = resumed - 1; i >= 0; i--) {
    if (events[i].step <= fromStep) return i + 1;
  }
  return 0;
}
