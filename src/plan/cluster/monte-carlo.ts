/**
 * @file Monte Carlo: draws all uncertain inputs together, and prices all stages with each draw.
 */
import { deviceHours, deviceUsd } from '../../ledger/book/device-price.js';
import { type Calibration, intervalFactor } from '../../planner/calibration.js';
import type { Accelerator } from '../../planner/cluster.js';
import type { Distribution } from '../../planner/distribution.js';
import { type Architecture, type Outcome, propagate } from '../../planner/index.js';
import { intervalFactor as generationFactor } from '../../planner/serving/interval.js';
import { type HardwareName, type Target, withHardware } from './cluster-target.js';
import type { StageCost } from './stage-cost.js';

/** Everything that may vary, by the name under which a cluster's file correlates it. */
export function inputsOf(
  architecture: Architecture,
  target: Target,
  costs: readonly StageCost[],
): Record<string, Distribution> {
  const family =
    architecture.hybrid !== undefined ? 'hybrid' : architecture.moe !== null ? 'moe' : 'dense';
  const error = intervalFactor('speed', family, 0);
  const inputs: Record<string, Distribution> = {
    trainingTime: { low: 1 / error, value: 1, high: error },
    goodput: target.goodput,
    usdPerHour: target.usdPerHour.distribution,
    pue: target.pue,
    loadFactor: target.loadFactor,
  };
  for (const { work, resampling } of costs) {
    if (work.rollout === null) continue;
    if (resampling !== 1) inputs[`resampling.${work.id}`] = resampling;
    inputs[`completionTokens.${work.id}`] = work.rollout.meanTokens;
    const factor = generationFactor({
      regime: 'search',
      pool: false,
      tuned: false,
      experts: architecture.moe !== null,
      early: false,
      assumed: 0,
      price: null,
    });
    inputs.samplingTime = { low: 1 / factor, value: 1, high: factor };
  }
  for (const [name, distribution] of Object.entries(target.hardware))
    inputs[`hardware.${name}`] = distribution;
  for (const [name, distribution] of Object.entries(target.calibration)) {
    if (distribution !== undefined) inputs[`calibration.${name}`] = distribution;
  }
  return inputs;
}

interface Scene {
  target: Target;
  /** With the medians of what the target says. */
  calibration: Calibration;
  costs: readonly StageCost[];
  /** Stages whose seconds are wanted together. */
  groups: readonly ReadonlySet<string>[];
}

type Values = Readonly<Record<string, number>>;

/** The machine of a draw; null where none of its numbers varies. */
function machineOf({
  target,
  calibration,
}: Scene): (values: Values) => { accelerator: Accelerator; calibration: Calibration } | null {
  const varies = <Name extends string>(given: Partial<Record<Name, Distribution>>): Name[] =>
    (Object.keys(given) as Name[]).filter((name) => typeof given[name] !== 'number');
  const hardware = varies<HardwareName>(target.hardware);
  const rates = varies<keyof Calibration>(target.calibration);
  if (hardware.length === 0 && rates.length === 0) return () => null;
  return (values) => {
    const drawn = Object.fromEntries(hardware.map((name) => [name, values[`hardware.${name}`]]));
    const here = { ...calibration };
    for (const name of rates) here[name] = values[`calibration.${name}`];
    return {
      accelerator: withHardware<number>(target.accelerator, drawn, (value) => value),
      calibration: here,
    };
  };
}

/**
 * For each stage `<id>.seconds` (with what is lost), `.busySeconds` (without), `.rate` (tokens a
 * second per accelerator),
 * `.energyKwh` and `.usd`; `total.` the sums; `group<i>.seconds` those of a group.
 */
export function simulate(
  inputs: Record<string, Distribution>,
  scene: Scene,
): Record<string, Outcome> {
  const { target, costs, groups } = scene;
  const { count } = target;
  const machine = machineOf(scene);
  const model = (values: Values): Record<string, number> => {
    const out: Record<string, number> = {
      'total.seconds': 0,
      'total.energyKwh': 0,
      'total.usd': 0,
    };
    for (const i of groups.keys()) out[`group${i}.seconds`] = 0;
    const here = machine(values);
    const watts = here?.accelerator.serverWatts ?? target.accelerator.serverWatts;
    for (const cost of costs) {
      const { id } = cost.work;
      const { trainingSeconds, samplingSeconds, tokens } = cost.draw(
        values[`completionTokens.${id}`] ?? 0,
        here,
      );
      const busySeconds =
        trainingSeconds * values.trainingTime +
        samplingSeconds * (values.samplingTime ?? 1) * (values[`resampling.${id}`] ?? 1);
      const seconds = busySeconds / values.goodput;
      const usage = { acceleratorSeconds: seconds * count, workerSeconds: 0 };
      const watt = watts * values.loadFactor * values.pue;
      const energyKwh = (deviceHours(usage) * watt) / 1000;
      const usd = deviceUsd(usage, values.usdPerHour);
      out[`${id}.seconds`] = seconds;
      out[`${id}.busySeconds`] = busySeconds;
      out[`${id}.rate`] = tokens / busySeconds / count;
      out[`${id}.energyKwh`] = energyKwh;
      out[`${id}.usd`] = usd;
      out['total.seconds'] += seconds;
      out['total.energyKwh'] += energyKwh;
      out['total.usd'] += usd;
      groups.forEach((group, i) => {
        if (group.has(id)) out[`group${i}.seconds`] += seconds;
      });
    }
    return out;
  };
  return propagate(inputs, model, { correlations: target.correlations });
}
