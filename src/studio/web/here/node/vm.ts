/** @file The part of `node:vm` that the interpreter uses: a page cannot end its own thread. */
export const Script = undefined;
