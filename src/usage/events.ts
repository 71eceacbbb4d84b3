/**
 * @file The events of a run: the lines of `events.jsonl`, the source of truth about what happened.
 *
 * Append-only, one JSON object a line. Every event carries the attempt (0, then +1 with each
 * resume), the global step (counted over all stages of the recipe) and the time. A resume appends
 * `resumed` and cuts a torn last line. Curves read the last attempt of a step; the bill counts
 * every attempt, and calls the superseded ones lost work.
 */
import type { Usage } from './usage.js';

interface Base {
  attempt: number;
  /** Global step: optimizer or rollout steps done so far, over all stages. */
  step: number;
  /** ISO 8601, UTC. */
  time: string;
}

export interface Machine {
  cpu: string;
  cores: number;
  memoryBytes: number;
  platform: string;
  node: string;
}

/** What computes, as settings of `policy/local/backend.ts`. */
export interface ComputeSettings {
  kind: string;
  products: string;
  precision: string;
}

/** Settings that gave way to fit the memory: `MemorySettings` of `plan/local/memory.ts`. */
export interface FittedMemory {
  recompute: boolean;
  microBatchTokens: number;
  sequences: number | null;
}

/** What a server answered: whose usage an event records. */
export interface ServedRequest {
  /** Identifier in the answer. */
  id: string;
  model: string;
  /** Name of the API key. */
  key?: string;
  /** Exact decimal. */
  usd: string;
}

export type StopReason =
  | 'completed'
  | 'interrupted'
  | 'max-usd'
  | 'max-minutes'
  | 'diverged'
  | 'failed';

export type RunEvent =
  | (Base & {
      type: 'started';
      version: string;
      recipe: string;
      workers: number;
      fingerprint: string;
      /** What a resume takes again; absent in logs of earlier versions. */
      backend?: ComputeSettings;
      /** Where the recipe's settings gave way to fit the memory; a resume takes it again. */
      memory?: FittedMemory;
      machine: Machine;
    })
  | (Base & {
      type: 'resumed';
      fromStep: number;
      version: string;
      workers: number;
      fingerprint: string;
      /** What a resume takes again; absent in logs of earlier versions. */
      backend?: ComputeSettings;
      /** Where the recipe's settings gave way to fit the memory; a resume takes it again. */
      memory?: FittedMemory;
      machine: Machine;
    })
  | (Base & { type: 'stage-started'; stage: string; kind: string; steps: number })
  | (Base & { type: 'stage-ended'; stage: string; kind: string })
  /**
   * `stageStep` counts from 1 within the stage; `values` are named numbers (loss, reward,
   * tokens_per_second, …).
   */
  | (Base & {
      type: 'metrics';
      stage: string;
      kind: string;
      stageStep: number;
      values: Record<string, number>;
    })
  | (Base & { type: 'usage'; usage: Usage; request?: ServedRequest })
  /** The result of an evaluation stage; names are `task.metric`-free: one event a task. */
  | (Base & {
      type: 'evaluation';
      stage: string;
      task: string;
      label: string;
      results: Record<string, number>;
    })
  | (Base & { type: 'checkpoint'; path: string; bytes: number; sha256: string })
  | (Base & { type: 'warning'; message: string })
  | (Base & { type: 'ended'; reason: StopReason; message?: string });

export type RunEventType = RunEvent['type'];

/** An event before the log adds attempt and time. */
export type NewEvent = RunEvent extends infer E
  ? E extends RunEvent
    ? Omit<E, 'attempt' | 'time'>
    : never
  : never;
