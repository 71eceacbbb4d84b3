/** @file The thread of the sandbox: runs completions one after the other. */
import { parentPort } from 'node:worker_threads';
import { DEEP_STACK_BYTES, runSandbox, type SandboxJob } from './run.js';

parentPort?.on('message', async (job: SandboxJob) => {
  parentPort?.postMessage('started');
  parentPort?.postMessage({ done: await runSandbox(job, DEEP_STACK_BYTES) });
});
