/**
 * @file A stage kind and rows of tables that this file adds, in code of its own alone: a recipe with
 * them trains, is planned, billed and listed as any other is.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { FAMILIES } from '../src/architecture/index.js';
import { computeBill, defaultPriceBook, readRun } from '../src/ledger/index.js';
import { readTarget } from '../src/plan/cluster/cluster-file.js';
import { planRecipe } from '../src/plan/cluster/plan.js';
import type { Thread } from '../src/policy/local/thread.js';
import { parseRecipe, recipeJsonSchema } from '../src/recipe/index.js';
import { type StageSpec, stageKinds } from '../src/stages/index.js';
import { defineStage, type StageKind } from '../src/stages/kind.js';
import { always } from '../src/stages/work.js';
import { openLibrary } from '../src/studio/library.js';
import { problemAt } from '../src/tasks/task.js';
import type { RankJob, ToRank } from '../src/train/protocol.js';
import { runRank } from '../src/train/rank.js';
import { train } from '../src/train/train.js';
import { aggregations } from '../src/training/aggregations.js';
import { losses } from '../src/training/losses.js';
import { optimizerSchema } from '../src/training/optimizer.js';
import { optimizers } from '../src/training/optimizers/index.js';
import { encodePrompt, slotsOf } from '../src/training/stage.js';
import { sumNamed } from '../src/training/sums.js';

const goldSchema = z.strictObject({
  steps: z.int().positive(),
  batch: z.int().positive(),
  optimizer: optimizerSchema,
});
type GoldOptions = z.infer<typeof goldSchema>;

declare module '../src/stages/index.js' {
  interface StageKinds {
    gold: StageKind<GoldOptions>;
  }
}

/** Imitates the right answers of a task, without any thinking. */
const gold = defineStage<GoldOptions>({
  kind: 'gold',
  schema: goldSchema,
  trains: true,
  purpose: 'training',
  steps: ({ steps }) => steps,
  work: ({ steps, batch, optimizer }, facts) => [
    {
      phase: '',
      steps,
      purpose: 'training',
      rollouts: [],
      scores: [],
      passes: [
        {
          model: 'stage',
          sequences: always(batch),
          ...facts.examples([{ weight: 1 }]),
          loss: 'cross-entropy',
          source: 'task',
          predicts: 'completion',
          further: false,
          trains: facts.adapter ? 'adapter' : 'all',
          optimizer,
          updates: 1,
        },
      ],
    },
  ],
  async create(context, { steps, batch, optimizer }) {
    const { ranks, task, tokenizer, seed } = context;
    const balance = { speed: 0, sequenceWeight: 0 };
    const policy = await context.open({ training: { optimizer, balance, reference: false } });
    return {
      steps,
      purpose: 'training',
      policy,
      resumableFrom: 0,
      async step(step) {
        const data = slotsOf(ranks, batch).map((slot) => {
          const problem = problemAt(task, seed, 'train', (step - 1) * batch + slot);
          const prompt = encodePrompt(tokenizer, problem);
          const answer = tokenizer.encode(task.gold(problem) ?? '');
          const tokens = [...prompt, ...answer, tokenizer.special.eos];
          return { tokens, predictFrom: prompt.length };
        });
        const tokens = data.reduce((sum, datum) => sum + datum.tokens.length - 1, 0);
        const name = 'cross-entropy';
        const { loss, modelFlops } = await policy.pass(data, { name, tokenWeight: 1 / tokens });
        await policy.step(1, step);
        const all = await sumNamed(ranks, { loss, modelFlops, tokens });
        const values = { loss: all.loss };
        return { values, tokensIn: all.tokens, tokensOut: 0, modelFlops: all.modelFlops };
      },
    };
  },
});

stageKinds.gold = gold;
optimizers.mine = optimizers.adamw;
// Qwen3 with the biases of Qwen2, in a row of its own.
FAMILIES.mine = { ...FAMILIES.qwen3, bias: 'qkv' };
aggregations.even = (lengths) => lengths.map(() => 1);
losses.even = { ...losses.dr_grpo, aggregation: 'even' };

/** Typed as stages of shipped kinds are. */
const goldStage: StageSpec = {
  id: 'answers',
  kind: 'gold',
  steps: 2,
  batch: 4,
  optimizer: optimizerSchema.parse({ matrices: 'mine' }),
};

const recipe = {
  name: 'extended',
  model: {
    model_type: 'mine',
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  },
  task: { name: 'sums', maximum: 9, terms: [2, 2] },
  stages: [
    goldStage,
    { id: 'rl', kind: 'grpo', steps: 2, prompts: 2, samples: 2, maxTokens: 8, loss: 'even' },
    { id: 'after', kind: 'eval', problems: 2, samples: 1, passAt: 1, maxTokens: 8 },
  ],
};

let runs: string;
beforeAll(() => {
  runs = mkdtempSync(join(tmpdir(), 'reckoner-extend-'));
});
afterAll(() => {
  delete stageKinds.gold;
  delete optimizers.mine;
  delete FAMILIES.mine;
  delete aggregations.even;
  delete losses.even;
  rmSync(runs, { recursive: true, force: true });
});

/** A rank in this thread, where the table has the row: a worker would load the table anew. */
function startRank(job: RankJob): Thread {
  const listeners = new Map<string, (value: unknown) => void>();
  let receive: (message: ToRank) => void = () => {};
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  void turn()
    .then(() =>
      runRank(job, {
        send: (message) => listeners.get('message')?.(message),
        receive: (listener) => {
          receive = listener;
        },
        turn,
      }),
    )
    .then(() => listeners.get('exit')?.(0));
  return {
    on: (event: string, listener: (value: unknown) => void) => listeners.set(event, listener),
    postMessage: (message: ToRank) => receive(message),
    terminate: () => {},
  } as unknown as Thread;
}

it('is trained, planned, billed and listed', async () => {
  const parsed = parseRecipe(recipe, 'recipe.json');
  const prices = defaultPriceBook();
  const options = { version: '0', runs, workers: 1, products: 'wasm', prices, startRank } as const;
  const { run, reason } = await train({ ...options, recipe: parsed });
  expect(reason).toBe('completed');
  expect(existsSync(join(run.stages, 'answers', 'model.safetensors'))).toBe(true);

  // The local plan, timed here before the first step, and one of a cluster.
  const ids = recipe.stages.map(({ id }) => id);
  const plan = JSON.parse(readFileSync(run.plan, 'utf8'));
  expect(plan.stages.map(({ id }: { id: string }) => id)).toEqual(['start', ...ids, 'finish']);
  expect(plan.stages[1]).toMatchObject({ kind: 'gold', seconds: { value: expect.any(Number) } });
  const cluster = planRecipe(parsed, readTarget('h100x1'));
  const planned = cluster.stages.find(({ id }) => id === 'answers');
  expect(planned?.tokens).toBeGreaterThan(2 * 4 * 8);
  expect(planned?.gpuHours.value).toBeGreaterThan(0);

  const bill = computeBill([await readRun(run.root)], prices);
  const lines = bill.lines.filter((line) => line.run?.stage === 'answers');
  expect(lines.length).toBeGreaterThan(0);
  for (const { run: part } of lines)
    expect(part).toMatchObject({ purpose: 'training', status: 'kept' });

  const library = openLibrary(runs);
  const [listed] = await library.list();
  expect(listed).toMatchObject({ recipe: 'extended', steps: 5 });
  const entry = library.find(run.name);
  expect(entry && library.detail(entry).stages[0]).toMatchObject({ kind: 'gold', steps: 2 });
  await library.close();

  expect(JSON.stringify(recipeJsonSchema())).toContain('"const":"gold"');
}, 120_000);

it('is refused, where no row has the name, with those that there are', () => {
  const stages = [{ ...recipe.stages[1], loss: 'odd' }];
  expect(() => parseRecipe({ ...recipe, stages }, 'recipe.json')).toThrow(
    /stages\.0\.loss: .*"dapo".*"even", is "odd"/,
  );
});
