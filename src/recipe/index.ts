/**
 * @file Recipes: their schema, where they are read, and everything that their data describes.
 */
export {
  hubModelsOf,
  loadRecipe,
  parseRecipe,
  recipeOfRun,
  shippedRecipes,
  trainableRecipes,
} from './load.js';
export { isTrainable, type ResolvedRecipe, resolveRecipe, withData } from './resolve.js';
export { type Recipe, recipeJsonSchema, recipeSchema } from './schema.js';
export { type Base, hashWeights, openBase } from './starting-point.js';
