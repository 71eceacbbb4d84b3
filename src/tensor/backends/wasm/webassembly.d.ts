/**
 * @file The part of the WebAssembly JavaScript interface that the backend uses. TypeScript has it
 * in its `dom` library only, which would also let browser globals into code that runs in Node.
 */
declare namespace WebAssembly {
  type ExportValue = ((...args: number[]) => number) | Memory | { value: number };
  type Exports = Record<string, ExportValue>;
  class Module {
    constructor(bytes: BufferSource);
  }
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Exports;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: ArrayBuffer | SharedArrayBuffer;
    /** Grows by `pages` of 64 KiB; returns the old size in pages. */
    grow(pages: number): number;
  }
  function validate(bytes: BufferSource): boolean;
  type BufferSource = ArrayBufferView | ArrayBuffer;
}
