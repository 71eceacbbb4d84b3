/**
 * @file `plan` for a cluster: the recipe becomes numbers (`cluster-work.ts`, which may ask its
 * tasks), and the numbers a plan (`plan-work.ts`, pure).
 */
import type { Recipe } from '../../recipe/index.js';
import type { Plan } from '../plan.js';
import type { Target } from './cluster-target.js';
import { workOf } from './cluster-work.js';
import { planWork } from './plan-work.js';

/** @throws UserError when a stage fits nowhere on the cluster */
export function planRecipe(recipe: Recipe, target: Target): Plan {
  return planWork(workOf(recipe), target);
}
