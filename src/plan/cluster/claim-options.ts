/**
 * @file The planner's functions for the evaluation of a claim: hours of a recipe, and sampled
 * intervals.
 */
import { UserError } from '../../base/errors.js';
import type { PlannedHours, Propagate } from '../../ledger/claims/index.js';
import type { Quantity } from '../../planner/cluster.js';
import { propagate as sample } from '../../planner/uncertainty.js';
import { loadRecipe, shippedRecipes } from '../../recipe/index.js';
import { readTarget } from './cluster-file.js';
import { parseLayout } from './layout-text.js';
import { planRecipe } from './plan.js';

const plans = new Map<string, Quantity>();

/** Accelerator-hours of some stages of a recipe, as `reckoner plan` predicts them. */
export const planned: PlannedHours = (request) => {
  const key = JSON.stringify(request);
  const known = plans.get(key);
  if (known !== undefined) return known;
  const { recipe: name, on, layout, stages } = request;
  // A claim may come from a stranger: it can name neither a program nor a file.
  if (!shippedRecipes().includes(name) || /[/\\]|\.ya?ml$/i.test(on)) {
    const known = shippedRecipes().join(', ');
    const message = `a claim names a shipped recipe (${known}) and a cluster such as h800x2048, not ${JSON.stringify(name)} on ${JSON.stringify(on)}`;
    throw new UserError('data', message, 'planned.recipe');
  }
  const recipe = loadRecipe(name);
  const chosen = recipe.stages.filter(({ id }) => stages.includes(id));
  if (chosen.length < stages.length) {
    const ids = recipe.stages.map(({ id }) => id).join(', ');
    throw new UserError(
      'usage',
      `the recipe ${name} does not have all of the stages ${stages.join(', ')}; it has ${ids}`,
      'planned.stages',
    );
  }
  const target = readTarget(on);
  if (layout !== undefined)
    target.layout = { ...target.layout, ...parseLayout(layout, 'planned.layout') };
  const { gpuHours } = planRecipe({ ...recipe, stages: chosen, published: [] }, target).total;
  plans.set(key, gpuHours);
  return gpuHours;
};

/**
 * Intervals from the planner's Latin hypercube: a low, a value and a high are 5%, 50% and 95%
 * quantiles.
 */
export const sampled: Propagate = (inputs, model) => {
  const outcomes = sample(
    Object.fromEntries(
      Object.entries(inputs).map(([name, { value, low, high }]) => [
        name,
        low === high ? value : { low, value, high },
      ]),
    ),
    model,
  );
  return Object.fromEntries(
    Object.entries(outcomes).map(([name, { low, high, sensitivity }]) => [
      name,
      {
        low,
        high,
        drivers: low === high ? [] : sensitivity.map(({ input, share }) => ({ input, share })),
      },
    ]),
  );
};
