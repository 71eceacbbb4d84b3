/**
 * @file Talking to the server: JSON, streams of events, and the list of runs that every page shares.
 */
import { signal } from '@preact/signals';
import type { ChatEvent, ChatRequest, RunDetail, RunSummary } from '../protocol.js';
import { addEvent, type PricedEvent } from '../run-state.js';

const token = document.querySelector<HTMLMetaElement>('meta[name=studio-token]')?.content ?? '';

async function read<T>(response: Response): Promise<T> {
  const body = (await response.json().catch(() => null)) as (T & { error?: { message: string } }) | null;
  if (!response.ok || body === null) throw new Error(body?.error?.message ?? `the server answered ${response.status}`);
  return body;
}

export async function get<T>(path: string): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/${path}`);
  } catch {
    throw new Error('the server does not answer; is "reckoner studio" still running?');
  }
  return read<T>(response);
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const headers = { 'content-type': 'application/json', 'x-studio-token': token };
  return read<T>(await fetch(`/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) }));
}

/** Newest first; null until the server has answered. */
export const runs = signal<RunSummary[] | null>(null);
/** False while the server does not answer. */
export const connected = signal(true);

export function followRuns(): void {
  const source = new EventSource('/api/live');
  source.onmessage = (message) => {
    runs.value = JSON.parse(message.data);
    connected.value = true;
  };
  source.onopen = () => {
    connected.value = true;
  };
  source.onerror = () => {
    connected.value = false;
  };
}

/** Most buckets of a curve in the page. */
const CURVE_LIMIT = 1024;

export interface FollowedRun {
  detail: RunDetail;
  /** Rises with every change: states are folded in place. */
  version: number;
}

/**
 * Follows a run: its state, then what is appended, folded by the same code as on the server.
 * @param change called at most once a frame
 * @returns a function that ends it
 */
export function followRun(name: string, change: (run: FollowedRun) => void, failed: (message: string) => void): () => void {
  let source: EventSource | null = null;
  let ended = false;
  let version = 0;
  let frame = 0;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const base = `runs/${encodeURIComponent(name)}`;

  async function start(): Promise<void> {
    source?.close();
    let detail: RunDetail;
    try {
      detail = await get<RunDetail>(base);
    } catch (error) {
      if (!ended) failed((error as Error).message);
      return;
    }
    if (ended) return;
    const show = (): void => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => change({ detail, version: ++version }));
    };
    show();
    source = new EventSource(`/api/${base}/events?offset=${detail.offset}`);
    source.addEventListener('events', (message) => {
      const events = JSON.parse(message.data) as PricedEvent[];
      for (const event of events) addEvent(detail.state, event, CURVE_LIMIT);
      show();
    });
    source.addEventListener('summary', (message) => {
      const { summary, progress } = JSON.parse(message.data);
      detail = { ...detail, summary, progress };
      show();
    });
    source.addEventListener('reset', () => {
      source?.close();
      clearTimeout(retry);
      // A long log is read in the background; what has come so far is shown meanwhile.
      retry = setTimeout(() => void start(), detail.progress < 1 ? 400 : 0);
    });
    source.addEventListener('gone', () => {
      source?.close();
      failed('this run has been deleted');
    });
  }
  void start();
  return () => {
    ended = true;
    clearTimeout(retry);
    cancelAnimationFrame(frame);
    source?.close();
  };
}

/** Streams an answer. Resolves when it has ended. */
export async function ask(request: ChatRequest, take: (event: ChatEvent) => void, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json', 'x-studio-token': token };
  const response = await fetch('/api/chat', { method: 'POST', headers, body: JSON.stringify(request), signal });
  if (!response.ok || response.body === null) await read(response);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const parts = rest.split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const data = part.split('\n').find((line) => line.startsWith('data: '));
      if (data !== undefined) take(JSON.parse(data.slice('data: '.length)) as ChatEvent);
    }
  }
}
