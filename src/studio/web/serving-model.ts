/**
 * @file The Serving page's arithmetic: the settings of the page in, the library's plan of the
 * service out. At its defaults a plan is `reckoner plan serve <model> --on <gpu>x<count>`.
 */
import { targetOf } from '../../plan/cluster/cluster-target.js';
import {
  planService,
  SERVICE_DEFAULTS,
  type ServingPlanDocument,
  servedModel,
} from '../../plan/serving/serving-plan.js';
import { acceleratorOf } from '../../planner/hardware.js';

export interface ServingSettings {
  model: string;
  accelerator: string;
  count: number;
  input: number;
  output: number;
  cachedShare: number;
  /** Seconds; null: no target. */
  ttftSeconds: number | null;
  tpotSeconds: number | null;
  /** Requests a second; null: as many as the cluster answers. */
  load: number | null;
}

export type ServingAnswer =
  | { ok: true; plan: ServingPlanDocument }
  | { ok: false; message: string };

/** @throws UserError when the model does not fit */
export function servingPlanOf(settings: ServingSettings): ServingPlanDocument {
  const { model, accelerator: id, count, ...request } = settings;
  const accelerator = acceleratorOf(id);
  if (accelerator === undefined) throw new Error(`no accelerator ${id} in the catalog`);
  const target = targetOf(`${accelerator.id}x${count}`, accelerator, { count });
  return planService(servedModel(model), target, { ...SERVICE_DEFAULTS, ...request });
}
