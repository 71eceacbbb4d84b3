/**
 * @file What a run needs against what there is: a recipe whose step cannot be held in memory, or
 * that would take days, is refused before its first step.
 *
 * A step is computed in micro-batches, so a batch of any size fits the engine's memory; what grows
 * with it are the tokens that JavaScript holds, and time.
 */
import { getHeapStatistics } from 'node:v8';
import { UserError } from '../../base/errors.js';
import { formatAbout, formatBytes, formatCount } from '../../base/text/index.js';
import type { Recipe } from '../../recipe/index.js';
import { type StageSpec, stepsOf } from '../../stages/index.js';
import type { Plan } from '../plan.js';
import type { DescribedRecipe } from './local-work.js';

/** A run may take so long without being asked for, seconds. */
export const MOST_SECONDS = 8 * 3600;

/** Fields that say how much a step of a stage does. */
const SIZES = ['batch', 'prompts', 'samples', 'problems'];

interface Size {
  field: string;
  name: string;
  value: number;
}

/** The largest of some fields: the likeliest to be wrong. */
function largest(stage: StageSpec, index: number, names: readonly string[]): Size {
  const fields = stage as unknown as Record<string, number | undefined>;
  const name = names.reduce((a, b) => ((fields[b] ?? 0) > (fields[a] ?? 0) ? b : a));
  return { field: `stages.${index}.${name}`, name, value: fields[name] ?? 0 };
}

/** `batch 33,000 would fit`: the largest size, in two digits, that is within `share` of this one. */
function advice({ name, value }: Size, share: number, would: string): string {
  const most = Math.floor(value * share);
  if (most < 1) return 'make it smaller';
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(most)) - 1);
  return `${name} ${formatCount(unit * Math.floor(most / unit))} would ${would}`;
}

/** @throws UserError (usage) when a step's tokens do not fit a worker's heap */
export function refuseHeldTokens(
  recipe: Recipe,
  described: DescribedRecipe,
  heapBytes: number = getHeapStatistics().heap_size_limit,
): void {
  described.stages.forEach(({ heldBytes }, i) => {
    if (heldBytes <= heapBytes) return;
    const size = largest(recipe.stages[i], i, SIZES);
    const message = `${recipe.name}: ${size.field} is ${formatCount(size.value)}, and a step would hold about ${formatBytes(heldBytes)} of tokens on each worker, which has ${formatBytes(heapBytes)}; ${advice(size, (0.8 * heapBytes) / heldBytes, 'fit')}`;
    throw new UserError('usage', message, size.field);
  });
}

/**
 * @param cut measuring was ended for a stage that takes too long
 * @throws UserError (usage) when even the low end of the prediction is beyond `MOST_SECONDS`
 */
export function refuseLongRun(recipe: Recipe, { stages, total }: Plan, cut: boolean): void {
  if (!cut && total.seconds.low <= MOST_SECONDS) return;
  const longest = recipe.stages
    .map((stage, index) => {
      const seconds = stages.find(({ id }) => id === stage.id)?.seconds.value ?? 0;
      return { index, stage, seconds };
    })
    .reduce((a, b) => (b.seconds > a.seconds ? b : a));
  const { index, stage, seconds } = longest;
  const size = largest(stage, index, [...SIZES, 'steps']);
  const steps = stepsOf(stage);
  const rest = total.seconds.value - seconds;
  const fits = advice(size, Math.max(0, MOST_SECONDS - rest) / seconds, 'do');
  const message = `${recipe.name}: ${size.field} is ${formatCount(size.value)}, and stage ${stage.id} would take about ${formatAbout(seconds)} here (${formatAbout(seconds / steps)} a step); a run that takes more than 8 h must say how long it may take, with --max-minutes or --max-usd; ${fits}`;
  throw new UserError('usage', message, size.field);
}
