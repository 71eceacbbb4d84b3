/**
 * @file What the tokens of an endpoint cost: as the user says, as the server says, or as the
 * catalog has it.
 */
import { API_PRICES } from '../catalog/data/api-prices.js';

/** US dollars for a million tokens. */
export interface Pricing {
  inputUsdPerMtok: number;
  /** Of the input, what was found in a cache. */
  cachedInputUsdPerMtok: number;
  outputUsdPerMtok: number;
  source: string;
  date: string | null;
}

/** The catalog's price of a model at the endpoint's own host, or null. */
export function catalogPricing(url: string, model: string): Pricing | null {
  const { hostname } = new URL(url);
  const row = API_PRICES.find((price) => price.host === hostname && price.model === model);
  if (row === undefined) return null;
  const { inputUsdPerMtok, cachedInputUsdPerMtok, outputUsdPerMtok, source, date } = row;
  return { inputUsdPerMtok, cachedInputUsdPerMtok, outputUsdPerMtok, source, date };
}

/** What is known of a completion's cost; see `Transcript`. */
interface Used {
  promptTokens: number | null;
  cachedTokens?: number;
  completionTokens: number | null;
  usd: number | null;
}

/**
 * Dollars of a completion: as measured, or its tokens at their prices; null where neither is known.
 */
export function usdOf(used: Used, pricing: Pricing | null): number | null {
  if (pricing === null) return used.usd;
  const { promptTokens, cachedTokens = 0, completionTokens } = used;
  if (promptTokens === null || completionTokens === null) return null;
  const fresh = Math.max(0, promptTokens - cachedTokens);
  const { inputUsdPerMtok, cachedInputUsdPerMtok, outputUsdPerMtok } = pricing;
  return (
    (fresh * inputUsdPerMtok +
      cachedTokens * cachedInputUsdPerMtok +
      completionTokens * outputUsdPerMtok) /
    1e6
  );
}
