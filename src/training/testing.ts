/**
 * @file For tests: a tiny task, and several ranks in one thread.
 */
import type { Problem, Task, Verdict } from '../tasks/task.js';
import type { Backend } from '../tensor/backend.js';
import { createWasmBackend, createWasmMemory } from '../tensor/backends/wasm/index.js';

/**
 * `ab=` asks for the letters again: one or two of a, b, c, d; a completion is graded by `verify`
 * and never parsed.
 */
export function lettersTask(
  verify: (problem: Problem, completion: string) => number = () => 0,
): Task {
  return {
    name: 'letters',
    alphabet: 'abcd=',
    maxPromptLength: 3,
    generate(random) {
      const letters = Array.from({ length: random.integer(1, 2) }, () =>
        random.pick([...'abcd']),
      ).join('');
      return { key: letters, prompt: `${letters}=`, data: letters };
    },
    verify(problem, completion): Verdict {
      const reward = verify(problem, completion);
      return { reward, correct: reward === 1, wellFormed: true, reason: '' };
    },
    demonstrate: (problem) => String(problem.data),
    gold: (problem) => String(problem.data),
  };
}

/**
 * Runs `body` once a rank, all in this thread, on the WASM backend's own kernels. Results in rank
 * order.
 */
export async function inRanks<T>(
  worldSize: number,
  body: (backend: Backend) => Promise<T>,
): Promise<T[]> {
  const memory = createWasmMemory({ worldSize, sharedBytes: 1 << 20, localBytes: 1 << 24 });
  const backends = await Promise.all(
    Array.from({ length: worldSize }, (_, rank) =>
      createWasmBackend({ memory, rank, products: 'wasm', build: 'plain' }),
    ),
  );
  return Promise.all(backends.map(body));
}
