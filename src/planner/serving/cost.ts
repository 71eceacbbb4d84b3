/**
 * @file From tokens a second to money: machines for a demand, dollars a million tokens, margin at a
 * list price.
 *
 * A cost for a million input tokens and one for a million output tokens need a rule, for both are
 * made on the same machines. The rule here is use: each kind pays for the accelerator time that it
 * takes (prompts, and decoding). `allOnOutput` is the other common rule, and the two never mix in
 * one figure.
 */
import { UserError } from '../../base/errors.js';
import type { Quantity } from '../cluster.js';
import type { Disaggregated, Served } from './throughput.js';

const SECONDS_PER_HOUR = 3600;
const SECONDS_PER_DAY = 86_400;

export interface TokenCost {
  /** USD a million tokens, each kind paying for the time it takes. */
  usdPerMillionInput: Quantity;
  usdPerMillionOutput: Quantity;
  /** USD a million output tokens when they pay for everything. */
  usdPerMillionAllOnOutput: Quantity;
  /** USD a million tokens, input and output counted alike. */
  usdPerMillionTotal: Quantity;
}

/** Rates of one accelerator and the share of its time that goes to prompts. */
export interface Rates {
  inputTokensPerSecond: number;
  outputTokensPerSecond: number;
  prefillShare: number;
  /** high / value of the rates' 90% interval (`intervalFactor`); 1 where they are measured. */
  factor: number;
}

/** Of a replica of `size` accelerators that takes whole requests. */
export function ratesOf(served: Served, size: number, factor: number): Rates {
  return {
    inputTokensPerSecond: served.inputTokensPerSecond / size,
    outputTokensPerSecond: served.outputTokensPerSecond / size,
    prefillShare: served.prefillShare,
    factor,
  };
}

/** Of two pools. */
export function ratesOfPools(pools: Disaggregated, factor: number): Rates {
  return {
    inputTokensPerSecond: pools.inputTokensPerSecondPerAccelerator,
    outputTokensPerSecond: pools.outputTokensPerSecondPerAccelerator,
    prefillShare: pools.prefillShare,
    factor,
  };
}

/**
 * @param usdPerHour of an accelerator, with its interval
 * @param utilisation share of the paid hours that serve; idle hours are paid too
 */
export function tokenCost(rates: Rates, usdPerHour: Quantity, utilisation = 1): TokenCost {
  const {
    inputTokensPerSecond: input,
    outputTokensPerSecond: output,
    prefillShare,
    factor,
  } = rates;
  if (!(utilisation > 0 && utilisation <= 1))
    throw new UserError(
      'usage',
      `utilisation is ${utilisation}; give a share above 0 and up to 1`,
      'utilisation',
    );
  const millionPerHour = (SECONDS_PER_HOUR * utilisation) / 1e6;
  const price = (tokensPerSecond: number, share: number): Quantity => {
    if (!(tokensPerSecond > 0)) return { value: 0, low: 0, high: 0 };
    const scale = share / (tokensPerSecond * millionPerHour);
    // Price and speed vary independently: their relative distances add as squares, on each side.
    const widen = (relative: number) => Math.exp(Math.hypot(Math.log(relative), Math.log(factor)));
    return {
      value: usdPerHour.value * scale,
      low: (usdPerHour.value * scale) / widen(usdPerHour.value / usdPerHour.low),
      high: usdPerHour.value * scale * widen(usdPerHour.high / usdPerHour.value),
    };
  };
  return {
    usdPerMillionInput: price(input, prefillShare),
    usdPerMillionOutput: price(output, 1 - prefillShare),
    usdPerMillionAllOnOutput: price(output, 1),
    usdPerMillionTotal: price(input + output, 1),
  };
}

export interface ServiceDemand {
  inputTokensPerDay: number;
  outputTokensPerDay: number;
}

/** What a node serves when it only reads prompts, and when it only decodes. */
export interface NodeRates {
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
  accelerators: number;
  usdPerAcceleratorHour: number;
}

export interface Service {
  prefillNodes: number;
  decodeNodes: number;
  nodes: number;
  usdPerDay: number;
}

/** Nodes that a day's tokens keep busy, on average, and what they cost. */
export function serviceOf(demand: ServiceDemand, node: NodeRates): Service {
  const prefillNodes = demand.inputTokensPerDay / SECONDS_PER_DAY / node.prefillTokensPerSecond;
  const decodeNodes = demand.outputTokensPerDay / SECONDS_PER_DAY / node.decodeTokensPerSecond;
  const nodes = prefillNodes + decodeNodes;
  return { prefillNodes, decodeNodes, nodes, usdPerDay: nodeCost(nodes, node) };
}

/** USD a day for nodes that are paid around the clock. */
export function nodeCost(
  nodes: number,
  node: Pick<NodeRates, 'accelerators' | 'usdPerAcceleratorHour'>,
): number {
  return nodes * node.accelerators * node.usdPerAcceleratorHour * 24;
}

/** List prices, USD a million tokens. */
export interface TokenPrices {
  inputCached: number;
  input: number;
  output: number;
}

/**
 * What a day's tokens would bring at list prices, and the margin over cost: (revenue − cost) /
 * cost, as DeepSeek defined its 545%.
 * @param cachedShare of the input tokens, billed at the cached price
 */
export function theoreticalMargin(
  demand: ServiceDemand,
  cachedShare: number,
  prices: TokenPrices,
  usdPerDay: number,
) {
  const { inputTokensPerDay: input, outputTokensPerDay: output } = demand;
  const revenue =
    (input * (cachedShare * prices.inputCached + (1 - cachedShare) * prices.input) +
      output * prices.output) /
    1e6;
  return { revenueUsdPerDay: revenue, marginOverCost: (revenue - usdPerDay) / usdPerDay };
}
