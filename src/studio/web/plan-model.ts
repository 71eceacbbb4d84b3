/**
 * @file The Plan page's arithmetic: settings of the page in, the library's own plan and its
 * statement out.
 *
 * At its defaults a plan is exactly `reckoner plan <recipe> --on <gpu>x<count>`.
 */
import { statementOfPlan } from '../../ledger/statement/plan.js';
import type { Statement } from '../../ledger/statement/statement.js';
import { targetOf } from '../../plan/cluster/cluster-target.js';
import { planWork } from '../../plan/cluster/plan-work.js';
import type { PlannableRecipe } from '../../plan/cluster/stage-work.js';
import type { Plan } from '../../plan/plan.js';
import { acceleratorOf } from '../../planner/hardware.js';
import type { Settings } from './plan-settings.js';

export type PlanAnswer =
  | { ok: true; plan: Plan; statement: Statement; milliseconds: number }
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
        : recipe.stages.map((stage) => ({
            ...stage,
            steps: Math.max(1, Math.round(stage.steps * tokens)),
          })),
  };
}

/** @throws UserError when nothing fits */
export function planOf(
  recipe: PlannableRecipe,
  settings: Settings,
): { plan: Plan; statement: Statement } {
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
  const { people, months, experiments, utilisation: utilization } = settings;
  const statement = statementOfPlan(plan, { people, months, experiments, utilization });
  return { plan, statement };
}
