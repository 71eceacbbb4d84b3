/**
 * @file Which backend a run computes on: chosen once by the main thread, opened by every rank.
 */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { architectureOf, countParameters } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import {
  type AdapterSpec,
  elementsBeside,
  type FrozenWeights,
  parametersOf,
  parseModelConfig,
  planAdapter,
  reserveFrozen,
} from '../../models/index.js';
import { type Backend, type Form, sizeOf } from '../../tensor/backend.js';
import { createReferenceBackend } from '../../tensor/backends/reference.js';
import {
  abortRanks,
  createWasmBackend,
  createWasmMemory,
  type GemmChoice,
  type Kernels,
  PRODUCTS,
  type Products,
  probeGemm,
  productsOf,
  type WasmMemory,
} from '../../tensor/backends/wasm/index.js';
import { loadKernels } from '../../tensor/backends/wasm/load.js';
import {
  createWebGpuBackend,
  PRECISIONS,
  type Precision,
  requireAdapter,
  webGpuFingerprint,
} from '../../tensor/backends/webgpu/index.js';

export const BACKENDS = ['wasm', 'webgpu', 'reference'] as const;
export type BackendKind = (typeof BACKENDS)[number];

/**
 * Workers of a run that does not say: one a core, and one where the device is parallel inside or
 * has no ranks.
 */
export const defaultWorkers = (kind: BackendKind): number =>
  kind === 'wasm' ? availableParallelism() : 1;

/**
 * Structured-cloneable: goes to the workers as it is. `fingerprint` is what each rank's backend
 * will have.
 */
export type BackendPlan = {
  fingerprint: string;
  /** The matrices under an adapter that stay in their form, for all ranks. */
  frozen?: FrozenWeights;
} & (
  | { kind: 'reference' }
  | { kind: 'webgpu'; precision: Precision }
  | { kind: 'wasm'; memory: WasmMemory; choice: GemmChoice; kernels: Kernels }
);

export interface BackendRequest {
  kind: BackendKind;
  workers: number;
  /** What multiplies matrices. */
  products?: Products;
  /** What a GPU rounds to; default `f32`. */
  precision?: Precision;
  /** Model configurations that the run uses; they decide how much memory all ranks share. */
  models: readonly object[];
  /** What is trained instead of the (one) model's weights, and the forms in which those are. */
  adapter?: AdapterSpec;
  forms?: ReadonlyMap<string, Form>;
}

/**
 * Weights, two AdamW moments or a momentum, and a reference policy; and a margin for small shared
 * tensors.
 */
const SHARED_COPIES = 5;
const SHARED_MARGIN_BYTES = 16 * 1024 * 1024;

/** Reserves memory and decides what multiplies matrices, once for all ranks. */
export async function planBackend(request: BackendRequest): Promise<BackendPlan> {
  const { kind, workers, products, precision = 'f32', models, adapter, forms } = request;
  if (kind !== 'wasm' && workers !== 1) {
    throw new UserError(
      'usage',
      `the ${kind} backend runs on one worker, not ${workers}; add --workers 1`,
      'workers',
    );
  }
  const frozen =
    adapter && forms
      ? reserveFrozen(
          parametersOf(parseModelConfig(models[0], 'recipe')),
          (name) => forms.get(name) ?? null,
        )
      : undefined;
  if (kind === 'reference')
    return { kind, fingerprint: createReferenceBackend().fingerprint, frozen };
  if (kind === 'webgpu') {
    return {
      kind,
      precision,
      fingerprint: webGpuFingerprint(await requireAdapter(), { precision }),
      frozen,
    };
  }
  const sharedBytes = sharedBytesFor(models, adapter, frozen);
  const kernels = loadKernels();
  const choice = await probeGemm({ products, kernels });
  const fingerprint = `wasm ${kernels.relaxed ? 'relaxed' : 'plain'} ${kernels.id}, ${choice.name}`;
  return {
    kind,
    fingerprint,
    memory: createWasmMemory({ worldSize: workers, sharedBytes }),
    choice,
    kernels,
    frozen,
  };
}

function sharedBytesFor(
  models: readonly object[],
  adapter: AdapterSpec | undefined,
  frozen: FrozenWeights | undefined,
): number {
  if (!adapter) {
    const parameters = Math.max(
      ...models.map((model) => countParameters(architectureOf(model)).stored),
    );
    // A teacher's weights lie beside its student's.
    const copies = SHARED_COPIES + (new Set(models).size > 1 ? 1 : 0);
    return copies * 4 * parameters + SHARED_MARGIN_BYTES;
  }
  const specs = parametersOf(parseModelConfig(models[0], 'recipe'));
  const beside = elementsBeside(specs, frozen);
  const trained = planAdapter(specs, adapter).specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
  return 4 * (SHARED_COPIES * trained + beside) + SHARED_MARGIN_BYTES;
}

async function create(plan: BackendPlan, rank: number): Promise<Backend> {
  switch (plan.kind) {
    case 'reference':
      return createReferenceBackend();
    case 'webgpu':
      return createWebGpuBackend({ precision: plan.precision });
    case 'wasm':
      return createWasmBackend({
        memory: plan.memory,
        rank,
        choice: plan.choice,
        kernels: plan.kernels,
      });
  }
}

export async function openBackend(plan: BackendPlan, rank: number): Promise<Backend> {
  const backend = await create(plan, rank);
  if (backend.fingerprint !== plan.fingerprint) {
    throw new Error(
      `rank ${rank} computes on ${backend.fingerprint}, planned was ${plan.fingerprint}`,
    );
  }
  return backend;
}

/**
 * What a run computes on, as a resume takes it again unless told otherwise: where the WASM kernels
 * did the products they do so again, although this processor or an installed library could be
 * faster.
 */
const settingsSchema = z.object({
  kind: z.enum(BACKENDS),
  products: z.enum(PRODUCTS),
  precision: z.enum(PRECISIONS),
});
export type BackendSettings = z.infer<typeof settingsSchema>;

export const settingsOf = (plan: BackendPlan): BackendSettings => ({
  kind: plan.kind,
  products: plan.kind === 'wasm' ? productsOf(plan.choice) : 'wasm',
  precision: plan.kind === 'webgpu' ? plan.precision : 'f32',
});

/** Settings that a log or a snapshot holds; none where an earlier version wrote it. */
export const readSettings = (value: unknown): Partial<BackendSettings> =>
  settingsSchema.safeParse(value).data ?? {};

/** Makes every rank that waits for another one give up. */
export function abortPlan(plan: BackendPlan): void {
  if (plan.kind === 'wasm') abortRanks(plan.memory);
}
