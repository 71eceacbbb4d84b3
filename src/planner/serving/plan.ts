/**
 * @file The plan of a service: throughput against latency over layouts and concurrencies, the
 * operating point within a target, replicas for a load, and what a million tokens cost.
 *
 * Every layout is tried at concurrencies in steps of √2. A state that another one beats in both a
 * user's speed and an accelerator's throughput is left out; the rest is the frontier. The operating
 * point is the state of highest throughput that meets the target. Pure arithmetic; runs in a
 * browser.
 */
import { type Architecture, countParameters, type Parameters } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import type { Accelerator, Quantity } from '../cluster.js';
import { SERVING_CALIBRATION } from './calibration.js';
import { ratesOf, ratesOfPools, type TokenCost, tokenCost } from './cost.js';
import { type Spending, spendingAfter } from './demand.js';
import { intervalFactor } from './interval.js';
import { layoutFault, replicaSize, servingLayoutName } from './layout.js';
import type { Lengths } from './memory.js';
import { servingPrecision, type WeightFormat } from './precision.js';
import {
  bestDisaggregated,
  layoutsOf,
  memoryFault,
  type ServingGoals,
  type ServingState,
  statesOf,
} from './search.js';
import { type Deployment, deployment } from './step.js';
import { serve } from './throughput.js';

export interface ServingPlanQuestion {
  architecture: Architecture;
  accelerator: Accelerator;
  /** Accelerators of the cluster. */
  count: number;
  /** Rent of an accelerator, with its interval. */
  usdPerHour: Quantity;
  format: WeightFormat;
  kv: 'fp8' | 'bf16';
  lengths: Lengths;
  goals: ServingGoals;
  /** Requests a second that arrive; null: as many as the cluster answers. */
  load: number | null;
  /** Share of a replica's capacity that a load may take: the rest absorbs bursts. */
  utilisation: number;
  /** Of demand; a positive number with its interval. */
  elasticity: Quantity;
}

/** A layout at a concurrency. Quantities carry the planner's 90% interval. */
export interface ServingPoint {
  layout: string;
  /** Accelerators of a replica. */
  accelerators: number;
  /** Requests in a replica. */
  concurrency: number;
  ttftSeconds: Quantity;
  tpotSeconds: Quantity;
  /** Of one user after the first token. */
  tokensPerSecondPerUser: Quantity;
  requestsPerSecondPerReplica: Quantity;
  outputTokensPerSecondPerAccelerator: Quantity;
  meetsGoals: boolean;
}

export interface ServedLoad {
  requestsPerSecond: number;
  /** At the planner's median, and at the ends of its interval. */
  replicas: Quantity;
  accelerators: Quantity;
  /** The cluster has as many accelerators. */
  fits: boolean;
  /** Share of the replicas' capacity that the load takes. */
  utilisation: number;
  ttftSeconds: Quantity;
  tpotSeconds: Quantity;
  usdPerDay: Quantity;
}

export interface ServingPlan {
  parameters: Pick<Parameters, 'total' | 'active' | 'mtp'>;
  /** By a user's speed, the fastest first. */
  frontier: ServingPoint[];
  /** The highest throughput within the goals; null when no state meets them. */
  operating: ServingPoint | null;
  /** USD a million tokens at the operating point, or at the load where one is given. */
  cost: TokenCost | null;
  /** Of the input, the share that `cost.usdPerMillionCached` is computed with. */
  cachedPriceShare: number;
  /** Prompts and decoding on accelerators of their own, within the same goals. */
  pools: {
    prefill: string;
    decode: string;
    prefillShare: number;
    ttftSeconds: Quantity;
    tpotSeconds: Quantity;
    outputTokensPerSecondPerAccelerator: Quantity;
    cost: TokenCost;
  } | null;
  load: ServedLoad | null;
  /** What cheaper tokens do to demand and spending. */
  demand: (Spending & { replicas: Quantity | null })[];
  rejected: { layout: string; reason: string }[];
}

/** Sequences that an engine decodes at most for a copy of attention. */
const MAX_BATCH = 2048;
/** Points of the frontier that are kept. */
const MOST_POINTS = 48;
/** Of the input, where no share is given: what the price of cached tokens is computed with. */
const CACHED_SHARE = 0.5;
const PRICE_RATIOS = [0.5, 0.1];

interface Candidate {
  served: Deployment;
  state: ServingState;
}

const around = (value: number, factor: number): Quantity => ({
  value,
  low: value / factor,
  high: value * factor,
});

/** The factor of the 90% interval of a searched layout. */
const factorOf = ({ moe }: Architecture): number =>
  intervalFactor({
    regime: 'search',
    pool: false,
    tuned: false,
    experts: moe !== null,
    early: false,
    assumed: 0,
    price: null,
  });

const meets = (
  { ttftSeconds, tpotSeconds }: Pick<ServingState, 'ttftSeconds' | 'tpotSeconds'>,
  goals: ServingGoals,
): boolean =>
  ttftSeconds <= (goals.ttftSeconds ?? Number.POSITIVE_INFINITY) &&
  tpotSeconds <= (goals.tpotSeconds ?? Number.POSITIVE_INFINITY);

const throughputOf = ({ served, state }: Candidate): number =>
  state.outputTokensPerSecond / replicaSize(served.layout);

/** Those that no other beats in both speed and throughput, the fastest for a user first. */
function frontierOf(candidates: readonly Candidate[]): Candidate[] {
  const bySpeed = [...candidates].sort(
    (a, b) => a.state.tpotSeconds - b.state.tpotSeconds || throughputOf(b) - throughputOf(a),
  );
  const frontier: Candidate[] = [];
  let most = 0;
  for (const candidate of bySpeed) {
    if (throughputOf(candidate) <= most) continue;
    most = throughputOf(candidate);
    frontier.push(candidate);
  }
  return frontier;
}

/** At most so many, evenly along the list, the ends among them. */
function thinned<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  return Array.from(
    { length: most },
    (_, i) => items[Math.round((i * (items.length - 1)) / (most - 1))],
  );
}

/** Where more users do not bring more throughput, the replica is full: its knee. */
const isFull = ({ state }: Candidate): boolean => state.boundBy !== 'concurrency';

/** @throws UserError (usage) when the model fits on no layout, or a number makes no sense */
export function planServing(question: ServingPlanQuestion): ServingPlan {
  check(question);
  const { architecture, accelerator, count, lengths, goals, usdPerHour } = question;
  const factor = factorOf(architecture);
  const precision = servingPrecision(question.format, question.kv, architecture, accelerator);
  const options = { calibration: SERVING_CALIBRATION, maxBatch: MAX_BATCH };
  const candidates: Candidate[] = [];
  const rejected: ServingPlan['rejected'] = [];
  for (const layout of layoutsOf(architecture, count)) {
    const served = deployment(architecture, accelerator, precision, layout);
    const fault =
      layoutFault(layout, architecture) ?? memoryFault(served, lengths, options.calibration);
    const states = fault === null ? statesOf(served, lengths, options) : { fault };
    if ('fault' in states)
      rejected.push({ layout: servingLayoutName(layout), reason: states.fault });
    else candidates.push(...states.map((state) => ({ served, state })));
  }
  if (candidates.length === 0) throw nothingServes(question, rejected);
  const point = (candidate: Candidate): ServingPoint => pointOf(candidate, goals, factor);
  // Where a replica is full, further users only wait: TTFT then says nothing of the machine.
  const steady = candidates.filter((candidate) => !isFull(candidate));
  const frontier = frontierOf(steady.length > 0 ? steady : candidates);
  const within = candidates.filter(({ state }) => meets(state, goals));
  const best = within.reduce<Candidate | null>(
    (most, one) => (most === null || throughputOf(one) > throughputOf(most) ? one : most),
    null,
  );
  const load =
    best === null || question.load === null ? null : loadOf(best, question.load, question, factor);
  const utilisation = load?.utilisation ?? 1;
  const { cached = 0, input } = lengths;
  const cachedPriceShare = cached > 0 ? cached / input : CACHED_SHARE;
  const pools = bestDisaggregated({ ...question, calibration: options.calibration });
  return {
    parameters: pickParameters(architecture),
    frontier: thinned(frontier, MOST_POINTS).map(point),
    operating: best === null ? null : point(best),
    cost:
      best === null ? null : costOf(best, usdPerHour, utilisation, factor, cachedPriceShare, input),
    cachedPriceShare,
    pools:
      'fault' in pools
        ? null
        : {
            prefill: pools.prefill.name,
            decode: pools.decode.name,
            prefillShare: pools.result.prefillShare,
            ttftSeconds: around(pools.result.ttftSeconds, factor),
            tpotSeconds: around(pools.result.tpotSeconds, factor),
            outputTokensPerSecondPerAccelerator: around(
              pools.result.outputTokensPerSecondPerAccelerator,
              factor,
            ),
            cost: tokenCost(ratesOfPools(pools.result, factor), usdPerHour, utilisation),
          },
    load,
    demand: PRICE_RATIOS.map((ratio) => demandAt(ratio, question, best, factor)),
    rejected,
  };
}

function pickParameters(architecture: Architecture): ServingPlan['parameters'] {
  const { total, active, mtp } = countParameters(architecture);
  return { total, active, mtp };
}

function pointOf({ served, state }: Candidate, goals: ServingGoals, factor: number): ServingPoint {
  const size = replicaSize(served.layout);
  return {
    layout: servingLayoutName(served.layout),
    accelerators: size,
    concurrency: state.concurrency,
    ttftSeconds: around(state.ttftSeconds, factor),
    tpotSeconds: around(state.tpotSeconds, factor),
    tokensPerSecondPerUser: around(state.tokensPerSecondPerUser, factor),
    requestsPerSecondPerReplica: around(state.requestsPerSecond, factor),
    outputTokensPerSecondPerAccelerator: around(state.outputTokensPerSecond / size, factor),
    meetsGoals: meets(state, goals),
  };
}

/** Where nothing was cached, cached tokens are priced with half of the input cached. */
function costOf(
  { served, state }: Candidate,
  usdPerHour: Quantity,
  utilisation: number,
  factor: number,
  cachedShare: number,
  input: number,
): TokenCost {
  const size = replicaSize(served.layout);
  const cost = tokenCost(ratesOf(state, size, factor), usdPerHour, utilisation);
  if (state.cachedTokensPerSecond > 0 || input < 2) return cost;
  const output = state.outputTokensPerSecond / state.requestsPerSecond;
  const half = serve(
    served,
    { input, output, cached: Math.floor(cachedShare * input) },
    { calibration: SERVING_CALIBRATION, maxBatch: MAX_BATCH, concurrency: state.concurrency },
  );
  if ('fault' in half) return cost;
  const { usdPerMillionCached } = tokenCost(ratesOf(half, size, factor), usdPerHour, utilisation);
  return { ...cost, usdPerMillionCached };
}

/** Replicas that answer so many requests a second within the allowed utilisation. */
const replicasFor = (load: number, capacity: number, utilisation: number): number =>
  Math.max(1, Math.ceil(load / (capacity * utilisation) - 1e-9));

function loadOf(
  { served, state }: Candidate,
  load: number,
  { usdPerHour, utilisation, count, lengths }: ServingPlanQuestion,
  factor: number,
): ServedLoad {
  const capacity = state.requestsPerSecond;
  const size = replicaSize(served.layout);
  const replicas: Quantity = {
    value: replicasFor(load, capacity, utilisation),
    low: replicasFor(load, capacity * factor, utilisation),
    high: replicasFor(load, capacity / factor, utilisation),
  };
  const accelerators: Quantity = {
    value: replicas.value * size,
    low: replicas.low * size,
    high: replicas.high * size,
  };
  const actual = stateAt(served, lengths, load / replicas.value, state.concurrency) ?? state;
  const perDay = ({ value }: Quantity, count: number): number => value * 24 * count;
  return {
    requestsPerSecond: load,
    replicas,
    accelerators,
    fits: accelerators.value <= count,
    utilisation: load / (replicas.value * capacity),
    ttftSeconds: around(actual.ttftSeconds, factor),
    tpotSeconds: around(actual.tpotSeconds, factor),
    usdPerDay: {
      value: perDay(usdPerHour, accelerators.value),
      low: usdPerHour.low * 24 * accelerators.low,
      high: usdPerHour.high * 24 * accelerators.high,
    },
  };
}

/** The state in which a replica answers so many requests a second, by halving the concurrency. */
function stateAt(
  served: Deployment,
  lengths: Lengths,
  requestsPerSecond: number,
  most: number,
): (ReturnType<typeof serve> & { ttftSeconds: number; tpotSeconds: number }) | null {
  const at = (concurrency: number) =>
    serve(served, lengths, {
      calibration: SERVING_CALIBRATION,
      maxBatch: MAX_BATCH,
      concurrency,
    });
  let [low, high] = [1, most];
  for (let i = 0; i < 40 && high - low > 1e-3 * high; i++) {
    const middle = Math.sqrt(low * high);
    const state = at(middle);
    if ('fault' in state) return null;
    if (state.requestsPerSecond < requestsPerSecond) low = middle;
    else high = middle;
  }
  const state = at(high);
  return 'fault' in state ? null : state;
}

function demandAt(
  ratio: number,
  { elasticity, load, utilisation }: ServingPlanQuestion,
  best: Candidate | null,
  factor: number,
): ServingPlan['demand'][number] {
  const spending = spendingAfter(ratio, elasticity);
  if (best === null || load === null) return { ...spending, replicas: null };
  const { requestsPerSecond } = best.state;
  const at = (tokens: number, capacity: number): number =>
    replicasFor(load * tokens, capacity, utilisation);
  const { value, low, high } = spending.tokensRatio;
  return {
    ...spending,
    replicas: {
      value: at(value, requestsPerSecond),
      low: at(low, requestsPerSecond * factor),
      high: at(high, requestsPerSecond / factor),
    },
  };
}

function nothingServes(
  { architecture, accelerator, count }: ServingPlanQuestion,
  rejected: ServingPlan['rejected'],
): UserError {
  const [nearest] = rejected.filter(({ reason }) => reason.startsWith('memory')).reverse();
  const why = nearest ?? rejected[0];
  const reason = why === undefined ? '' : ` (${why.layout}: ${why.reason})`;
  const message = `${architecture.name} fits on no layout of ${count} ${accelerator.id}${reason}; take more accelerators, or narrower weights with --format`;
  return new UserError('usage', message, '--on');
}

function check({ lengths, goals, load, utilisation }: ServingPlanQuestion): void {
  const { input, output, cached = 0 } = lengths;
  const refuse = (field: string, message: string): never => {
    throw new UserError('usage', `${field}: ${message}`, field);
  };
  for (const [name, value] of Object.entries({ input, output }))
    if (!(Number.isInteger(value) && value >= 1 && value <= 1e7))
      refuse(name, `must be a whole number from 1 to 10,000,000, is ${value}`);
  if (!(cached >= 0 && cached < input))
    refuse('cached', `must be at least 0 and below the input (${input} tokens), is ${cached}`);
  for (const [name, value] of Object.entries({ ...goals, load }))
    if (value !== null && value !== undefined && !(value > 0 && Number.isFinite(value)))
      refuse(name, `must be above 0, is ${value}`);
  if (!(utilisation > 0 && utilisation <= 1))
    refuse('utilization', `must be above 0 and at most 1, is ${utilisation}`);
}
