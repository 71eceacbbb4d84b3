/**
 * @file The Plan page's arithmetic: settings of the page in, the library's own plan out, and what
 * stands beside the final run.
 *
 * At its defaults a plan is exactly `reckoner plan <recipe> --on <gpu>x<count>`.
 */
import { costOf } from '../../catalog/costs.js';
import { targetOf } from '../../plan/cluster/cluster-target.js';
import { type Plan, planWork } from '../../plan/cluster/plan-work.js';
import type { PlannableRecipe } from '../../plan/cluster/stage-work.js';
import type { Quantity } from '../../planner/cluster.js';
import { acceleratorOf } from '../../planner/hardware.js';
import type { Settings } from './plan-settings.js';

export interface Around {
  experimentsUsd: Quantity;
  staffUsd: Quantity;
  idleUsd: Quantity;
  totalUsd: Quantity;
  sources: { experiments: string; staff: string };
}

export type PlanAnswer =
  | { ok: true; plan: Plan; around: Around; milliseconds: number }
  | { ok: false; message: string };

function changed(recipe: PlannableRecipe, { tokens, experts }: Settings): PlannableRecipe {
  const { architecture } = recipe;
  const { moe } = architecture;
  return {
    ...recipe,
    architecture:
      experts === null || moe === null
        ? architecture
        : { ...architecture, moe: { ...moe, experts } },
    stages:
      tokens === 1
        ? recipe.stages
        : recipe.stages.map((stage) =>
            'batch' in stage
              ? { ...stage, steps: Math.max(1, Math.round(stage.steps * tokens)) }
              : { ...stage, rounds: Math.max(1, Math.round(stage.rounds * tokens)) },
          ),
  };
}

/** @throws UserError when nothing fits */
export function planOf(
  recipe: PlannableRecipe,
  settings: Settings,
): { plan: Plan; around: Around } {
  const { accelerator: id, count, usdPerHour, efficiency, goodput } = settings;
  const accelerator = acceleratorOf(id);
  if (accelerator === undefined) throw new Error(`no accelerator ${id} in the catalog`);
  const target = targetOf(`${accelerator.id}x${count}`, accelerator, {
    count,
    ...(usdPerHour === null ? {} : { usdPerHour, priceSource: 'as set on the page' }),
    ...(goodput === null ? {} : { goodput }),
    ...(efficiency === null ? {} : { hardware: { achievableFraction: efficiency } }),
  });
  const plan = planWork(changed(recipe, settings), target);
  return { plan, around: aroundOf(plan, settings) };
}

const combine = (parts: readonly Quantity[]): Quantity => {
  const value = parts.reduce((sum, part) => sum + part.value, 0);
  // Independent of each other: their distances from the middle add up in quadrature.
  const spread = (end: 'low' | 'high'): number =>
    Math.hypot(...parts.map((part) => part[end] - part.value));
  return { value, low: Math.max(0, value - spread('low')), high: value + spread('high') };
};

function product(...parts: readonly Quantity[]): Quantity {
  const value = parts.reduce((all, part) => all * part.value, 1);
  if (value === 0) return { value: 0, low: 0, high: 0 };
  // As factors: logarithms add up in quadrature.
  const spread = (end: 'low' | 'high'): number =>
    Math.hypot(...parts.map((part) => Math.log(Math.max(1e-12, part[end] / part.value))));
  return { value, low: value * Math.exp(-spread('low')), high: value * Math.exp(spread('high')) };
}

const exactly = (value: number): Quantity => ({ value, low: value, high: value });

function aroundOf({ total }: Plan, { people, months, experiments, utilisation }: Settings): Around {
  const known = costOf('programme.total-over-final');
  // At the catalog's own value, with the catalog's interval.
  const factor = experiments === known.value ? known : exactly(experiments);
  const over = { value: factor.value - 1, low: Math.max(0, factor.low - 1), high: factor.high - 1 };
  const experimentsUsd = over.value <= 0 ? exactly(0) : product(total.usd, over);
  const staffUsd = product(
    exactly((people * months) / 12),
    costOf('staff.pay'),
    costOf('staff.overhead'),
  );
  const compute = combine([total.usd, experimentsUsd]);
  // A price at full use pays for the idle hours, too, when the machines are one's own.
  const idleUsd =
    utilisation === null || utilisation >= 1
      ? exactly(0)
      : product(compute, exactly(1 / utilisation - 1));
  const totalUsd = combine([total.usd, experimentsUsd, idleUsd, staffUsd]);
  return {
    experimentsUsd,
    staffUsd,
    idleUsd,
    totalUsd,
    sources: { experiments: known.source, staff: costOf('staff.pay').source },
  };
}
