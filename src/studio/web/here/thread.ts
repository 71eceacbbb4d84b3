/**
 * @file The threads of a run in a page. Rank 0 has none of its own: it shares the training worker, its files and its messages with the
 * books, and lets them in between two steps.
 */
import type { FromRank, RankJob, ToRank } from '../../../recipes/messages.js';
import { runRank } from '../../../recipes/rank.js';
import type { Thread } from '../../../recipes/thread.js';

/** A task of its own for the event loop, so that timers and messages are heard. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

export function startThread(_file: string, { workerData }: { workerData?: unknown }): Thread {
  const job = workerData as RankJob;
  let hear: (message: ToRank) => void = () => {};
  const listeners = new Map<string, (value: never) => void>();
  const emit = (event: string, value: FromRank | number): void => listeners.get(event)?.(value as never);
  let ended = false;
  void turn().then(async () => {
    await runRank(job, {
      send: (message) => {
        if (!ended) emit('message', message);
      },
      receive: (listener) => {
        hear = listener;
      },
      turn: async () => {
        await turn();
        if (ended) throw new Error('the run was ended');
      },
    });
    emit('exit', 0);
  });
  const thread = {
    on: (event: string, listener: (value: never) => void) => listeners.set(event, listener),
    postMessage: (message: unknown) => hear(message as ToRank),
    terminate: () => {
      ended = true;
    },
  };
  return thread as unknown as Thread;
}
