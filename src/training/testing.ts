/**
 * @file For tests of stages: a tiny model, a tiny task, and several ranks in one thread.
 */
import { createModel, parseModelConfig } from '../models/index.js';
import { tinyConfig } from '../models/testing.js';
import type { Problem, Task, Verdict } from '../tasks/task.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend, createWasmMemory } from '../tensor/backends/wasm/index.js';
import { type CharacterTokenizer, createCharacterTokenizer } from '../tokenizers/character.js';
import type { StageContext } from './stage.js';

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

export interface Tiny extends StageContext {
  tokenizer: CharacterTokenizer;
  /** The weights now, flat. */
  weights(): Promise<Float64Array>;
}

/** What a stage is given, with a model of seeded random weights. */
export async function tinyContext(
  task: Task,
  backend: Backend = createReferenceBackend(),
  more: object = {},
): Promise<Tiny> {
  const tokenizer = createCharacterTokenizer(task.alphabet);
  const model = createModel(
    backend,
    parseModelConfig({ ...tinyConfig, vocab_size: tokenizer.vocabularySize, ...more }),
  );
  if (backend.ranks.rank === 0) model.store.initialize(1);
  await backend.ranks.barrier();
  return {
    backend,
    model,
    tokenizer,
    task,
    stage: 'stage',
    seed: 1,
    microBatchTokens: 4096,
    dataFolder: '',
    taskOf: () => task,
    loadModel: async () => {
      throw new Error('this test has no other model');
    },
    weights: async () => Float64Array.from(await backend.read(model.store.flat)),
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
