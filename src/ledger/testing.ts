/**
 * @file Logs for the ledger's tests.
 */
import type { NewEvent, RunEvent } from '../usage/events.js';
import type { Usage } from '../usage/usage.js';

export function usageOf(partial: Partial<Usage>): Usage {
  return {
    stage: 'base',
    purpose: 'training',
    wallSeconds: 0,
    workerSeconds: 0,
    tokensIn: 0,
    tokensOut: 0,
    modelFlops: 0,
    energyJoules: 0,
    energyBasis: 'estimated',
    peakMemoryBytes: 0,
    storedBytes: 0,
    basis: 'measured',
    ...partial,
  };
}

const MACHINE = { cpu: 'test', cores: 2, memoryBytes: 1, platform: 'linux-x64', node: 'v20' };

/** Builds a log step by step; `time` is a second a line. */
export function logBuilder(): {
  events: RunEvent[];
  started(): void;
  resumed(fromStep: number): void;
  usage(step: number, partial: Partial<Usage>): void;
  checkpoint(step: number): void;
  evaluation(step: number, label: string, results: Record<string, number>): void;
  add(event: NewEvent): void;
} {
  const events: RunEvent[] = [];
  let attempt = 0;
  const add = (event: NewEvent): void => {
    events.push({
      ...event,
      attempt,
      time: new Date(Date.UTC(2026, 0, 1, 0, 0, events.length)).toISOString(),
    } as RunEvent);
  };
  return {
    events,
    add,
    started: () =>
      add({
        type: 'started',
        step: 0,
        version: '0',
        recipe: 'r',
        workers: 2,
        fingerprint: '',
        machine: MACHINE,
      }),
    resumed: (fromStep) => {
      attempt++;
      add({
        type: 'resumed',
        step: fromStep,
        fromStep,
        version: '0',
        workers: 2,
        fingerprint: '',
        machine: MACHINE,
      });
    },
    usage: (step, partial) => add({ type: 'usage', step, usage: usageOf(partial) }),
    checkpoint: (step) => add({ type: 'checkpoint', step, path: '', bytes: 0, sha256: '' }),
    evaluation: (step, label, results) =>
      add({ type: 'evaluation', step, stage: label, task: 'sums', label, results }),
  };
}
