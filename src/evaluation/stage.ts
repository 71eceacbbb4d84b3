/**
 * @file The `eval` stage of a recipe: one step that evaluates the weights as they are.
 */
import { Random } from '../base/random.js';
import type { Stage, StageContext } from '../training/stage.js';
import { type EvaluateOptions, evaluate } from './evaluate.js';

export function createEvaluation(context: StageContext, options: EvaluateOptions): Stage {
  const { backend, model, tokenizer, task, seed } = context;
  // Every evaluation of a run draws the same problems and the same random numbers, so that stages can be compared.
  const evaluationSeed = new Random(seed, 'evaluation').uint32();
  return {
    steps: 1,
    purpose: 'evaluation',
    state: [],
    resumable: false,
    async step() {
      const { results, samples, ...spent } = await evaluate({ backend, model, tokenizer, task, seed: evaluationSeed }, options);
      const { pass1, greedy, length } = results;
      return { values: { accuracy: pass1, greedy, length }, samples, evaluation: { task: task.name, results }, ...spent };
    },
  };
}
