/** @file The part of `node:os` that the interpreter uses. */
const { hardwareConcurrency = 1, userAgent } = navigator;

/**
 * Threads share memory in an isolated page alone; each gets a part of the 4 GiB that WebAssembly
 * addresses.
 */
const MOST_THREADS = 8;
export const availableParallelism = (): number =>
  globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, hardwareConcurrency) : 1;
/** What results rest on: browsers do not name the processor, so their own name stands for it. */
export const cpus = () => Array.from({ length: hardwareConcurrency }, () => ({ model: userAgent }));
export const totalmem = (): number =>
  ((navigator as { deviceMemory?: number }).deviceMemory ?? 0) * 2 ** 30;
export const hostname = (): string => location.host;
export const release = (): string => '';
export const tmpdir = (): string => '/tmp';

/** The page has no cache of models. */
export const homedir = (): string => '/';
