/**
 * @file Types of the messages between the server and the page.
 */

import type { ClaimDocument } from '../ledger/claims/schema.js';
import type { RunStatement } from '../ledger/statement/runs.js';
import type { PlannableRecipe } from '../plan/cluster/stage-work.js';
import type { EvaluationState, RunState } from './run-state.js';

/** `killed`: its process is gone and its log has no end. */
export type RunStatus =
  | 'running'
  | 'completed'
  | 'interrupted'
  | 'max-usd'
  | 'max-minutes'
  | 'diverged'
  | 'failed'
  | 'killed';

export interface RunSummary {
  name: string;
  recipe: string;
  status: RunStatus;
  /** Why it failed, or stopped. */
  message: string | null;
  stage: string | null;
  /** Steps done and planned, over all stages. */
  step: number;
  steps: number;
  startedAt: string | null;
  updatedAt: string | null;
  seconds: number;
  usd: number;
  evaluations: EvaluationState[];
  /** Mean reward (or loss, where nothing is rewarded) of the stage that is drawn, thinned. */
  spark: { name: string; values: number[] } | null;
  hasModel: boolean;
  hasSamples: boolean;
  hasBill: boolean;
}

export interface RunDetail {
  summary: RunSummary;
  state: RunState;
  /** Byte offset of the log that the state has seen; −1 for a sample. */
  offset: number;
  progress: number;
  malformed: number;
  stages: {
    id: string;
    kind: string;
    steps: number;
    seconds: Expected | null;
    usd: Expected | null;
  }[];
  description: string;
  seed: number;
  checkpoints: number[];
}

export interface Expected {
  value: number;
  low: number;
  high: number;
}

export interface ModelChoice {
  run: string;
  /** A checkpoint's step; null for the finished model. */
  step: number | null;
  recipe: string;
  example: string | null;
}

export interface ChatRequest {
  model?: { run: string; step: number | null };
  endpoint?: { url: string; model: string; key?: string };
  prompt: string;
  temperature: number;
  maxTokens: number;
  seed: number;
}

export type ChatEvent =
  | { type: 'loaded' }
  /** `logProbability` in nats, null where an endpoint does not say. */
  | { type: 'token'; text: string; logProbability: number | null; part: 'thinking' | 'text' | null }
  | {
      type: 'done';
      stop: string;
      promptTokens: number | null;
      tokens: number;
      seconds: number;
      /** Null for an endpoint that does not say what it costs. */
      usd: number | null;
      verdict: { correct: boolean; reason: string } | null;
    }
  | { type: 'error'; message: string };

export interface RecipeChoice {
  name: string;
  description: string;
  trainable: boolean;
  work: PlannableRecipe;
}

export interface BillView {
  bill: RunStatement;
  /** False while the run goes on: as far as it has come. */
  final: boolean;
}

export interface Machine {
  version: string;
  runsFolder: string;
  recipes: string[];
}

export type { ClaimDocument, RunStatement };
