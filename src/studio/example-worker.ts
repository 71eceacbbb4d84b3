/**
 * @file A thread that writes an example prompt of a run's task. The task may be a stranger's, so it
 * is made here, with a limit on time and memory, and only of what is the user's own.
 */
import { parentPort } from 'node:worker_threads';
import { taskOf } from '../inference/open.js';
import type { ThreadReply } from '../tasks/pool.js';
import { problemAt } from '../tasks/task.js';
import type { ExampleJob } from './examples.js';

parentPort?.on('message', ({ task, folder }: ExampleJob) => {
  const reply = (message: ThreadReply | 'started'): void => parentPort?.postMessage(message);
  reply('started');
  try {
    reply({ done: problemAt(taskOf({ task, folder }), 1, 'evaluation', 0).prompt });
  } catch (error) {
    reply({ failed: (error as Error).message });
  }
});
