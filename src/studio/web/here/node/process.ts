/** @file The part of Node's `process` that the interpreter uses, in place of the global. */
const timeOrigin = performance.now();
const ignore = (): void => {};

const process = {
  env: {} as Record<string, string | undefined>,
  pid: 1,
  version: navigator.userAgent,
  versions: { v8: '' } as Record<string, string>,
  platform: 'browser',
  arch: 'wasm',
  cwd: () => '/',
  on: ignore,
  off: ignore,
  kill: ignore,
  cpuUsage: () => ({ user: (performance.now() - timeOrigin) * 1000, system: 0 }),
  resourceUsage: () => ({
    maxRSS:
      ((performance as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? 0) / 1024,
  }),
};

export default process;
