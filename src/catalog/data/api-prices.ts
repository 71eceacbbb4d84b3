/**
 * @file What endpoints charge for tokens. A data file: each row stands on its own source, and prices change: mind the date.
 */
export interface ApiPrice {
  /** Host of the endpoint that charges it. */
  host: string;
  /** As requests name it. */
  model: string;
  /** US dollars for a million tokens. */
  inputUsdPerMtok: number;
  /** Of the input, what was found in the endpoint's cache. */
  cachedInputUsdPerMtok: number;
  /** Tokens of thinking included. */
  outputUsdPerMtok: number;
  /** When the price held. */
  date: string;
  source: string;
  note: string;
}

export const API_PRICES: readonly ApiPrice[] = [
  {
    host: 'api.deepseek.com',
    model: 'deepseek-reasoner',
    inputUsdPerMtok: 0.56,
    cachedInputUsdPerMtok: 0.07,
    outputUsdPerMtok: 1.68,
    date: '2025-09',
    source: 'DeepSeek API documentation, Models & Pricing (api-docs.deepseek.com/quick_start/pricing), for DeepSeek-V3.1',
    note: 'The page is undated; the date is that of its model. R1 was 0.55, 0.14 and 2.19 (open-infra-index, day 6, 2025-03-01).',
  },
  {
    host: 'api.deepseek.com',
    model: 'deepseek-chat',
    inputUsdPerMtok: 0.56,
    cachedInputUsdPerMtok: 0.07,
    outputUsdPerMtok: 1.68,
    date: '2025-09',
    source: 'DeepSeek API documentation, Models & Pricing (api-docs.deepseek.com/quick_start/pricing), for DeepSeek-V3.1',
    note: 'The page is undated; the date is that of its model.',
  },
  {
    host: 'api.openai.com',
    model: 'o1',
    inputUsdPerMtok: 15,
    cachedInputUsdPerMtok: 7.5,
    outputUsdPerMtok: 60,
    date: '2025-01',
    source: 'OpenAI API pricing, as quoted by Flexprice, Clone OpenAI pricing (docs.flexprice.io)',
    note: 'The page is undated; the same prices for o1-preview are quoted in the OpenAI developer community on 2025-01-22.',
  },
];
