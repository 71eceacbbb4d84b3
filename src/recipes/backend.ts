/**
 * @file Which backend a run computes on: chosen once by the main thread, opened by every rank.
 */
import { UserError } from '../base/errors.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import {
  abortRanks,
  createWasmBackend,
  createWasmMemory,
  type GemmChoice,
  probeGemm,
  type WasmMemory,
} from '../tensor/backends/wasm/index.js';
import { countParameters, type DecoderShape } from '../usage/flops.js';

export const BACKENDS = ['wasm', 'reference'] as const;
export type BackendKind = (typeof BACKENDS)[number];

/** Structured-cloneable: goes to the workers as it is. */
export type BackendPlan = { kind: 'reference' } | { kind: 'wasm'; memory: WasmMemory; choice: GemmChoice };

export interface BackendRequest {
  kind: BackendKind;
  workers: number;
  /** False forces our own matrix product. */
  blas: boolean;
  /** A model configuration; decides how much memory all ranks share. */
  model: Record<string, unknown>;
}

/** Weights, two AdamW moments or a momentum, and a reference policy; and a margin for small shared tensors. */
const SHARED_COPIES = 5;
const SHARED_MARGIN_BYTES = 16 * 1024 * 1024;

/** Reserves memory and decides what multiplies matrices, once for all ranks. */
export async function planBackend({ kind, workers, blas, model }: BackendRequest): Promise<BackendPlan> {
  if (kind === 'reference') {
    if (workers !== 1)
      throw new UserError('usage', `the reference backend runs on one worker, not ${workers}; add --workers 1`, 'workers');
    return { kind };
  }
  const parameters = countParameters(model as unknown as DecoderShape).total;
  const sharedBytes = SHARED_COPIES * 4 * parameters + SHARED_MARGIN_BYTES;
  return { kind, memory: createWasmMemory({ worldSize: workers, sharedBytes }), choice: await probeGemm({ blas }) };
}

export async function openBackend(plan: BackendPlan, rank: number): Promise<Backend> {
  if (plan.kind === 'reference') return createReferenceBackend();
  return createWasmBackend({ memory: plan.memory, rank, choice: plan.choice });
}

/** Makes every rank that waits for another one give up. */
export function abortPlan(plan: BackendPlan): void {
  if (plan.kind === 'wasm') abortRanks(plan.memory);
}
