/**
 * @file From tokens a second to money: dollars a million tokens, and the margin at a list price.
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

export interface TokenCost {
  /** USD a million tokens, each kind paying for the time it takes. */
  usdPerMillionInput: Quantity;
  /** Of input that a cache of earlier prompts held: the time that attending to it takes. */
  usdPerMillionCached: Quantity;
  usdPerMillionOutput: Quantity;
  /** USD a million output tokens when they pay for everything. */
  usdPerMillionAllOnOutput: Quantity;
  /** USD a million tokens, input and output counted alike. */
  usdPerMillionTotal: Quantity;
}

/** Rates of one accelerator and how its time is shared. */
export interface Rates {
  /** Of prompts that are computed, and of prompts that were cached. */
  inputTokensPerSecond: number;
  cachedTokensPerSecond: number;
  outputTokensPerSecond: number;
  /** Share of the time that goes to prompts; of that, what attends to cached tokens. */
  prefillShare: number;
  cachedShare: number;
  /** high / value of the rates' 90% interval (`intervalFactor`); 1 where they are measured. */
  factor: number;
}

/** Of a replica of `size` accelerators that takes whole requests. */
export function ratesOf(served: Served, size: number, factor: number): Rates {
  const { prefillShare, cachedShare } = served;
  return {
    inputTokensPerSecond: served.inputTokensPerSecond / size,
    cachedTokensPerSecond: served.cachedTokensPerSecond / size,
    outputTokensPerSecond: served.outputTokensPerSecond / size,
    prefillShare,
    cachedShare,
    factor,
  };
}

/** Of two pools, whose prompts are computed whole. */
export function ratesOfPools(pools: Disaggregated, factor: number): Rates {
  return {
    inputTokensPerSecond: pools.inputTokensPerSecondPerAccelerator,
    cachedTokensPerSecond: 0,
    outputTokensPerSecond: pools.outputTokensPerSecondPerAccelerator,
    prefillShare: pools.prefillShare,
    cachedShare: 0,
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
    cachedTokensPerSecond: cached,
    outputTokensPerSecond: output,
    prefillShare,
    cachedShare,
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
    usdPerMillionInput: price(input, prefillShare * (1 - cachedShare)),
    usdPerMillionCached: price(cached, prefillShare * cachedShare),
    usdPerMillionOutput: price(output, 1 - prefillShare),
    usdPerMillionAllOnOutput: price(output, 1),
    usdPerMillionTotal: price(input + cached + output, 1),
  };
}

export interface ServiceDemand {
  /** Cached ones included. */
  inputTokensPerDay: number;
  outputTokensPerDay: number;
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
