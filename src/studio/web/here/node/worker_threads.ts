/**
 * @file The part of `node:worker_threads` that the interpreter uses, on web workers.
 *
 * One kind of thread is started in a page, the sandbox of a reward or of a model's code; the ranks
 * are started by `thread.ts`. In such a thread this file is the other end: `parentPort`.
 */
import { startSandbox } from '../start-sandbox.js';

export const isMainThread = true;
export const threadId = 0;
export const workerData = null;

type Listener = (value: never) => void;

export class Worker {
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly worker = startSandbox();

  constructor() {
    this.worker.onmessage = ({ data }) => this.emit('message', data);
    this.worker.onerror = ({ message }) => this.emit('error', new Error(message));
  }
  private emit(event: string, value: unknown): void {
    for (const listener of [...(this.listeners.get(event) ?? [])])
      (listener as (value: unknown) => void)(value);
  }
  on(event: string, listener: Listener): this {
    const known = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, known.add(listener));
    return this;
  }
  once(event: string, listener: Listener): this {
    const once = (value: never): void => {
      this.removeListener(event, once);
      listener(value);
    };
    return this.on(event, once);
  }
  removeListener(event: string, listener: Listener): this {
    this.listeners.get(event)?.delete(listener);
    return this;
  }
  removeAllListeners(event: string): this {
    this.listeners.delete(event);
    return this;
  }
  postMessage(message: unknown): void {
    this.worker.postMessage(message);
  }
  async terminate(): Promise<void> {
    this.worker.terminate();
    this.emit('exit', 1);
  }
  ref(): void {}
  unref(): void {}
}

/** Null in the page's own thread, where nothing asks for it. */
export const parentPort =
  typeof WorkerGlobalScope === 'undefined'
    ? null
    : {
        on: (_event: 'message', listener: (value: unknown) => void) =>
          globalThis.addEventListener('message', ({ data }: MessageEvent) => listener(data)),
        postMessage: (value: unknown) => globalThis.postMessage(value),
      };

declare const WorkerGlobalScope: object | undefined;
