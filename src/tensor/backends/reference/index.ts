/**
 * @file The judge: the whole backend contract in float64 TypeScript.
 *
 * It runs the reference kernels that stand beside each operation's declaration, poisons
 * uninitialised memory, and has one rank. Nothing here is fast and nothing here is clever. Every
 * other backend is compared with it; it is itself compared with finite differences.
 */
import type { Backend } from '../../backend.js';
import type { Declaration, Spec, TensorSpec } from '../../operations/declare.js';
import { OPERATIONS } from '../../operations/index.js';
import { type Minus, subtract } from '../../operations/reference-kernel.js';
import { type BackendCore, type Kernels, withOperations } from '../shared/checked.js';
import { createMemory, flat, matrix, type ReferenceTensor } from './memory.js';

/** A tensor as a reference kernel wants it; see `PlainTensors`. */
function plain(spec: Spec, tensor: ReferenceTensor): unknown {
  const one =
    spec.role === 'depending'
      ? Object.values(spec.cases)[0]
      : spec.role === 'optional'
        ? spec.spec
        : (spec as TensorSpec);
  const isMatrix = one.dims.length === 2 && one.kind !== 'i32' && one.kind !== 'numbers';
  return isMatrix ? matrix(tensor) : flat(tensor);
}

/** The reference kernels, on this backend's handles. */
function referenceKernels(minus: Minus): Kernels<null, ReferenceTensor> {
  const kernels = Object.entries(OPERATIONS).flatMap(([name, declared]) => {
    const { args, reference } = declared as unknown as Declaration;
    if (!reference) return [];
    const tensors = Object.entries(args).filter(([, spec]) => spec.role !== 'scalar');
    const kernel = (_: null, given: Record<string, ReferenceTensor | null>, numbers: never) =>
      reference(
        Object.fromEntries(
          tensors.map(([key, spec]) => {
            const tensor = given[key];
            return [key, tensor && plain(spec, tensor)];
          }),
        ) as never,
        numbers,
        minus,
      );
    return [[name, kernel] as const];
  });
  return Object.fromEntries(kernels) as unknown as Kernels<null, ReferenceTensor>;
}

/**
 * @param minus how differences of terms are taken; anything but the default is for the parity tests
 * (`Minus`).
 */
export function createReferenceBackend(minus: Minus = subtract): Backend {
  const core: BackendCore = {
    name: 'reference',
    onHost: true,
    fingerprint: 'reference float64',
    ranks: {
      rank: 0,
      worldSize: 1,
      barrier: async () => {},
      sum: async (values) => [...values],
      reduce: () => {},
    },
    ...createMemory(),
    sync: async () => {},
    close: async () => {},
  };
  return withOperations<null, ReferenceTensor, BackendCore>(
    core,
    null,
    referenceKernels(minus),
    (tensor) => flat(tensor)[tensor.size - 1],
  );
}
