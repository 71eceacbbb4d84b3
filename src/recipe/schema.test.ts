import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  isTrainable,
  loadRecipe,
  parseRecipe,
  recipeJsonSchema,
  resolveRecipe,
  shippedRecipes,
  trainableRecipes,
} from './index.js';

const recipe = {
  name: 'test',
  model: {
    model_type: 'llama',
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  },
  task: { name: 'sums', maximum: 9 },
  stages: [
    { id: 'sft', kind: 'sft', steps: 20, batch: 4, schedule: { kind: 'wsd', warmup: 2, decay: 5 } },
    { id: 'sample', kind: 'rejection-sample', steps: 2, prompts: 4, samples: 2, maxTokens: 32 },
    {
      id: 'grpo',
      kind: 'grpo',
      steps: 4,
      prompts: 4,
      samples: 2,
      maxTokens: 32,
      schedule: { kind: 'constant' },
    },
    { id: 'after', kind: 'eval', problems: 20, maxTokens: 32 },
  ],
};

/** The recipe with one value replaced; `undefined` leaves it out. */
function withValue(path: string, value: unknown): unknown {
  const copy = structuredClone(recipe) as unknown;
  const keys = path.split('.');
  let at = copy as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>;
  }
  const last = keys[keys.length - 1];
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

describe('the shipped recipes', () => {
  it.each(trainableRecipes())('%s parses, and resolving it again changes nothing', (name) => {
    const { recipe, hash } = resolveRecipe(loadRecipe(name));
    expect(recipe.name).toBe(name);
    const again = resolveRecipe(parseRecipe(JSON.parse(JSON.stringify(recipe)), 'recipe.json'));
    expect(again.hash).toBe(hash);
    expect(again.recipe).toEqual(recipe);
  });

  it('are there', () => {
    expect(shippedRecipes()).toEqual(
      expect.arrayContaining(['countdown', 'deepseek-r1', 'deepseek-v3', 'r1-mini']),
    );
    expect(trainableRecipes()).toEqual(
      shippedRecipes().filter((name) => !name.startsWith('deepseek-')),
    );
    expect(() => loadRecipe('no-such')).toThrow(/no recipe named "no-such"; there are .*r1-mini/);
    expect(() => loadRecipe('./no-such.json')).toThrow('recipe ./no-such.json: no such file');
  });
});

describe('a recipe without a task', () => {
  it.each(['deepseek-v3', 'deepseek-r1'])(
    '%s parses, and is refused where it would be trained',
    (name) => {
      const published = loadRecipe(name);
      expect(isTrainable(published)).toBe(false);
      const said = new RegExp(
        `^${name} cannot be trained here: .*"reckoner plan ${name} --on h800x2048"$`,
      );
      expect(() => resolveRecipe(published)).toThrow(said);
    },
  );

  it('trains DeepSeek-V3 on as many tokens as published', () => {
    const tokens = loadRecipe('deepseek-v3').stages.map((stage) =>
      stage.kind === 'pretrain' ? stage.steps * stage.batch * (stage.plan?.sequenceTokens ?? 0) : 0,
    );
    expect(tokens[0] / 14.8e12).toBeCloseTo(1, 5);
    expect(tokens[1]).toBe(1000 * 1920 * 32768);
    expect(tokens[2]).toBe(tokens[1]);
  });

  it('must say how long its sequences are, and have a model that the planner knows', () => {
    const stages = [
      {
        id: 'a',
        kind: 'sft',
        steps: 9,
        batch: 4,
        schedule: { kind: 'constant' },
        plan: { sequenceTokens: 64 },
      },
      {
        id: 'b',
        kind: 'eval',
        maxTokens: 32,
        plan: { promptTokens: 9, completionTokens: { low: 10, high: 30 } },
      },
    ];
    const bare = { name: 'bare', model: recipe.model, stages };
    const withVocab = { ...bare, model: { ...recipe.model, vocab_size: 100 } };
    expect(isTrainable(parseRecipe(withVocab, 'bare.json'))).toBe(false);
    expect(() => parseRecipe(bare, 'bare.json')).toThrow(
      /^bare\.json: model: .*vocab_size is missing/,
    );
    const without = (i: number) => ({
      ...withVocab,
      stages: stages.map((stage, k) => (k === i ? { ...stage, plan: {} } : stage)),
    });
    expect(() => parseRecipe(without(0), 'bare.json')).toThrow(
      'bare.json: task: is missing; without one a recipe can only be planned, and then stages.0 needs plan.sequenceTokens',
    );
    expect(() => parseRecipe(without(1), 'bare.json')).toThrow(
      /stages\.1 needs plan\.promptTokens and plan\.completionTokens$/,
    );
    const published = [{ what: 'x', stages: ['z'], gpuHours: 1, source: 'here' }];
    expect(() => parseRecipe({ ...withVocab, published }, 'bare.json')).toThrow(
      'bare.json: published.0.stages: "z" is not the id of a stage',
    );
  });
});

describe('a recipe', () => {
  it('fills in defaults, and the vocabulary from the tasks of all stages', () => {
    const parsed = parseRecipe(recipe, 'recipe.json');
    expect(parsed).toMatchObject({
      seed: 1,
      microBatchTokens: 4096,
      checkpoints: { every: 100, keep: 3 },
    });
    expect(parsed.stages[0]).toMatchObject({ optimizer: { matrices: 'muon', clip: 1 } });
    const { tokenizer, tasks, recipe: resolved } = resolveRecipe(parsed);
    expect(resolved.model.vocab_size).toBe(tokenizer.vocabularySize);
    expect(tasks).toHaveLength(4);
    expect(tokenizer.encode('1+2=')).toHaveLength(4);
  });

  it('takes a longer task for one stage', () => {
    const { tasks } = resolveRecipe(
      parseRecipe(withValue('stages.3.task', { terms: [5, 6] }), 'recipe.json'),
    );
    expect(tasks[3].maxPromptLength).toBeGreaterThan(tasks[2].maxPromptLength);
  });

  it.each<[path: string, value: unknown, message: RegExp]>([
    ['name', 'Big Name', /lower-case letters/],
    ['seed', -1, /seed/],
    ['model.hidden_size', undefined, /hidden_size/],
    ['model.num_attention_heads', 3, /head_dim: must be an even integer, is 2\.6/],
    ['model.vocab_size', 500, /must be \d+, the tokens that the tasks need, is 500/],
    ['model.vocab_size', 5, /must be \d+, the tokens that the tasks need, is 5/],
    ['task.name', 'chess', /no task "chess"/],
    ['task.terms', [1, 40], /terms/],
    ['task.colour', 'red', /no such option/],
    ['stages', [], /stages/],
    ['stages.0.kind', 'rlhf', /kind/],
    ['stages.0.id', 'SFT', /lower-case/],
    ['stages.0.id', 'lost', /must not be start, finish or lost/],
    ['stages.1.id', 'sft', /"sft" is used twice/],
    ['stages.0.steps', 0, /steps/],
    ['stages.0.stesp', 3, /is not a known field here/],
    ['stages.0.schedule', 'constant', /schedule/],
    [
      'stages.0.schedule.warmup',
      18,
      /warm-up \(18\) and decay \(5\) need more than the stage's 20 steps/,
    ],
    ['stages.0.schedule.kind', 'linear', /kind/],
    ['stages.0.optimizer.matrices', 'sgd', /matrices/],
    ['stages.0.optimizer.beta2', 1, /beta2/],
    [
      'stages.0.from',
      'sample',
      /"sample" is not the id of an earlier rejection-sample or distill stage/,
    ],
    ['stages.0.task', { maximum: 0 }, /maximum/],
    ['stages.1.keep', 0, /keep/],
    ['stages.2.loss', 'ppo', /loss/],
    ['stages.2.samples', 1, /samples/],
    ['stages.2.minibatches', 5, /must be at most prompts \(4\), is 5/],
    ['stages.2.maxTokens', 60, /more than model.max_position_embeddings \(64\)/],
    ['stages.2.temperature', 0, /temperature/],
    [
      'stages.2.draft',
      'mtp',
      /stages\.2\.draft: "mtp" needs a model with num_nextn_predict_layers: 1/,
    ],
    ['stages.3.passAt', 8, /must be at most samples \(4\), is 8/],
    [
      'stages.3.task',
      { terms: [2, 2], maximum: 2 },
      /20 evaluation problems asked for, but only \d+ found/,
    ],
    ['checkpoints.keep', 1, /keep/],
  ])('that is wrong in %s is refused by that name', (path, value, message) => {
    try {
      parseRecipe(withValue(path, value), 'recipe.json');
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ name: 'UserError', code: 'usage' });
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).toMatch(/^recipe\.json: [^\n]*$/);
      const field = (error as { field: string }).field;
      // The field is the wrong one, the one it contradicts, or a part of it.
      const allowed: Record<string, string> = {
        'model.num_attention_heads': 'model.head_dim',
        'stages.3.task': 'stages.3.problems',
        'stages.0.schedule.warmup': 'stages.0.schedule',
      };
      expect(
        field === path || field === allowed[path] || field.startsWith(`${path}.`),
        `field ${field}`,
      ).toBe(true);
    }
  });
});

it('docs/schema/recipe.json is the schema that recipes are checked by (scripts/schemas.mjs)', () => {
  const written = JSON.parse(
    readFileSync(new URL('../../docs/schema/recipe.json', import.meta.url), 'utf8'),
  );
  expect(written).toEqual(JSON.parse(JSON.stringify(recipeJsonSchema())));
  const kinds = written.properties.stages.items.oneOf.map(
    (stage: { properties: { kind: { const: string } } }) => stage.properties.kind.const,
  );
  expect(kinds).toEqual(['pretrain', 'sft', 'grpo', 'rejection-sample', 'distill', 'eval']);
});
