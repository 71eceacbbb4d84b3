/**
 * @file What endpoints charge for tokens. A data file: each row stands on its own source, and
 * prices change: mind the date. Prices are those of an ordinary request: no batch, no priority, no
 * prompt that is so long that it costs more.
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

const DEEPSEEK_2026 =
  'DeepSeek API documentation, Models & Pricing (api-docs.deepseek.com/quick_start/pricing), for DeepSeek-V4';
const GPT_56 =
  'LaoZhang API documentation, GPT-5.6 Luna and Terra API price cut (docs.laozhang.ai), verified by it on 2026-08-01';
const ANTHROPIC =
  'Claude API documentation, Pricing (platform.claude.com/docs/en/about-claude/pricing)';

export const API_PRICES: readonly ApiPrice[] = [
  {
    host: 'api.deepseek.com',
    model: 'deepseek-flash',
    inputUsdPerMtok: 0.3,
    cachedInputUsdPerMtok: 0.006,
    outputUsdPerMtok: 1.2,
    date: '2026-11',
    source: DEEPSEEK_2026,
    note: 'Peak: 01:00 to 04:00 and 06:00 to 10:00 UTC on working days; at other times half. The page is undated; it names DeepSeek-V4.1-Flash-1017.',
  },
  {
    host: 'api.deepseek.com',
    model: 'deepseek-v4-pro',
    inputUsdPerMtok: 1.32,
    cachedInputUsdPerMtok: 0.044,
    outputUsdPerMtok: 3.96,
    date: '2026-11',
    source: DEEPSEEK_2026,
    note: 'Peak, as for deepseek-flash; at other times half. The page names DeepSeek-V4-Pro-0813.',
  },
  {
    host: 'api.deepseek.com',
    model: 'deepseek-reasoner',
    inputUsdPerMtok: 0.56,
    cachedInputUsdPerMtok: 0.07,
    outputUsdPerMtok: 1.68,
    date: '2025-09',
    source:
      'DeepSeek API documentation, Models & Pricing (api-docs.deepseek.com/quick_start/pricing), for DeepSeek-V3.1',
    note: 'The page is undated; the date is that of its model. R1 was 0.55, 0.14 and 2.19 (open-infra-index, day 6, 2025-03-01).',
  },
  {
    host: 'api.deepseek.com',
    model: 'deepseek-chat',
    inputUsdPerMtok: 0.56,
    cachedInputUsdPerMtok: 0.07,
    outputUsdPerMtok: 1.68,
    date: '2025-09',
    source:
      'DeepSeek API documentation, Models & Pricing (api-docs.deepseek.com/quick_start/pricing), for DeepSeek-V3.1',
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
  {
    host: 'api.openai.com',
    model: 'gpt-5.6-luna',
    inputUsdPerMtok: 0.2,
    cachedInputUsdPerMtok: 0.02,
    outputUsdPerMtok: 1.2,
    date: '2026-07-30',
    source: GPT_56,
    note: 'Prompts of up to 272K tokens. Before that day 1, 0.1 and 6.',
  },
  {
    host: 'api.openai.com',
    model: 'gpt-5.6-terra',
    inputUsdPerMtok: 2,
    cachedInputUsdPerMtok: 0.2,
    outputUsdPerMtok: 12,
    date: '2026-07-30',
    source: GPT_56,
    note: 'Prompts of up to 272K tokens. Before that day 2.5, 0.25 and 15.',
  },
  {
    host: 'api.openai.com',
    model: 'gpt-5',
    inputUsdPerMtok: 1.25,
    cachedInputUsdPerMtok: 0.125,
    outputUsdPerMtok: 10,
    date: '2026-03',
    source:
      'openai-cost 0.1.0 (docs.rs), from openai.com/api/pricing; cached input from adk-model 0.6.0 (docs.rs), prices of March 2026',
    note: 'The second source says that the GPT-5 family takes 90% off what is read from the cache.',
  },
  {
    host: 'api.openai.com',
    model: 'gpt-4o',
    inputUsdPerMtok: 2.5,
    cachedInputUsdPerMtok: 1.25,
    outputUsdPerMtok: 10,
    date: '2026-03',
    source: 'openai-models 0.1.1 (docs.rs), from openai.com/api/pricing',
    note: 'The source is undated; the date is that of a second list with the same prices (deploybase.ai, OpenAI pricing, March 2026).',
  },
  {
    host: 'api.openai.com',
    model: 'gpt-4o-mini',
    inputUsdPerMtok: 0.15,
    cachedInputUsdPerMtok: 0.075,
    outputUsdPerMtok: 0.6,
    date: '2026-03',
    source: 'openai-models 0.1.1 (docs.rs), from openai.com/api/pricing',
    note: 'As for gpt-4o.',
  },
  ...(['claude-opus-4-6', 'claude-opus-4-7'] as const).map((model) => ({
    host: 'api.anthropic.com',
    model,
    inputUsdPerMtok: 5,
    cachedInputUsdPerMtok: 0.5,
    outputUsdPerMtok: 25,
    date: '2026-10',
    source: ANTHROPIC,
    note: 'The page is undated; the date is when others read the same prices there (synaps 0.10.2, docs.rs, 2026-10-10). Writing to the cache costs more.',
  })),
  {
    host: 'api.anthropic.com',
    model: 'claude-sonnet-4-5',
    inputUsdPerMtok: 3,
    cachedInputUsdPerMtok: 0.3,
    outputUsdPerMtok: 15,
    date: '2026-10',
    source: ANTHROPIC,
    note: 'As for the Opus models.',
  },
];
