/**
 * @file One model for several threads: its weights lie in memory that all see, and each thread has
 * caches and activations of its own.
 */
import { openWithAdapter } from '../checkpoints/peft.js';
import { createWasmMemory, type Products, probeGemm } from '../tensor/backends/wasm/index.js';
import { loadKernels } from '../tensor/backends/wasm/load.js';
import { type Described, describeFolder, type SharedModel } from './open.js';

/**
 * Beside the weights a thread wants this much, or half as much as the weights where that is more:
 * caches and activations.
 */
const LEAST_LOCAL_BYTES = 128 * 1024 * 1024;
/** Where a WebAssembly memory ends. */
const LIMIT_BYTES = 4 * 1024 ** 3;

/** What a folder says before its weights are read. @throws UserError (data) */
export function describeModel(folder: string): Described {
  const files = openWithAdapter(folder);
  try {
    return describeFolder(folder, files);
  } finally {
    files.close();
  }
}

/** Threads that a model leaves room for. */
export const roomForThreads = ({ sharedBytes }: Pick<Described, 'sharedBytes'>): number =>
  Math.max(
    1,
    Math.floor((LIMIT_BYTES - sharedBytes) / Math.max(LEAST_LOCAL_BYTES, sharedBytes / 2)),
  );

/**
 * Reserves the memory and decides what multiplies matrices, once for all threads; each then calls
 * `openModel` with it.
 */
export async function shareModel(
  { sharedBytes, frozen }: Pick<Described, 'sharedBytes' | 'frozen'>,
  { threads, products }: { threads: number; products?: Products },
): Promise<SharedModel> {
  const kernels = loadKernels();
  return {
    memory: createWasmMemory({ worldSize: threads, sharedBytes }),
    choice: await probeGemm({ products, kernels }),
    kernels,
    frozen,
  };
}
