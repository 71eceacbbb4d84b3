/**
 * @file Event streams (server-sent events) to an open page: the list of runs, and the events of one.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { openStream } from './http.js';
import type { Entry, Library } from './library.js';

/** How often a log that an open page shows is checked for new events. */
const FOLLOW_MS = 250;
const LIST_MS = 1000;

export function openStreams(library: Library) {
  const endings = new Set<() => void>();

  /** Calls `work` again and again until the other side leaves. */
  function repeat(
    response: ServerResponse,
    everyMs: number,
    work: () => Promise<void> | void,
  ): void {
    let busy = false;
    const timer = setInterval(async () => {
      if (busy) return;
      busy = true;
      try {
        await work();
      } catch {
        response.end();
      }
      busy = false;
    }, everyMs);
    const end = (): void => {
      clearInterval(timer);
      endings.delete(end);
    };
    endings.add(end);
    response.on('close', end);
  }

  async function listLive(response: ServerResponse): Promise<void> {
    const send = openStream(response);
    let sent = '';
    const look = async (): Promise<void> => {
      const list = await library.list();
      const text = JSON.stringify(list);
      if (text === sent) return;
      sent = text;
      send(list);
    };
    await look();
    repeat(response, LIST_MS, look);
  }

  /** The events of a run from where the page stands; `reset` when it must take the state anew. */
  function follow(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    entry: Entry,
  ): void {
    const { log } = entry;
    const from = Number(request.headers['last-event-id'] ?? url.searchParams.get('offset') ?? 0);
    const send = openStream(response);
    // A page that shows a sample waits for the whole log; `reset` announces it.
    if (log.current().progress === 1) {
      const missed = Number.isSafeInteger(from) ? log.since(from) : null;
      if (missed === null) send({}, null, 'reset');
      else if (missed.length > 0) send(missed, log.current().offset, 'events');
    }
    let status = '';
    const stop = log.subscribe((change) => {
      if (change.kind === 'events') send(change.events, change.offset, 'events');
      else send({}, null, change.kind);
    });
    response.on('close', stop);
    repeat(response, FOLLOW_MS, async () => {
      await log.look();
      const summary = library.find(entry.run.name) === undefined ? null : library.summary(entry);
      const { progress } = log.current();
      const now = JSON.stringify([
        summary?.status,
        summary?.hasModel,
        summary?.hasBill,
        Math.floor(progress * 50),
      ]);
      if (now === status) return;
      status = now;
      if (summary === null) send({}, null, 'gone');
      else send({ summary, progress }, null, 'summary');
    });
  }

  return {
    listLive,
    follow,
    close(): void {
      for (const end of [...endings]) end();
    },
  };
}
