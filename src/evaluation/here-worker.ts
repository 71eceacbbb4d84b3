/**
 * @file One thread of an evaluation: opens the model, then answers the parts that it is given.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../base/errors.js';
import { openModel } from '../inference/open.js';
import { openLocalPolicy } from '../policy/local/local-policy.js';
import type { Needs } from '../policy/policy.js';
import { evaluationProblems } from '../tasks/dataset.js';
import { grantReferences, makeTask } from '../tasks/index.js';
import { answerProblems } from './evaluate.js';
import type { FromThread, HereJob, ToThread } from './here.js';

if (!parentPort) throw new Error('evaluation/here-worker.js runs in a worker thread only');
const port = parentPort;
const send = (message: FromThread): void => port.postMessage(message);

const nextPart = (): Promise<number[] | null> => {
  const answer = new Promise<number[] | null>((resolve) =>
    port.once('message', ({ part }: ToThread) => resolve(part)),
  );
  send({ kind: 'free' });
  return answer;
};

try {
  const {
    folder,
    share,
    rank,
    task: reference,
    seed,
    problems: count,
    options,
  } = workerData as HereJob;
  // The thread that gives the job has seen to what it refers to.
  grantReferences(reference);
  const task = makeTask(reference);
  const problems = evaluationProblems(task, seed, count);
  const opened = await openModel(folder, { share: { model: share, rank } });
  const { backend, model, tokenizer } = opened;
  const { ranks } = backend;
  const parts = { backend, model, eos: tokenizer.special.eos, microBatchTokens: 4096 };
  const open = async (needs: Needs) => openLocalPolicy(parts, needs);
  const onTranscript: NonNullable<Parameters<typeof answerProblems>[3]['onTranscript']> = (
    transcript,
  ) => send({ kind: 'transcript', transcript });
  for (let part = await nextPart(); part !== null; part = await nextPart()) {
    await answerProblems({ ranks, open, tokenizer, task, seed }, problems, part, {
      ...options,
      onTranscript,
    });
  }
} catch (error) {
  const known = error instanceof UserError;
  const { message, stack } = error as Error;
  const code = known ? error.code : ('bug' as const);
  send({ kind: 'failed', error: { code, message, field: known ? error.field : undefined, stack } });
}
port.close();
