/** @file `node:path`, as on any Unix. */
import posix from 'path-browserify';

export const { basename, dirname, extname, isAbsolute, join, normalize, relative, sep } = posix;
/** There is no working folder here but the root. */
export const resolve = (...parts: string[]): string => posix.resolve('/', ...parts);
