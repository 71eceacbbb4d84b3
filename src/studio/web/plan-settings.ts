/**
 * @file What the Plan page can be set to. Apart from the arithmetic, which its thread alone loads.
 */
import { PLANNING } from '../../catalog/data/planning.js';
import { acceleratorIds, acceleratorOf } from '../../planner/hardware.js';

/** What was dragged; null is the catalog's or the recipe's own. */
export interface Settings {
  accelerator: string;
  count: number;
  usdPerHour: number | null;
  /** Share of peak that the best matrix products reach: what moves MFU. */
  efficiency: number | null;
  goodput: number | null;
  /** Tokens (or rounds) of every stage, as a factor. */
  tokens: number;
  /** Routed experts of a layer. */
  experts: number | null;
  /** Other costs: people, their months, and all compute over that of the final run. */
  people: number;
  months: number;
  experiments: number;
  /** Used share of the hours of machines of one's own; null: rented by the hour. */
  utilisation: number | null;
}

export const accelerators = (): { id: string; name: string }[] =>
  acceleratorIds().map((id) => ({ id, name: acceleratorOf(id)?.name ?? id }));

/** What the sliders show before they are moved. */
export function defaultsOf(accelerator: string) {
  const known = acceleratorOf(accelerator);
  const goodput = PLANNING.find(({ id }) => id === 'plan.goodput');
  return {
    usdPerHour: known?.usdPerHour.value ?? 2,
    efficiency: known?.achievableFraction ?? 0.78,
    goodput: goodput?.value ?? 0.93,
  };
}
