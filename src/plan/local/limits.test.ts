import { describe, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { loadRecipe, parseRecipe, resolveRecipe, trainableRecipes } from '../../recipe/index.js';
import { MOST_SECONDS, refuseHeldTokens, refuseLongRun } from './limits.js';
import { predictLocal } from './local-plan.js';
import { describeRecipe } from './local-work.js';

/** The shipped recipe with another number in one of its stages. */
function withNumber(stage: number, field: string, value: number) {
  const recipe = loadRecipe('r1-mini');
  const stages = recipe.stages.map((one, i) => (i === stage ? { ...one, [field]: value } : one));
  return parseRecipe({ ...recipe, stages }, 'r1-mini');
}

/** What is predicted where a token takes a microsecond, and decoding a millisecond a step. */
function planOf(recipe: ReturnType<typeof loadRecipe>) {
  const described = describeRecipe(resolveRecipe(recipe), 2);
  const measured = described.request.pieces.map((piece) =>
    piece.kind === 'training'
      ? {
          ...{ kind: 'training' as const, key: piece.key, tokens: 1 },
          ...{ secondsPerToken: 20e-6, secondsPerUpdate: 1e-3 },
        }
      : {
          ...{ kind: 'generation' as const, key: piece.key, prefillSecondsPerPrompt: 1e-4 },
          ...{ decode: [{ sequences: 256, seconds: 4e-3 }], context: 10 },
          secondsPerContextToken: 0,
        },
  );
  const calibration = {
    ...{
      recipe: recipe.name,
      workers: 2,
      backend: 'wasm' as const,
      fingerprint: 'wasm x, y',
      seconds: 1,
      startSeconds: 1,
    },
    ...{ measured, slowdown: 1, disk: { secondsPerFile: 0.001, secondsPerByte: 1e-9 } },
  };
  return { described, plan: predictLocal(recipe, calibration, { described }) };
}

/** One line in which every number makes sense. */
function refusalOf(refuse: () => void): UserError {
  try {
    refuse();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const { message, code } = error as UserError;
    expect(code).toBe('usage');
    expect(message).not.toMatch(/-\d|NaN|Infinity|undefined|—|\n/);
    return error as UserError;
  }
  throw new Error('it is not refused');
}

describe('what cannot run', () => {
  it('is no shipped recipe, and none of a small machine', () => {
    const recipes = trainableRecipes().map((name) => loadRecipe(name));
    expect(recipes.length).toBeGreaterThan(2);
    for (const recipe of recipes) {
      const { described, plan } = planOf(recipe);
      expect(() => refuseHeldTokens(recipe, described, 2 ** 29)).not.toThrow();
      for (const { heldBytes } of described.stages) expect(heldBytes).toBeGreaterThan(0);
      expect(() => refuseLongRun(recipe, plan, false)).not.toThrow();
    }
  });

  it.each([
    [0, 'batch', 1e9, /stages.0.batch is 1,000,000,000, .* hold about \d+ GB .* which has 4.3 GB/],
    [2, 'prompts', 1e8, /stages.2.prompts is 100,000,000, .*; prompts [\d,]+0 would fit/],
    [2, 'samples', 1e11, /stages.2.samples is 100,000,000,000, .*; samples [\d,]+0 would fit/],
    [1, 'samples', 1e15, /stages.1.samples is 1,000,000,000,000,000, .*PB/],
    [3, 'samples', 9e15, /stages.3.samples is/],
  ] as const)('is refused by its memory: stage %i, %s %d', (stage, field, value, message) => {
    const recipe = withNumber(stage, field, value);
    const described = describeRecipe(resolveRecipe(recipe), 2);
    const error = refusalOf(() => refuseHeldTokens(recipe, described, 4 * 2 ** 30 + 2 ** 25));
    expect(error.message).toMatch(message);
    expect(error.field).toBe(`stages.${stage}.${field}`);
  });

  it.each([
    [0, 'batch', 100_000, /batch is 100,000, .* \(19 s a step\).*; batch \d\d,000 would do/],
    [2, 'prompts', 100_000, /prompts is 100,000, and stage grpo would take about .* a step/],
    [2, 'samples', 100_000, /samples is 100,000, and stage grpo would take about .* a step/],
    [0, 'steps', 1e12, /steps is 1,000,000,000,000, and stage sft would take about/],
  ] as const)('is refused by its time: stage %i, %s %d', (stage, field, value, message) => {
    const recipe = withNumber(stage, field, value);
    const { described, plan } = planOf(recipe);
    refuseHeldTokens(recipe, described, 2 ** 32);
    expect(plan.total.seconds.low).toBeGreaterThan(MOST_SECONDS);
    const error = refusalOf(() => refuseLongRun(recipe, plan, false));
    expect(error.message).toMatch(message);
    expect(error.message).toContain('--max-minutes');
    expect(error.field).toBe(`stages.${stage}.${field}`);
    // And what would do does.
    const [, fits] = /; \w+ ([\d,]+) would do$/.exec(error.message) as unknown as string[];
    const smaller = withNumber(stage, field, Number(fits.replaceAll(',', '')));
    expect(() => refuseLongRun(smaller, planOf(smaller).plan, false)).not.toThrow();
  });
});
