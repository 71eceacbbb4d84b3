/**
 * @file The thread of a user's rewards: loads the task's file for itself, asks one reward at a
 * time.
 */
import { parentPort } from 'node:worker_threads';
import { grant } from '../base/grants.js';
import { askOf } from './definition.js';
import { type GradeJob, loadTaskModule } from './module.js';
import { oneLine, type ThreadReply } from './pool.js';
import { scoreOf } from './rewards.js';
import type { Task } from './task.js';

const tasks = new Map<string, Task>();

/**
 * A rejected promise that nobody waits for is the reward's affair, and not the end of the thread.
 */
process.on('unhandledRejection', () => {});

parentPort?.on('message', async ({ module, options, problem, completion, reward }: GradeJob) => {
  const reply = (message: ThreadReply): void => parentPort?.postMessage(message);
  try {
    const key = JSON.stringify([module, options]);
    let task = tasks.get(key);
    if (!task) {
      // The thread that asks has the grant.
      grant(module);
      task = loadTaskModule(module).create(options);
      tasks.set(key, task);
    }
    parentPort?.postMessage('started');
    if (reward !== null && task.rewards)
      reply({ done: await scoreOf(askOf(task, reward), problem, completion) });
    else reply({ done: await task.verify(problem, completion) });
  } catch (error) {
    reply({ failed: `throws ${oneLine(error instanceof Error ? error.message : String(error))}` });
  }
});
