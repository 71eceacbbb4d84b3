/**
 * @file The threads of a run in a page. Rank 0 has none of its own: it shares the training worker,
 * its files and its messages with the books, and lets them in between two steps. The other ranks,
 * where the page may share memory with them, are workers.
 */

import type { Thread } from '../../../policy/local/thread.js';
import type { FromRank, RankJob, ToRank } from '../../../train/protocol.js';
import { runRank } from '../../../train/rank.js';
import type { RankMessage, RankStart } from './rank.js';
import { pack } from './runs.js';

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

export function startThread(_file: URL, { workerData }: { workerData?: unknown }): Thread {
  const job = workerData as RankJob;
  return (job.rank === 0 ? ownThread(job) : otherThread(job)) as unknown as Thread;
}

type Listener = (value: unknown) => void;

function ownThread(job: RankJob) {
  let hear: (message: ToRank) => void = () => {};
  const listeners = new Map<string, Listener>();
  const emit = (event: string, value: FromRank | number): void => listeners.get(event)?.(value);
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
  return {
    on: (event: string, listener: Listener) => listeners.set(event, listener),
    postMessage: (message: ToRank) => hear(message),
    terminate: () => {
      ended = true;
    },
  };
}

function otherThread(job: RankJob) {
  // This worker's own script, under another name.
  const worker = new Worker(location.href, { type: 'module', name: 'rank' });
  const listeners = new Map<string, Listener>();
  const end = (code: number): void => {
    worker.terminate();
    listeners.get('exit')?.(code);
  };
  worker.onmessage = ({ data }: MessageEvent<RankMessage>) => {
    if (data === null) end(0);
    else listeners.get('message')?.(data);
  };
  worker.onerror = ({ message }) => {
    listeners.get('error')?.(new Error(message));
    end(1);
  };
  worker.postMessage({ job, files: pack(job.runFolder) } satisfies RankStart);
  return {
    on: (event: string, listener: Listener) => listeners.set(event, listener),
    postMessage: () => {},
    terminate: () => end(1),
  };
}
