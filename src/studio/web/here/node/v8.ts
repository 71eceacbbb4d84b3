/** @file The part of `node:v8` that the interpreter uses: a browser takes no flags. */
export const setFlagsFromString = (_flag: string): void => {};
