/** @file The part of `node:url` that the interpreter uses. */
export const fileURLToPath = (url: string | URL): string => new URL(url, location.href).pathname;
