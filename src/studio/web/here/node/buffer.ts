/** @file Node's `Buffer`, in place of the global. */
export { Buffer } from 'buffer/';
