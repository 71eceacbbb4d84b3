/**
 * @file Finds, checks and compiles the kernels: a file in Node, what was fetched in a browser.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { UserError } from '../../../base/errors.js';
import { hasRelaxedSimd } from './features.js';

export { hasRelaxedSimd };

// Node 20's engine (V8 11.3) has relaxed SIMD complete, but behind a flag; the version after it
// ships it unchanged. With it the matrix product reaches 1.3 times as much on Intel. Flags may
// change while a process runs as long as nothing has been compiled that they concern: each module
// reads them when it is compiled. Later versions no longer know this flag.
if (process.versions.v8.startsWith('11.3.')) setFlagsFromString('--experimental-wasm-relaxed-simd');

export interface Kernels {
  readonly module: WebAssembly.Module;
  /** True for the build with relaxed SIMD. */
  readonly relaxed: boolean;
  /** First digits of the file's SHA-256: other kernels, other bits. */
  readonly id: string;
}

export type Build = 'auto' | 'plain' | 'relaxed';

const loaded = new Map<boolean, Kernels>();

/** Kernels that a host without files has fetched; `loadKernels` gives them from now on. */
export function provideKernels(bytes: Uint8Array<ArrayBuffer>, relaxed: boolean): void {
  loaded.set(relaxed, compile(bytes, relaxed));
}

const compile = (bytes: Uint8Array<ArrayBuffer>, relaxed: boolean): Kernels => ({
  module: new WebAssembly.Module(bytes),
  relaxed,
  id: createHash('sha256').update(bytes).digest('hex').slice(0, 12),
});

/**
 * The kernels of a build; `auto` takes relaxed SIMD where the engine has it. Compiled once a
 * thread.
 * @throws UserError when the build is not supported or its file is missing.
 */
export function loadKernels(build: Build = 'auto'): Kernels {
  if (build === 'relaxed' && !hasRelaxedSimd()) {
    throw new UserError(
      'usage',
      `Node ${process.versions.node} has no relaxed SIMD; use the plain build.`,
    );
  }
  const relaxed = build === 'relaxed' || (build === 'auto' && hasRelaxedSimd());
  const before = loaded.get(relaxed);
  if (before) return before;
  const name = relaxed ? 'kernels-relaxed.wasm' : 'kernels.wasm';
  // From the sources (as tests run) the kernels are still those of the build folder.
  const url = new URL(
    import.meta.url.replace(/\/src\/(tensor\/backends\/wasm\/)load\.ts.*$/, '/dist/$1load.js'),
  );
  const path = fileURLToPath(new URL(name, url));
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new UserError(
      'state',
      `The kernels are missing at ${path}; build them with npm run build.`,
    );
  }
  const kernels = compile(bytes, relaxed);
  loaded.set(relaxed, kernels);
  return kernels;
}
