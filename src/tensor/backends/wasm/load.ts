/**
 * @file Finds, checks and compiles the kernels in Node. The backend itself takes a compiled module, so that a browser can
 * fetch one instead.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UserError } from '../../../base/errors.js';
import { hasRelaxedSimd } from './features.js';

export { hasRelaxedSimd };

export interface Kernels {
  readonly module: WebAssembly.Module;
  /** True for the build with relaxed SIMD. */
  readonly relaxed: boolean;
  /** First digits of the file's SHA-256: other kernels, other bits. */
  readonly id: string;
}

export type Build = 'auto' | 'plain' | 'relaxed';

const loaded = new Map<boolean, Kernels>();

/**
 * The kernels of a build; `auto` takes relaxed SIMD where the engine has it. Compiled once a thread.
 * @throws UserError when the build is not supported or its file is missing.
 */
export function loadKernels(build: Build = 'auto'): Kernels {
  if (build === 'relaxed' && !hasRelaxedSimd()) {
    throw new UserError('usage', `Node ${process.versions.node} has no relaxed SIMD; use Node 22 or newer, or the plain build.`);
  }
  const relaxed = build === 'relaxed' || (build === 'auto' && hasRelaxedSimd());
  const before = loaded.get(relaxed);
  if (before) return before;
  const name = relaxed ? 'kernels-relaxed.wasm' : 'kernels.wasm';
  // From the sources (as tests run) the kernels are still those of the build folder.
  const url = new URL(import.meta.url.replace(/\/src\/(tensor\/backends\/wasm\/)load\.ts.*$/, '/dist/$1load.js'));
  const path = fileURLToPath(new URL(name, url));
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new UserError('state', `The kernels are missing at ${path}; build them with npm run build.`);
  }
  const kernels = {
    module: new WebAssembly.Module(bytes),
    relaxed,
    id: createHash('sha256').update(bytes).digest('hex').slice(0, 12),
  };
  loaded.set(relaxed, kernels);
  return kernels;
}
