/**
 * @file Memory that threads share, where they may.
 */

/**
 * Zeroed. A page that is not cross-origin isolated has no shared memory, and then no second thread
 * either.
 */
export const sharedBuffer = (bytes: number): SharedArrayBuffer | ArrayBuffer =>
  typeof SharedArrayBuffer === 'undefined' ? new ArrayBuffer(bytes) : new SharedArrayBuffer(bytes);
