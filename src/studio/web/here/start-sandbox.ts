/** @file Starts the thread of the sandbox. */
export const startSandbox = (): Worker =>
  new Worker(new URL('./sandbox.ts', import.meta.url), { type: 'module' });
