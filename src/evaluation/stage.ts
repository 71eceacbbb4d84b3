/**
 * @file The `eval` stage of a recipe: one step that evaluates the weights as they are.
 */
import { Random } from '../base/random.js';
import type { Stage, StageContext } from '../training/stage.js';
import { type EvaluateOptions, evaluate } from './evaluate.js';

export function createEvaluation(context: StageContext, options: EvaluateOptions): Stage {
  const { backend, model, tokenizer, task, seed } = context;
  // Every evaluation of a run draws the same problems and the same random numbers, so that stages
  // can be compared.
  const evaluationSeed = new Random(seed, 'evaluation').uint32();
  return {
    steps: 1,
    purpose: 'evaluation',
    state: [],
    resumableFrom: Number.POSITIVE_INFINITY,
    async step() {
      const evaluation = await evaluate(
        { backend, model, tokenizer, task, seed: evaluationSeed },
        options,
      );
      const { results, samples, tokensIn, tokensOut, modelFlops } = evaluation;
      const values: Record<string, number> = { accuracy: results.pass1, length: results.length };
      if (options.greedy) values.greedy = results.greedy;
      return {
        values,
        samples,
        evaluation: { task: task.name, results },
        tokensIn,
        tokensOut,
        modelFlops,
      };
    },
  };
}
