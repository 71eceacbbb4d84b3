/**
 * @file The tables of the guides against the code: every field with its default, every loss, every
 * metric.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { architectureOf, countParameters } from '../../src/architecture/index.js';
import { modelConfigSchema, parseModelConfig } from '../../src/models/index.js';
import { parseRecipe, recipeSchema, resolveRecipe } from '../../src/recipe/index.js';
import { tasks } from '../../src/tasks/index.js';
import { losses } from '../../src/training/losses.js';
import { readEvents } from '../../src/usage/log.js';
import { reckoner } from '../cli/model.js';
import { blocksOf, pagesUnder, readPage, tableUnder } from './pages.js';

interface Schema {
  properties: Record<string, Schema>;
  required?: string[];
  default?: unknown;
  const?: unknown;
  type?: string;
  items: { oneOf: Schema[] };
  oneOf: Schema[];
}

const jsonSchema = (schema: z.ZodType): Schema =>
  z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as unknown as Schema;

/** Name → what the column `default` says. */
function fieldsOf(
  { properties, required = [] }: Schema,
  without: readonly string[] = [],
): Map<string, string> {
  const out = new Map<string, string>();
  for (const [name, property] of Object.entries(properties)) {
    if (without.includes(name)) continue;
    if (required.includes(name)) out.set(name, 'required');
    else
      out.set(
        name,
        property.default === undefined ? '–' : `\`${JSON.stringify(property.default)}\``,
      );
  }
  return out;
}

const reference = readPage('docs/reference/tasks.md');
const sorted = (fields: Iterable<[string, string]>): [string, string][] =>
  [...fields].sort(([a], [b]) => (a < b ? -1 : 1));
const guide = readPage('docs/guides/write-a-recipe.md');
const written = (heading: string, page = guide): [string, string][] =>
  tableUnder(page, heading).map(([field, value]) => {
    // Numbers may be written as people write them.
    const number = value.match(/^`([\d.e-]+)`$/)?.[1];
    return [
      field.replaceAll('`', ''),
      number === undefined ? value : `\`${JSON.stringify(Number(number))}\``,
    ];
  });

describe('docs/guides/write-a-recipe.md', () => {
  const recipe = jsonSchema(recipeSchema());
  const stages: Record<string, Schema> = Object.fromEntries(
    recipe.properties.stages.items.oneOf.map((stage) => [
      String(stage.properties.kind.const),
      stage,
    ]),
  );
  const common = ['id', 'kind', 'task', 'model', 'init', 'plan'];

  it('has every field of a recipe, with its default', () => {
    const expected = fieldsOf(recipe, ['checkpoints']);
    for (const [name, value] of fieldsOf(recipe.properties.checkpoints))
      expected.set(`checkpoints.${name}`, value);
    expected.delete('plan');
    for (const [name, value] of fieldsOf(recipe.properties.plan))
      expected.set(`plan.${name}`, value);
    expect(sorted(written('The recipe'))).toEqual(sorted(expected));
  });

  it('has what all stages have', () => {
    for (const stage of Object.values(stages)) {
      const fields = [...fieldsOf(stage)].filter(([name]) => common.includes(name));
      expect(sorted(written('Every stage'))).toEqual(sorted(fields));
    }
    const kinds = tableUnder(guide, 'Every stage').find(([field]) => field === '`kind`')?.[2];
    expect([...(kinds as string).matchAll(/`([\w-]+)`/g)].map(([, kind]) => kind)).toEqual(
      Object.keys(stages),
    );
  });

  it('has every hint for the planner', () => {
    for (const stage of Object.values(stages)) {
      expect(sorted(written('What only plan reads'))).toEqual(
        sorted(fieldsOf(stage.properties.plan)),
      );
    }
  });

  it.each([
    ['pretrain', 'pretrain, sft'],
    ['sft', 'pretrain, sft'],
    ['grpo', 'grpo'],
    ['rejection-sample', 'rejection-sample'],
    ['distill', 'distill'],
    ['eval', 'eval'],
  ])('has every field of a %s stage, with its default', (kind, heading) => {
    expect(sorted(written(heading))).toEqual(sorted(fieldsOf(stages[kind], common)));
  });

  it('has every field of optimizers and schedules', () => {
    const { optimizer, schedule } = stages.grpo.properties;
    expect(sorted(written('optimizer'))).toEqual(sorted(fieldsOf(optimizer)));
    const all = new Map(schedule.oneOf.flatMap((variant) => [...fieldsOf(variant)]));
    expect(sorted(written('schedule'))).toEqual(sorted(all));
  });

  it('has every field of a model that can be chosen', () => {
    const { properties, required } = jsonSchema(modelConfigSchema);
    const free = Object.entries(properties).filter(
      ([, { const: fixed, type }]) => fixed === undefined && type !== 'null',
    );
    // A recipe's vocabulary comes from its tasks.
    const expected = fieldsOf({
      properties: Object.fromEntries(free),
      required: required?.filter((n) => n !== 'vocab_size'),
    } as Schema);
    expect(sorted(written('model'))).toEqual(sorted(expected));
  });

  it.each(Object.keys(tasks))('has every option of the task %s', (name) => {
    const page = name === 'sums' || name === 'countdown' ? guide : reference;
    expect(sorted(written(name, page))).toEqual(sorted(fieldsOf(jsonSchema(tasks[name].options))));
  });

  it('has every loss, with what it chooses', () => {
    const rows = tableUnder(guide, 'Loss variants').map((cells) =>
      cells.slice(0, -1).map((cell) => cell.replaceAll('`', '')),
    );
    const expected = Object.entries(losses).map(([name, loss]) => {
      const { advantage, ratio, aggregation, clipLow, clipHigh, klCoefficient, dynamicSampling } =
        loss;
      return [
        name,
        advantage,
        ratio,
        aggregation,
        `${clipLow}, ${clipHigh}`,
        String(klCoefficient),
        dynamicSampling ? 'yes' : 'no',
      ];
    });
    expect(rows).toEqual(expected);
  });
});

describe('recipes in the guides', () => {
  const recipes = pagesUnder('docs/guides').flatMap((page) =>
    blocksOf(readPage(page))
      .filter(({ language, text }) => language === 'json' && text.includes('"stages"'))
      .map(({ text, line }) => [`${page}:${line}`, text] as const),
  );
  it('are there', () => expect(recipes.length).toBeGreaterThanOrEqual(3));
  it.each(recipes)('%s is one', (where, text) => {
    const json = JSON.parse(text);
    // A run to start from is there when the page's commands run, and not here.
    const { stages } = 'init' in json ? recipeSchema().parse(json) : parseRecipe(json, where);
    expect(stages.length).toBeGreaterThan(0);
  });
});

it('docs/guides/reproduce-r1.md says what r1-mini sets', () => {
  const page = readPage('docs/guides/reproduce-r1.md');
  const recipe = parseRecipe(JSON.parse(readPage('recipes/r1-mini.json')), 'r1-mini');
  const grpo = recipe.stages.find((stage) => stage.kind === 'grpo');
  if (grpo?.kind !== 'grpo') throw new Error('r1-mini has no grpo stage');
  const { prompts, samples, steps, maxTokens, temperature, optimizer, loss, klCoefficient } = grpo;
  const cell = (name: string): string | undefined => {
    const row = page.split('\n').find((line) => line.startsWith(`| ${name}`));
    return row?.split('|').at(-2)?.trim();
  };
  expect(cell('problems a step')).toBe(`${prompts} × ${samples}`);
  expect(cell('steps |')).toBe(String(steps));
  expect(cell('longest completion')).toBe(String(maxTokens));
  expect(cell('temperature')).toBe(String(temperature));
  expect(Number(cell('learning rate')?.split(' ')[0])).toBe(optimizer.lr);
  const model = parseModelConfig(resolveRecipe(recipe).recipe.model);
  const { total, stored, active } = countParameters(architectureOf(model));
  expect([total, stored, active].map((count) => Math.round(count / 1000))).toEqual([516, 736, 331]);
  expect(page).toMatch(
    /516,000 parameters in `r1-mini` \(736,000 with its MTP module\), 331,000 of them active/,
  );
  expect(readPage('docs/guides/first-run.md')).toMatch(/516,000\s+parameters \(736,000 with/);
  expect(Number(cell('KL weight'))).toBe(klCoefficient ?? losses[loss].klCoefficient);
});

describe('the metrics of docs/guides/reproduce-r1.md', () => {
  it('are those that a run writes', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'reckoner-metrics-'));
    try {
      const sizes = {
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 1,
      };
      const experts = {
        moe_intermediate_size: 4,
        n_routed_experts: 2,
        num_experts_per_tok: 1,
        first_k_dense_replace: 1,
      };
      const latent = { kv_lora_rank: 4, qk_nope_head_dim: 4, qk_rope_head_dim: 4, v_head_dim: 4 };
      const model = {
        model_type: 'deepseek_v3',
        ...sizes,
        ...experts,
        ...latent,
        num_nextn_predict_layers: 1,
      };
      const schedule = { kind: 'constant' };
      const stages = [
        { id: 'a', kind: 'pretrain', steps: 1, batch: 2, schedule },
        { id: 'b', kind: 'sft', steps: 1, batch: 2, schedule },
        {
          id: 'c',
          kind: 'grpo',
          steps: 1,
          prompts: 1,
          samples: 2,
          maxTokens: 4,
          klCoefficient: 0.1,
          schedule,
        },
        { id: 'd', kind: 'rejection-sample', steps: 1, prompts: 1, samples: 2, maxTokens: 4 },
        { id: 'e', kind: 'eval', problems: 2, samples: 4, passAt: 4, maxTokens: 4 },
      ];
      writeFileSync(
        join(scratch, 'all.json'),
        JSON.stringify({ name: 'all', model, task: { name: 'sums' }, stages }),
      );
      const { code, stderr } = await reckoner([
        'train',
        join(scratch, 'all.json'),
        '--runs',
        scratch,
        '--workers',
        '1',
      ]);
      expect(code, stderr).toBe(0);
      const run = readdirSync(scratch).find((name) => name !== 'all.json') as string;
      const { events } = await readEvents(join(scratch, run, 'events.jsonl'));

      const found = new Set<string>();
      const results = new Set<string>();
      for (const event of events) {
        if (event.type === 'metrics') {
          for (const name of Object.keys(event.values))
            found.add(`${name.replace(/\.\d+$/, '')} ${event.kind}`);
        }
        if (event.type === 'evaluation')
          for (const name of Object.keys(event.results)) results.add(name);
      }
      const page = readPage('docs/guides/reproduce-r1.md');
      const names = (cell: string): string[] =>
        [...cell.matchAll(/`([\w/]+)`/g)].map(([, name]) => name);
      const described = tableUnder(page, 'What the metrics mean').flatMap(([metric, kinds]) => {
        const all = ['pretrain', 'sft', 'grpo', 'rejection-sample', 'eval'];
        return (kinds === 'all' ? all : kinds.split(', ')).map(
          (kind) => `${names(metric)[0]} ${kind}`,
        );
      });
      expect(described.sort()).toEqual([...found].sort());

      const evaluation = page.slice(page.indexOf('The results of an evaluation:'));
      const rows = [...evaluation.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => names(cell));
      expect(rows.filter((name) => name !== 'pass16').sort()).toEqual([...results].sort());
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }, 60_000);
});
