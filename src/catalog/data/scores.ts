/**
 * @file Published scores of reasoning models, with what their final runs cost where that was published.
 */
export interface ModelScore {
  model: string;
  benchmark: string;
  score: number;
  unit: 'percent' | 'rating';
  /** Final training runs from the first weight on, at the published rental price; null where nothing was published. */
  usd: number | null;
  source: string;
}

const R1 = 'DeepSeek-AI, DeepSeek-R1, Nature 2025 (s41586-025-09422-z), arXiv:2501.12948v2';
const COST = 'cost: arXiv:2412.19437, table 1, and supplementary table 7 of the Nature paper';

/** V3 ($5.576M) with R1-Zero ($202K), and with all of R1 ($294K). */
const [ZERO_USD, R1_USD] = [5_576_000 + 202_000, 5_576_000 + 294_000];

const r1 = (benchmark: string, score: number, unit: ModelScore['unit'] = 'percent'): ModelScore => {
  return { model: 'DeepSeek-R1', benchmark, score, unit, usd: R1_USD, source: `${R1}; ${COST}` };
};
const o1 = (benchmark: string, score: number, unit: ModelScore['unit'] = 'percent'): ModelScore => {
  return { model: 'OpenAI o1-1217', benchmark, score, unit, usd: null, source: `as reported in ${R1}` };
};
const zero = (model: string, score: number): ModelScore => {
  return { model, benchmark: 'AIME 2024', score, unit: 'percent', usd: ZERO_USD, source: `${R1}; ${COST}` };
};

export const MODEL_SCORES: readonly ModelScore[] = [
  r1('AIME 2024', 79.8),
  o1('AIME 2024', 79.2),
  zero('DeepSeek-R1-Zero', 71),
  zero('DeepSeek-R1-Zero, majority of 64', 86.7),
  r1('MATH-500', 97.3),
  o1('MATH-500', 96.4),
  r1('GPQA Diamond', 71.5),
  o1('GPQA Diamond', 75.7),
  r1('LiveCodeBench', 65.9),
  o1('LiveCodeBench', 63.4),
  r1('Codeforces rating', 2029, 'rating'),
  o1('Codeforces rating', 2061, 'rating'),
];
