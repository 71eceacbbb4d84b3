/** @file The part of `node:os` that the interpreter uses. */
const { hardwareConcurrency = 1, userAgent } = navigator;

export const availableParallelism = (): number => hardwareConcurrency;
/** What results rest on: browsers do not name the processor, so their own name stands for it. */
export const cpus = () => Array.from({ length: hardwareConcurrency }, () => ({ model: userAgent }));
export const totalmem = (): number => ((navigator as { deviceMemory?: number }).deviceMemory ?? 0) * 2 ** 30;
export const hostname = (): string => location.host;
export const release = (): string => '';
export const tmpdir = (): string => '/tmp';
