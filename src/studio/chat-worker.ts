/**
 * @file One model in a thread: completes a prompt at a time and sends each token as it is drawn.
 */
import { availableParallelism } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../base/errors.js';
import { type Completion, createSampler } from '../inference/index.js';
import { openModel, taskOf } from '../inference/open.js';
import { createStopwatch } from '../inference/stopwatch.js';
import { withOpening } from '../tasks/formats.js';
import { problemAt } from '../tasks/task.js';
import { tokensOpenThinking } from '../tokenizers/opening.js';
import { grade } from '../training/grade.js';
import type { ChatEvent, ChatRequest } from './protocol.js';

const { folder, cancelled } = workerData as { folder: string; cancelled: Int32Array };
if (parentPort === null) throw new Error('studio/chat-worker.js runs in a worker thread only');
const port = parentPort;
const opening = openModel(folder, { threads: availableParallelism() });
/** Problems among which a prompt is looked for, so that its answer can be graded. */
const LOOKED_AT = 2000;

class Cancelled extends Error {}

async function answer(request: ChatRequest, send: (event: ChatEvent) => void): Promise<void> {
  const opened = await opening;
  send({ type: 'loaded' });
  const { backend, model, tokenizer, config, generation } = opened;
  const ids = tokenizer.prompt(request.prompt);
  const room = config.max_position_embeddings - ids.length;
  if (room < 1)
    throw new UserError(
      'usage',
      `the prompt has ${ids.length} tokens, and the model takes ${config.max_position_embeddings}`,
    );
  const maxTokens = Math.min(request.maxTokens, room);
  const stopwatch = createStopwatch(backend.threads);
  const mark = backend.mark();
  try {
    const sampler = createSampler(backend, model, {
      capacity: 1,
      maxPrompt: ids.length,
      maxTokens,
      eos: tokenizer.special.eos,
    });
    const drawn: number[] = [];
    const thinks = tokensOpenThinking(tokenizer, ids);
    let sent = 0;
    const [completion] = await sampler.generate([ids], {
      samples: 1,
      maxTokens,
      temperature: request.temperature,
      // What the makers of a foreign model leave out of its samples; ours leave out nothing.
      topP: generation.topP ?? undefined,
      topK: generation.topK ?? undefined,
      key: [request.seed, 'chat', 0],
      onToken: (_prompt, _sample, token, logProbability) => {
        if (Atomics.load(cancelled, 0) === 1) throw new Cancelled();
        if (token === tokenizer.special.eos) return;
        drawn.push(token);
        const text = withOpening(tokenizer.decode(drawn), thinks);
        send({ type: 'token', text: text.slice(sent), logProbability, part: null });
        sent = text.length;
      },
    });
    const { seconds, usd } = stopwatch.read();
    const verdict = await verdictOf(completion);
    send({
      type: 'done',
      stop: completion.stop,
      promptTokens: ids.length,
      tokens: completion.tokens.length,
      seconds,
      usd,
      verdict,
    });
  } finally {
    backend.release(mark);
  }

  /** Of the model's own kind of problem; others cannot be judged. */
  async function verdictOf(completion: Completion) {
    try {
      const task = taskOf(opened);
      for (let i = 0; i < LOOKED_AT; i++) {
        const problem = problemAt(task, 1, 'evaluation', i);
        if (problem.prompt !== request.prompt) continue;
        const { correct, reason } = (await grade(task, tokenizer, problem, completion)).verdict;
        return { correct, reason };
      }
    } catch {
      // No task, or one that runs out of problems.
    }
    return null;
  }
}

let queue = Promise.resolve();
port.on('message', ({ id, request }: { id: number; request: ChatRequest }) => {
  queue = queue.then(async () => {
    Atomics.store(cancelled, 0, 0);
    try {
      await answer(request, (event) => port.postMessage({ id, event }));
    } catch (error) {
      const message =
        error instanceof Cancelled
          ? 'stopped'
          : error instanceof UserError
            ? error.message
            : String(error);
      port.postMessage({ id, event: { type: 'error', message } satisfies ChatEvent });
    }
  });
});
