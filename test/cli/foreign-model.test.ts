/**
 * @file A model that Reckoner did not make, with a byte-level BPE tokenizer and a chat template:
 * talked to, trained, and saved with its own tokenizer.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { saveHuggingFace } from '../../src/checkpoints/hugging-face.js';
import { createModel, parseModelConfig } from '../../src/models/index.js';
import { createReferenceBackend } from '../../src/tensor/backends/reference.js';
import { reckoner } from './model.js';

let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-foreign-'));
  const text = readFileSync(new URL('../fixtures/tokenizers/qwen.json', import.meta.url), 'utf8');
  const { tokenizer, tokenizerConfig } = JSON.parse(text);
  const config = {
    model_type: 'qwen2',
    // Rows beyond the tokenizer's, as released models have them.
    vocab_size: Object.keys(tokenizer.model.vocab).length + tokenizer.added_tokens.length + 16,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 128,
    initializer_range: 0.1,
  };
  const backend = createReferenceBackend();
  const { store } = createModel(backend, parseModelConfig(config));
  store.initialize(1);
  const tensors = [];
  for (const { spec, value } of store.parameters) {
    tensors.push({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    });
  }
  const generationConfig = { temperature: 0.7, top_k: 5, top_p: 0.9 };
  await saveHuggingFace(join(root, 'theirs'), {
    config,
    tensors,
    tokenizer,
    tokenizerConfig,
    generationConfig,
  });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const json = (...path: string[]) => JSON.parse(readFileSync(join(root, ...path), 'utf8'));

it('is trained from, keeps its tokenizer, and answers before and after', async () => {
  const ask = async (model: string) => {
    const { code, stdout, stderr } = await reckoner([
      'chat',
      model,
      '--prompt',
      '1+2=',
      '--max-tokens',
      '8',
      '--json',
    ]);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const before = await ask(join(root, 'theirs'));
  // The template's words are around the prompt.
  expect(before.tokens.prompt).toBeGreaterThan(8);

  const schedule = { kind: 'constant' };
  const stages = [
    { id: 'sft', kind: 'sft', steps: 3, batch: 4, schedule },
    { id: 'grpo', kind: 'grpo', steps: 1, prompts: 2, samples: 2, maxTokens: 24, schedule },
  ];
  const recipe = {
    name: 'foreign',
    init: { from: join(root, 'theirs') },
    task: { name: 'sums', maximum: 9, terms: [2, 2] },
    stages,
  };
  writeFileSync(join(root, 'foreign.json'), JSON.stringify(recipe));
  const runs = join(root, 'runs');
  const trained = await reckoner([
    'train',
    join(root, 'foreign.json'),
    '--runs',
    runs,
    '--workers',
    '1',
  ]);
  expect(trained.code, trained.stderr).toBe(0);
  const model = join('runs', readdirSync(runs)[0], 'model');
  expect(json(model, 'tokenizer.json')).toEqual(json('theirs', 'tokenizer.json'));
  expect(json(model, 'tokenizer_config.json')).toEqual(json('theirs', 'tokenizer_config.json'));
  const after = await ask(join(root, model));
  expect(after.tokens.prompt).toBe(before.tokens.prompt);

  const evaluated = await reckoner([
    'eval',
    join(root, model),
    '--problems',
    '2',
    '--samples',
    '1',
    '--max-tokens',
    '8',
    '--json',
  ]);
  expect(evaluated.code, evaluated.stderr).toBe(0);
}, 60_000);
