/**
 * @file What the HTTP thread and the inference thread say to each other. Plain data, cloned on its
 * way.
 */
import type { GenerationDefaults } from '../checkpoints/generation.js';
import type { EngineStats } from '../inference/engine.js';
import type { GenerationEvent, GenerationRequest } from '../inference/generator.js';
import type { Products } from '../tensor/backends/wasm/index.js';

/** What the inference thread is started with. */
export interface EngineJob {
  /** A model folder or a snapshot. */
  folder: string;
  /** What multiplies matrices. */
  products?: Products;
  /** Sequences in a step. */
  capacity: number;
  /** Most bytes of the key-value cache. */
  cacheBytes: number;
}

export interface ModelInfo {
  vocabularySize: number;
  /** Longest prompt and completion together, tokens. */
  contextLength: number;
  /** Its chat template ends in `<think>`: by itself, and with its switch on and off. */
  opensThinking: Record<'model' | 'on' | 'off', boolean>;
  /** What its makers say of sampling. */
  generation: GenerationDefaults;
  /** As for people: with its MTP module named. */
  parameters: string;
  /** What computes. */
  backend: string;
  cacheRows: number;
}

export type ToEngine =
  | { kind: 'submit'; id: number; request: GenerationRequest }
  | { kind: 'cancel'; id: number }
  | { kind: 'close' };

export type FromEngine =
  | { kind: 'ready'; info: ModelInfo }
  /** Comes each second at least while there is work, also when there is nothing to say. */
  | { kind: 'events'; events: GenerationEvent[]; stats: EngineStats }
  | { kind: 'failed'; error: { code: string; message: string; field?: string } };
