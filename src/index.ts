/**
 * @file The public API: what a program that uses Reckoner as a library may import.
 *
 * A recipe is run with `train`; everything below it can also be put together by hand.
 */
export {
  type Architecture,
  architectureOf,
  countParameters,
  forwardFlops,
  type Parameters,
  publishedModel,
  trainingFlops,
} from './architecture/index.js';
export { UserError } from './base/errors.js';
export { Random } from './base/random.js';
export { loadHuggingFace, saveHuggingFace } from './checkpoints/hugging-face.js';
export {
  openRunFolder,
  type RunFolder,
  resolveModel,
  resolveRun,
} from './checkpoints/run-folder.js';
export { type EvaluateOptions, type EvaluationResult, evaluate } from './evaluation/evaluate.js';
export { passAtK, wilsonInterval } from './evaluation/statistics.js';
export {
  type Completion,
  createSampler,
  type GenerateOptions,
  type Sampler,
} from './inference/index.js';
export {
  CLAIMS,
  type ClaimDocument,
  catalogGroup,
  claimText,
  computeBill,
  defaultPriceBook,
  evaluateClaim,
  type Fleet,
  loadPriceBook,
  type OwnershipCost,
  ownershipCost,
  ownershipTerms,
  type PriceBook,
  readClaim,
  readRun,
} from './ledger/index.js';
export { createModel, type Model, type ModelConfig, parseModelConfig } from './models/index.js';
export { readTarget, type Target } from './plan/cluster/cluster-file.js';
export { planRecipe } from './plan/cluster/plan.js';
export type { Plan } from './plan/plan.js';
export { loadRecipe, parseRecipe, type Recipe } from './recipe/index.js';
export { type StageKinds, type StageSpec, stageKinds } from './stages/index.js';
export { defineStage, type StageKind } from './stages/kind.js';
export {
  createTask,
  defineTask,
  type Problem,
  parseCompletion,
  problemAt,
  type Task,
  type TaskDefinition,
  type Verdict,
} from './tasks/index.js';
export { createWasmBackend, createWasmMemory } from './tensor/backends/wasm/index.js';
export * from './tensor/index.js';
export { createCharacterTokenizer, tokenizerFromJSON } from './tokenizers/character.js';
export type { Tokenizer } from './tokenizers/tokenizer.js';
export type { TrainOptions, TrainSummary } from './train/options.js';
export { runRank } from './train/rank.js';
export { train } from './train/train.js';
export { advantages, hasSignal } from './training/advantages.js';
export { aggregations } from './training/aggregations.js';
export { crossEntropyStep, policyStep } from './training/backpropagate.js';
export type { TrainingSequence } from './training/batch.js';
export { losses, policyLossOf, policyLossReference } from './training/losses.js';
export { createOptimizer, optimizerSchema } from './training/optimizer.js';
export { optimizers } from './training/optimizers/index.js';
export { createSchedule } from './training/schedules.js';
export type { RunEvent } from './usage/events.js';
export { readEvents } from './usage/log.js';
export type { Usage } from './usage/usage.js';
