/**
 * @file The previous attempts of a run that is resumed, read from its event log.
 */
import { existsSync } from 'node:fs';
import type { RunFolder } from '../checkpoints/run-folder.js';
import type { ComputeSettings, FittedMemory } from '../usage/events.js';
import { readEvents } from '../usage/log.js';
import type { Usage } from '../usage/usage.js';

export interface Past {
  attempt: number;
  /** How the last attempt began: on how many workers, on what backend. */
  workers: number | null;
  fingerprint: string | null;
  backend: ComputeSettings | null;
  /** Settings that gave way to fit the memory. */
  memory: FittedMemory | null;
  /** The last attempt ended without saying so: it was killed. */
  killed: boolean;
  /** The last attempt said that all is done. */
  completed: boolean;
}

export const NO_PAST: Past = {
  attempt: -1,
  workers: null,
  fingerprint: null,
  backend: null,
  memory: null,
  killed: false,
  completed: false,
};

/** Reads it from the run's log; a run without one has no past. @throws UserError (data) */
export async function readPast(run: RunFolder): Promise<Past> {
  if (!existsSync(run.events)) return NO_PAST;
  const { events } = await readEvents(run.events);
  const past: Past = { ...NO_PAST };
  for (const event of events) {
    past.attempt = Math.max(past.attempt, event.attempt);
    if (event.type === 'started' || event.type === 'resumed') {
      const { workers, fingerprint, backend = null, memory = null } = event;
      Object.assign(past, { workers, fingerprint, backend, memory });
      Object.assign(past, { killed: true, completed: false });
    }
    if (event.type === 'ended')
      Object.assign(past, { killed: false, completed: event.reason === 'completed' });
  }
  return past;
}

/** Usage is written to the log at least so often. */
export const USAGE_INTERVAL_MS = 1000;
/**
 * A kill loses what was used since the last usage event: at most this long. It is billed, as an
 * estimate.
 */
const LOST_SECONDS = USAGE_INTERVAL_MS / 1000;

/** What a kill took with it, on so many workers. */
export const lostUsage = (workers: number): Usage => ({
  stage: 'lost',
  purpose: 'overhead',
  wallSeconds: LOST_SECONDS,
  workerSeconds: LOST_SECONDS * workers,
  tokensIn: 0,
  tokensOut: 0,
  modelFlops: 0,
  energyJoules: 0,
  energyBasis: 'estimated',
  peakMemoryBytes: 0,
  storedBytes: 0,
  basis: 'estimated',
});
