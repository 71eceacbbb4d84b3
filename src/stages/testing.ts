/**
 * @file For tests of stages: a policy on a tiny model.
 */
export { inRanks, lettersTask } from '../training/testing.js';

import { createModel, type Model, parseModelConfig } from '../models/index.js';
import { tinyConfig } from '../models/testing.js';
import { openLocalPolicy } from '../policy/local/local-policy.js';
import type { Task } from '../tasks/task.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { type CharacterTokenizer, createCharacterTokenizer } from '../tokenizers/character.js';
import type { StageContext } from './stage.js';

export interface Tiny extends StageContext {
  tokenizer: CharacterTokenizer;
  backend: Backend;
  model: Model;
  microBatchTokens: number;
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
    ranks: backend.ranks,
    tokenizer,
    task,
    stage: 'stage',
    seed: 1,
    microBatchTokens: 4096,
    dataFolder: '',
    taskOf: () => task,
    // With the fields of the object that it is called on, so that a test may replace them.
    async open(this: Tiny, needs, from) {
      if (from !== undefined) throw new Error('this test has no other model');
      const { eos } = tokenizer.special;
      const { backend, model, microBatchTokens } = this;
      return openLocalPolicy({ backend, model, microBatchTokens, eos }, needs);
    },
    weights: async () => Float64Array.from(await backend.read(model.store.flat)),
  };
}
