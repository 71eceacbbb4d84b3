/**
 * @file The `eval` stage of a recipe: one step that evaluates the weights as they are.
 */

import { Random } from '../../base/random.js';
import { type EvaluateOptions, evaluate, evaluateSchema } from '../../evaluation/evaluate.js';
import type { Facts } from '../facts.js';
import { defineStage, needPositions, type Spec } from '../kind.js';
import type { Stage, StageContext } from '../stage.js';
import { always, type Rollout, type Work } from '../work.js';

/** Sequences that an evaluation decodes at once at most, on one rank. */
const CAPACITY = 128;

function work(spec: Spec<EvaluateOptions>, facts: Facts): Work[] {
  const { problems, samples, greedy, maxTokens } = spec;
  const question = { maxTokens, learns: false, evaluation: problems };
  const { promptTokens, completionTokens } = facts.sampling(question);
  const rollout = (count: number): Rollout => ({
    model: 'stage',
    prompts: problems,
    samples: count,
    rounds: 1,
    replaced: always(0),
    promptTokens,
    completionTokens,
    maxTokens,
    draft: null,
    capacity: CAPACITY,
  });
  return [
    {
      phase: '',
      steps: 1,
      purpose: 'evaluation',
      rollouts: greedy ? [rollout(samples), rollout(1)] : [rollout(samples)],
      scores: [],
      passes: [],
    },
  ];
}

export const evaluation = defineStage<EvaluateOptions>({
  kind: 'eval',
  schema: evaluateSchema,
  trains: false,
  purpose: 'evaluation',
  steps: () => 1,
  evaluates: ({ problems }) => problems,
  check({ passAt, samples }, { refuse }) {
    if (passAt > samples) refuse(['passAt'], `must be at most samples (${samples}), is ${passAt}`);
  },
  fits: ({ maxTokens }, made) => needPositions(made, maxTokens, 'maxTokens'),
  work,
  create: createEvaluation,
});

async function createEvaluation(context: StageContext, options: EvaluateOptions): Promise<Stage> {
  const { task, seed } = context;
  // Every evaluation of a run draws the same problems and the same random numbers, so that stages
  // can be compared.
  const evaluationSeed = new Random(seed, 'evaluation').uint32();
  return {
    steps: 1,
    purpose: 'evaluation',
    policy: null,
    resumableFrom: Number.POSITIVE_INFINITY,
    async step() {
      const evaluation = await evaluate({ ...context, seed: evaluationSeed }, options);
      const { results, samples, tokensIn, tokensOut, modelFlops } = evaluation;
      const values: Record<string, number> = {
        accuracy: results.pass1,
        'completions/mean_length': results.length,
      };
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
