/** @file Types of the messages between the page and its training worker. */
import type { RunStatement } from '../../../ledger/statement/runs.js';
import type { BackendKind } from '../../../policy/local/backend.js';
import type { Recipe } from '../../../recipe/index.js';
import type { SampleRecord } from '../../../training/stage.js';
import type { ChatEvent, Expected } from '../../protocol.js';
import type { PricedEvent, RunState } from '../../run-state.js';
import type { Choice } from './recipe.js';

export interface Sample extends SampleRecord {
  step: number;
  stage: string;
}

/** A task of the form. */
export interface TaskChoice {
  name: string;
  description: string;
  reference: Record<string, unknown>;
  prompt: string;
  /** A right answer to it. */
  gold: string;
}

export interface OpenRun {
  name: string;
  recipe: Recipe;
  state: RunState;
  samples: Sample[];
  /** What each stage is expected to take; null until the machine has been timed. */
  stages: {
    id: string;
    kind: string;
    steps: number;
    seconds: Expected | null;
    usd: Expected | null;
  }[];
  bill: RunStatement | null;
  /** There is something to download and to talk to. */
  hasModel: boolean;
  /** A problem of its task. */
  example: string;
}

export type ToTrainer =
  | { kind: 'open' }
  | { kind: 'train'; choice: Choice }
  /** A recipe as it is, without the form. */
  | { kind: 'train-recipe'; recipe: unknown; backend: BackendKind | 'auto' }
  | { kind: 'resume' }
  | { kind: 'stop' }
  | { kind: 'forget' }
  | { kind: 'ask'; id: number; prompt: string; temperature: number; seed: number }
  | { kind: 'download' };

export type FromTrainer =
  /** `device` is what there is to compute on; `notes` is what the user should know. */
  | { kind: 'opened'; device: string; notes: string[]; tasks: TaskChoice[]; run: OpenRun | null }
  | { kind: 'run'; run: OpenRun }
  | { kind: 'event'; event: PricedEvent }
  | { kind: 'samples'; samples: Sample[] }
  | { kind: 'bill'; bill: RunStatement }
  | { kind: 'saved'; step: number }
  /** The worker is free again. */
  | { kind: 'idle'; run: OpenRun | null }
  /** Good to know. */
  | { kind: 'note'; message: string }
  | { kind: 'refused'; message: string }
  | { kind: 'answer'; id: number; event: ChatEvent }
  | { kind: 'download'; name: string; bytes: Uint8Array<ArrayBuffer> };
