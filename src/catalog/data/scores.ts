/**
 * @file Published scores of reasoning models, and what they cost where that was published. A data
 * file: each row stands on its own source, and says what its number is; scores of different
 * benchmarks, or of one benchmark by different hands, are different things.
 */
export interface ModelScore {
  model: string;
  benchmark: string;
  score: number;
  unit: 'percent' | 'rating';
  /**
   * Final training runs from the first weight on, at the published rental price; null where nothing
   * was published.
   */
  trainingUsd: number | null;
  /**
   * What the answers to one problem cost at the price of the day; null where nothing was published.
   */
  usdPerProblem: number | null;
  /** What the score is the share of, and how it was asked. */
  definition: string;
  date: string;
  source: string;
}

const R1 = 'DeepSeek-AI, DeepSeek-R1, Nature 2025 (s41586-025-09422-z), arXiv:2501.12948v2';
const COST = 'cost: arXiv:2412.19437, table 1, and supplementary table 7 of the Nature paper';
const AIDER =
  'Aider polyglot leaderboard, github.com/Aider-AI/aider, aider/website/_data/polyglot_leaderboard.yml (commit 5dc9490bb35f)';

/** V3 ($5.576M) with R1-Zero ($202K), and with all of R1 ($294K). */
const [ZERO_USD, R1_USD] = [5_576_000 + 202_000, 5_576_000 + 294_000];

const PASS1 = 'pass@1, averaged over samples at a temperature';
const RATING = 'Elo-like rating of the contest site';

const r1 = (
  benchmark: string,
  score: number,
  unit: ModelScore['unit'] = 'percent',
): ModelScore => ({
  model: 'DeepSeek-R1',
  benchmark,
  score,
  unit,
  trainingUsd: R1_USD,
  usdPerProblem: null,
  definition: unit === 'rating' ? RATING : PASS1,
  date: '2025',
  source: `${R1}; ${COST}`,
});
const o1 = (
  benchmark: string,
  score: number,
  unit: ModelScore['unit'] = 'percent',
): ModelScore => ({
  model: 'OpenAI o1-1217',
  benchmark,
  score,
  unit,
  trainingUsd: null,
  usdPerProblem: null,
  definition: unit === 'rating' ? RATING : `${PASS1}; reported by DeepSeek-AI`,
  date: '2025',
  source: `as reported in ${R1}`,
});
const zero = (model: string, score: number, definition: string): ModelScore => ({
  model,
  benchmark: 'AIME 2024',
  score,
  unit: 'percent',
  trainingUsd: ZERO_USD,
  usdPerProblem: null,
  definition,
  date: '2025',
  source: `${R1}; ${COST}`,
});
/** @param usd of the whole benchmark, at the price of the day */
const aider = (
  model: string,
  score: number,
  usd: number,
  problems: number,
  date: string,
): ModelScore => ({
  model,
  benchmark: 'Aider polyglot',
  score,
  unit: 'percent',
  trainingUsd: null,
  usdPerProblem: usd / problems,
  definition: `exercises solved at the second attempt, after seeing the tests' output, of ${problems}; $${usd} for all`,
  date,
  source: AIDER,
});

export const MODEL_SCORES: readonly ModelScore[] = [
  r1('AIME 2024', 79.8),
  o1('AIME 2024', 79.2),
  zero('DeepSeek-R1-Zero', 71, PASS1),
  zero('DeepSeek-R1-Zero, majority of 64', 86.7, 'most frequent answer of 64 samples'),
  r1('MATH-500', 97.3),
  o1('MATH-500', 96.4),
  r1('GPQA Diamond', 71.5),
  o1('GPQA Diamond', 75.7),
  r1('LiveCodeBench', 65.9),
  o1('LiveCodeBench', 63.4),
  r1('Codeforces rating', 2029, 'rating'),
  o1('Codeforces rating', 2061, 'rating'),
  aider('o1-2024-12-17 (high)', 61.7, 186.4958, 224, '2024-12-21'),
  aider('o1-mini-2024-09-12', 32.9, 18.577, 225, '2024-12-22'),
  aider('DeepSeek V3 (preview)', 48.4, 0.3369, 225, '2024-12-25'),
  aider('gpt-4o-2024-11-20', 18.2, 6.7351, 225, '2024-12-30'),
  aider('claude-3-5-sonnet-20241022', 51.6, 14.4063, 225, '2025-01-17'),
  aider('DeepSeek R1', 56.9, 5.4193, 225, '2025-01-20'),
  aider('o3-mini (medium)', 53.8, 8.8599, 225, '2025-01-31'),
  aider('o3-mini (high)', 60.4, 18.1584, 224, '2025-01-31'),
  aider('claude-3-7-sonnet-20250219 (32k thinking tokens)', 64.9, 36.8343, 225, '2025-02-24'),
  aider('DeepSeek V3 (0324)', 55.1, 1.1164, 225, '2025-03-24'),
  aider('DeepSeek R1 (0528)', 71.4, 4.8016, 224, '2025-06-06'),
  aider('o3 (high)', 81.3, 21.2259, 225, '2025-06-25'),
  aider('gpt-5 (high)', 88, 29.0829, 225, '2025-08-23'),
  aider('DeepSeek-V3.2-Exp (Reasoner)', 74.2, 1.3045, 225, '2025-10-03'),
];
