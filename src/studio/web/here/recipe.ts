/**
 * @file From a choice in the page to a recipe: r1-mini's two stages, on any task that generates its
 * problems.
 *
 * How long prompts and completions are is asked of the task: problems are drawn and their
 * demonstrations measured.
 */
import { Random } from '../../../base/random.js';
import type { BackendKind } from '../../../policy/local/backend.js';
import { createTask } from '../../../tasks/index.js';
import { problemAt } from '../../../tasks/task.js';
import { SIZES, type Size } from './sizes.js';

export interface Choice {
  task: Record<string, unknown>;
  /** A function of a sample, instead of the task's own reward. */
  reward: string | null;
  size: Size;
  seed: number;
  backend: BackendKind | 'auto';
}

const DRAWN = 300;

/**
 * A recipe as a file would have it, still to be parsed. @throws UserError for options that the task
 * does not take
 */
export function recipeOf({ task: reference, reward, size, seed }: Choice): unknown {
  const task = createTask(reference);
  const { sft, grpo, problems } = SIZES[size];
  let longest = 0;
  for (let i = 0; i < DRAWN; i++) {
    const demonstration = task.demonstrate(
      problemAt(task, seed, 'train', i),
      new Random(seed, 'survey', i),
    );
    // The tags are a token each, as is the end.
    longest = Math.max(longest, demonstration.replaceAll(/<\/?(?:think|answer)>/g, '.').length + 1);
  }
  const maxTokens = Math.ceil((longest * 1.15) / 8) * 8;
  const positions = Math.ceil((task.maxPromptLength + 1 + maxTokens) / 32) * 32;
  const evaluation = { kind: 'eval', problems, samples: 1, maxTokens };
  return {
    name: String(reference.name),
    description:
      'Imitation of good and bad demonstrations, then reinforcement learning; made in a page.',
    seed,
    model: {
      model_type: 'llama',
      hidden_size: 96,
      intermediate_size: 256,
      num_hidden_layers: 3,
      num_attention_heads: 6,
      head_dim: 16,
      max_position_embeddings: positions,
    },
    task: reward === null ? reference : { name: 'scored', task: reference, reward },
    checkpoints: { every: 20, keep: 2 },
    stages: [
      {
        id: 'sft',
        kind: 'sft',
        steps: sft,
        batch: 32,
        optimizer: { matrices: 'muon', lr: 0.003, muonLr: 0.02 },
        schedule: { kind: 'wsd', warmup: 20, decay: Math.floor(sft * 0.3), final: 0.05 },
      },
      { id: 'before', ...evaluation },
      {
        id: 'grpo',
        kind: 'grpo',
        steps: grpo,
        prompts: 12,
        samples: 8,
        maxTokens,
        loss: 'dapo',
        resample: 0,
        optimizer: { matrices: 'adamw', lr: 0.0004 },
        schedule: { kind: 'wsd', warmup: 3, decay: Math.floor(grpo / 2), final: 0.1 },
      },
      { id: 'after', ...evaluation },
    ],
  };
}
