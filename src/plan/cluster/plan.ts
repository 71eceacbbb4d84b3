/**
 * @file `plan`: the interpreter of a recipe that predicts what it will take. The recipe becomes
 * numbers (`work.ts`, which may ask its tasks), and the numbers a plan (`plan-work.ts`, pure).
 */

import type { Recipe } from '../../recipe/index.js';
import type { Target } from './cluster-target.js';
import { workOf } from './cluster-work.js';
import { type Plan, planWork } from './plan-work.js';

export {
  PLAN_SCHEMA_VERSION,
  type Plan,
  type PlannedStage,
  type PublishedComparison,
} from './plan-work.js';

/** @throws UserError when a stage fits nowhere on the cluster */
export function planRecipe(recipe: Recipe, target: Target): Plan {
  return planWork(workOf(recipe), target);
}
