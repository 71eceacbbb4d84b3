/**
 * @file Talking to the server: JSON, streams of events, and the list of runs that every page
 * shares.
 */
import { signal } from '@preact/signals';
import type { ChatEvent, ChatRequest, RunDetail, RunSummary } from '../protocol.js';
import { addEvent, type PricedEvent } from '../run-state.js';

const token = document.querySelector<HTMLMetaElement>('meta[name=studio-token]')?.content ?? '';

async function read<T>(response: Response): Promise<T> {
  const body = (await response.json().catch(() => null)) as
    | (T & { error?: { message: string } })
    | null;
  if (!response.ok || body === null)
    throw new Error(body?.error?.message ?? `the server answered ${response.status}`);
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
  return read<T>(
    await fetch(`/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) }),
  );
}

/** Newest first; null until the server has answered. */
export const runs = signal<RunSummary[] | null>(null);
/** False while the server does not answer. */
export const connected = signal(true);

/**
 * A browser opens six connections to a server, and each stream keeps one: a hidden tab
 * lets go of its own, and begins anew when it is seen. @returns a function that ends it
 */
function whileSeen(begin: () => void, leave: () => void): () => void {
  const look = (): void => (document.visibilityState === 'visible' ? begin() : leave());
  document.addEventListener('visibilitychange', look);
  look();
  return () => {
    document.removeEventListener('visibilitychange', look);
    leave();
  };
}

let listed = false;

/** Follows the list of runs; once is enough. A page of one run is shown before it is asked for. */
export function followRuns(): void {
  if (listed) return;
  listed = true;
  let source: EventSource | null = null;
  const begin = (): void => {
    source?.close();
    source = new EventSource('/api/live');
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
  };
  whileSeen(begin, () => source?.close());
}

/** Most buckets of a curve in the page. */
const CURVE_LIMIT = 1024;

export interface FollowedRun {
  detail: RunDetail;
  /** Rises with every change of the state, which is folded in place. */
  version: number;
}

/**
 * Follows a run: its state, then what is appended, folded by the same code as on the server.
 * @param change called at most once a frame
 * @returns a function that ends it
 */
export function followRun(
  name: string,
  change: (run: FollowedRun) => void,
  failed: (message: string) => void,
): () => void {
  let source: EventSource | null = null;
  let version = 0;
  let frame = 0;
  /** Rises when what is on its way is no longer wanted. */
  let turn = 0;
  const base = `runs/${encodeURIComponent(name)}`;

  function leave(): void {
    turn++;
    cancelAnimationFrame(frame);
    source?.close();
  }

  async function begin(): Promise<void> {
    leave();
    const own = turn;
    let detail: RunDetail;
    try {
      detail = await get<RunDetail>(base);
    } catch (error) {
      if (own === turn) failed((error as Error).message);
      return;
    } finally {
      followRuns();
    }
    if (own !== turn) return;
    const show = (): void => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => change({ detail, version }));
    };
    version++;
    show();
    source = new EventSource(`/api/${base}/events?offset=${detail.offset}`);
    source.addEventListener('events', (message) => {
      const events = JSON.parse(message.data) as PricedEvent[];
      for (const event of events) addEvent(detail.state, event, CURVE_LIMIT);
      version++;
      show();
    });
    source.addEventListener('summary', (message) => {
      const { summary, progress } = JSON.parse(message.data);
      detail = { ...detail, summary, progress };
      show();
    });
    // The log was cut or replaced, or a long one has now been read.
    source.addEventListener('reset', () => void begin());
    source.addEventListener('gone', () => {
      leave();
      failed('This run has been deleted.');
    });
  }
  return whileSeen(() => void begin(), leave);
}

/** Streams an answer. Resolves when it has ended. */
export async function ask(
  request: ChatRequest,
  take: (event: ChatEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const headers = { 'content-type': 'application/json', 'x-studio-token': token };
  const response = await fetch('/api/chat', {
    method: 'POST',
    headers,
    body: JSON.stringify(request),
    signal,
  });
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
