/** @file The part of `node:v8` that the interpreter uses: a browser takes no flags. */
export const setFlagsFromString = (_flag: string): void => {};
/** A tab's limit where its browser tells it. */
export const getHeapStatistics = (): { heap_size_limit: number } => {
  const { memory } = performance as { memory?: { jsHeapSizeLimit: number } };
  return { heap_size_limit: memory?.jsHeapSizeLimit ?? 2 ** 32 };
};
