/**
 * @file Koffi, the optional package that calls native functions: a BLAS, and our own machine code.
 */
import { createRequire } from 'node:module';

/**
 * What is used of koffi, which npm leaves out where it has no binary: the build must not need its
 * types.
 */
export interface Koffi {
  load(path: string | null): Library;
  address(bytes: Uint8Array): number | bigint;
  proto(definition: string): unknown;
  decode(address: bigint, type: unknown): unknown;
}

export interface Library {
  unload(): void;
  // biome-ignore lint/suspicious/noExplicitAny: its type is in the prototype, which is text
  func(prototype: string): any;
}

let koffi: Koffi | null | undefined;

/** The package, or null where it is not installed. */
export function loadKoffi(): Koffi | null {
  if (koffi !== undefined) return koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    koffi = null; // no binary for this platform: the WASM kernels do the work
  }
  return koffi;
}

/** Address of the first byte of `buffer`; a shared WebAssembly memory never moves. */
export const addressOf = (lib: Koffi, buffer: ArrayBufferLike): number =>
  Number(lib.address(new Uint8Array(buffer)));
