/**
 * @file A wrong recipe, a wrong argument: one line that names the field, exit code 2, and no run
 * folder.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { reckoner, TINY } from '../../scripts/crash.mjs';
import { failureOf } from '../../src/cli/output.js';
import { loadRecipe } from '../../src/recipe/index.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-recipes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// biome-ignore lint/suspicious/noExplicitAny: recipes are spoilt in every way
type Spoil = (recipe: any) => unknown;

/**
 * What is done to a sound recipe, the field that is blamed, and what is said. Stages: sft, eval,
 * grpo, rejection-sample, sft, distill, eval.
 */
const wrong: [what: string, spoil: Spoil, field: string, message: RegExp][] = [
  ['an unknown field', (r) => (r.epochs = 3), 'epochs', /is not a known field/],
  [
    'an unknown field of a stage',
    (r) => (r.stages[0].epochs = 3),
    'stages.0.epochs',
    /is not a known field/,
  ],
  [
    'an unknown field of an optimizer',
    (r) => (r.stages[0].optimizer.lrr = 1),
    'stages.0.optimizer.lrr',
    /is not a known field/,
  ],
  [
    'a wrong type',
    (r) => (r.stages[0].steps = '12'),
    'stages.0.steps',
    /expected number, received string, is "12"/,
  ],
  ['a fraction of a step', (r) => (r.stages[0].steps = 1.5), 'stages.0.steps', /expected int/],
  ['no steps', (r) => (r.stages[0].steps = 0), 'stages.0.steps', />0/],
  ['a missing field', (r) => delete r.stages[2].maxTokens, 'stages.2.maxTokens', /expected number/],
  ['no stages', (r) => (r.stages = []), 'stages', />=1/],
  [
    'an unknown kind of stage',
    (r) => (r.stages[0].kind = 'sftt'),
    'stages.0.kind',
    /pretrain.*sft.*grpo/,
  ],
  [
    'a stage id that is used twice',
    (r) => (r.stages[1].id = 'sft'),
    'stages.1.id',
    /"sft" is used twice/,
  ],
  [
    'data from an unknown stage',
    (r) => (r.stages[4].mix[0].from = 'nobody'),
    'stages.4.mix.0.from',
    /"nobody" is not the id of an earlier/,
  ],
  [
    'data from a later stage',
    (r) => (r.stages[0].from = 'sample'),
    'stages.0.from',
    /"sample" is not the id of an earlier/,
  ],
  [
    'two ways to name a source',
    (r) => (r.stages[4].from = 'sample'),
    'stages.4.mix',
    /exclude each other/,
  ],
  [
    'a file that is not there',
    (r) => (r.stages[0].data = 'none.jsonl'),
    'stages.0.data',
    /none\.jsonl: cannot be read \(it does not exist\)/,
  ],
  [
    'a student without a model',
    (r) => delete r.stages[5].model,
    'stages.5.model',
    /is missing: the configuration of the student/,
  ],
  [
    'nobody to distill from',
    (r) => (r.stages = [r.stages[5]]),
    'stages.0.teacher',
    /no stage before this one trains/,
  ],
  [
    'a limit above the longest completion',
    (r) => (r.stages[2].lengthSchedule = [{ fromStep: 1, maxTokens: 25 }]),
    'stages.2.lengthSchedule.0.maxTokens',
    /at most the stage's maxTokens, 24/,
  ],
  [
    'a reference to renew without a KL weight',
    (r) => (r.stages[2].klCoefficient = 0),
    'stages.2.replaceReference',
    /needs a KL/,
  ],
  [
    'a student that cannot hold what its teacher writes',
    (r) => (r.stages[5].sampling.maxTokens = 99),
    'stages.5.sampling.maxTokens',
    /max_position_embeddings \(48\)/,
  ],
  [
    'a vocabulary too small',
    (r) => (r.model.vocab_size = 5),
    'model.vocab_size',
    /must be \d+.*is 5/,
  ],
  [
    'an odd head',
    (r) => (r.model.head_dim = 15),
    'model.head_dim',
    /must be an even integer, is 15/,
  ],
  [
    'heads that do not fit',
    (r) => (r.model.num_attention_heads = 3),
    'model.head_dim',
    /must be an even integer, is 10.6/,
  ],
  ['an unknown architecture', (r) => (r.model.model_type = 'gpt5'), 'model.model_type', /llama/],
  [
    'completions longer than the model',
    (r) => (r.stages[2].maxTokens = 99),
    'stages.2.maxTokens',
    /max_position_embeddings \(48\)/,
  ],
  ['groups of one', (r) => (r.stages[2].samples = 1), 'stages.2.samples', />=2/],
  [
    'pass@k of more than there is',
    (r) => (r.stages[1].passAt = 3),
    'stages.1.passAt',
    /at most samples \(2\), is 3/,
  ],
  ['a negative temperature', (r) => (r.stages[2].temperature = -1), 'stages.2.temperature', />0/],
  ['an unknown loss', (r) => (r.stages[2].loss = 'ppo'), 'stages.2.loss', /"grpo".*"dapo"/],
  ['an unknown task', (r) => (r.task.name = 'chess'), 'task.name', /chess.*sums/],
  ['an unknown option of a task', (r) => (r.task.digits = 3), 'task.digits', /digits/],
  [
    'a wrong option of a task',
    (r) => (r.stages[0].task = { terms: [3, 2] }),
    'stages.0.task.terms',
    /terms/,
  ],
  ['one checkpoint only', (r) => (r.checkpoints.keep = 1), 'checkpoints.keep', />=2/],
  ['a name with spaces', (r) => (r.name = 'my recipe'), 'name', /lower-case letters/],
  ['a seed too large', (r) => (r.seed = 2 ** 32), 'seed', /4294967295/],
  ['a schema of the future', (r) => (r.schemaVersion = 2), 'schemaVersion', /expected 1/],
];

function failure(text: string, name = 'wrong.json') {
  const file = join(folder, name);
  writeFileSync(file, text);
  try {
    loadRecipe(file);
  } catch (error) {
    return failureOf(error, '0.0.0');
  }
  throw new Error('the recipe was taken');
}

describe('a recipe with', () => {
  it('nothing wrong is taken', () => {
    expect(() => failure(JSON.stringify(TINY))).toThrow('the recipe was taken');
  });

  it.each(wrong)('%s is refused', (_what, spoil, field, message) => {
    const recipe = structuredClone(TINY);
    spoil(recipe);
    const { exitCode, field: blamed, message: said } = failure(JSON.stringify(recipe));
    expect({ exitCode, blamed }).toEqual({ exitCode: 2, blamed: field });
    expect(said).toMatch(message);
    expect(said).toMatch(new RegExp(`^wrong\\.json: .*\\b${field.split('.').at(-1)}: `));
    expect(said).not.toContain('\n');
  });

  it('a syntax error is refused with its line', () => {
    const { exitCode, message } = failure('{\n  "name": "a",\n  "seed": one\n}\n');
    expect(exitCode).toBe(2);
    expect(message).toMatch(/^recipe .*wrong\.json is not valid JSON at line 3, column 11: /);
    expect(failure('[]')).toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/^wrong\.json: recipe: /),
    });
  });
});

describe('the command refuses', () => {
  const runs = join(folder, 'runs');
  it.each([
    [['train', join(folder, 'none.json')], /^error: recipe .*none\.json: no such file/],
    [['train', 'r1-maxi'], /^error: no recipe named "r1-maxi"; there are .*r1-mini/],
    [['train', folder], /^error: /],
    [
      ['train', 'deepseek-v3'],
      /^error: deepseek-v3 cannot be trained here: .* "reckoner plan deepseek-v3 --on h800x2048"$/m,
    ],
    [['train', '--workers', '0'], /^error: option '--workers <n>' .*whole number from 1 to 256/],
    [['train', '--backend', 'cuda'], /^error: option '--backend <name>' .*wasm, webgpu, reference/],
    [
      ['train', '--workers', '2', '--backend', 'reference'],
      /^error: the reference backend runs on one worker, not 2/,
    ],
    [['train', '--max-usd', '-1'], /^error: option '--max-usd <amount>' /],
    [
      ['train', '--seed', '1', '--resume'],
      /^error: --resume takes the run's own recipe and seed; leave out the seed/,
    ],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await reckoner([...args, '--runs', runs]);
    expect([code, stdout], stderr).toEqual([2, '']);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(existsSync(runs)).toBe(false);
  });
});
