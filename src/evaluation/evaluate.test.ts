import { expect, it } from 'vitest';
import { createModel, parseModelConfig } from '../models/index.js';
import { openLocalPolicy } from '../policy/local/local-policy.js';
import type { Needs } from '../policy/policy.js';
import { createTask, type Task } from '../tasks/index.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { type EvaluateOptions, evaluate } from './evaluate.js';

const PROBLEMS = 8;
const SAMPLES = 5;

/**
 * A model of random weights, a tokenizer that spells every completion as a well-formed one whose
 * answer is its length modulo 3, and a task in which 1 is right. `graded` lists the answers in the
 * order in which they were graded; null is one with a token that spells nothing, which is
 * malformed.
 */
async function evaluation(more: Partial<EvaluateOptions> = {}) {
  const sums = createTask({ name: 'sums' });
  const characters = createCharacterTokenizer(sums.alphabet);
  const { pad, bos } = characters.special;
  const graded: (string | null)[] = [];
  const tokenizer: Tokenizer = {
    ...characters,
    decode: (ids) => {
      const answer = String(ids.length % 3);
      graded.push(ids.includes(pad) || ids.includes(bos) ? null : answer);
      return `<think></think><answer>${answer}</answer>`;
    },
  };
  const task: Task = {
    ...sums,
    verify: (_problem, completion) => {
      const correct = completion === '<think></think><answer>1</answer>';
      return { reward: correct ? 1 : 0, correct, wellFormed: true, reason: '' };
    },
  };
  const backend = createReferenceBackend();
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: characters.vocabularySize,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    max_position_embeddings: 512,
  });
  const model = createModel(backend, config);
  model.store.initialize(5);
  const before = backend.memory().localBytes;
  const options = {
    problems: PROBLEMS,
    samples: SAMPLES,
    temperature: 1,
    passAt: 3,
    greedy: false,
    maxTokens: 150,
    ...more,
  };
  const parts = { backend, model, eos: tokenizer.special.eos, microBatchTokens: 4096 };
  const open = async (needs: Needs) => openLocalPolicy(parts, needs);
  const { ranks } = backend;
  const result = await evaluate({ ranks, open, tokenizer, task, seed: 1 }, options);
  expect(backend.memory().localBytes).toBe(before);
  return { ...result, graded };
}

it('counts what the task graded, problem by problem', async () => {
  const { results, correct, graded, tokensOut } = await evaluation();
  expect(graded).toHaveLength(PROBLEMS * SAMPLES);
  const groups = Array.from({ length: PROBLEMS }, (_, i) =>
    graded.slice(i * SAMPLES, (i + 1) * SAMPLES),
  );
  const counts = groups.map((answers) => answers.filter((answer) => answer === '1').length);
  expect(correct).toEqual(counts);
  // Something must be right and something wrong for the rest to mean anything.
  expect(new Set(counts).size).toBeGreaterThan(2);
  const mean = (values: number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(results.pass1).toBeCloseTo(mean(counts) / SAMPLES, 12);
  // pass@3: the share of the ten triples of five samples that hold a right one
  const triples = counts.map((c) => {
    let hits = 0;
    for (let a = 0; a < 5; a++)
      for (let b = a + 1; b < 5; b++)
        for (let d = b + 1; d < 5; d++) hits += a < c || b < c || d < c ? 1 : 0;
    return hits / 10;
  });
  expect(results.pass3).toBeCloseTo(mean(triples), 12);
  // Majority: the most frequent answer, the first one on a tie.
  const winners = groups.map((answers) => {
    const voters = answers.filter((answer) => answer !== null);
    const votes = (answer: string): number => voters.filter((other) => other === answer).length;
    return voters.reduce(
      (best, answer) => (votes(answer) > votes(best) ? answer : best),
      voters[0],
    );
  });
  expect(results.majority).toBeCloseTo(mean(winners.map((answer) => (answer === '1' ? 1 : 0))), 12);
  expect(results.wellFormed).toBeCloseTo(
    graded.filter((answer) => answer !== null).length / graded.length,
    12,
  );
  expect(results.truncated).toBe(0);
  expect(results.length).toBeCloseTo(tokensOut / (PROBLEMS * SAMPLES), 12);
  expect(results.greedy).toBeUndefined();
});

it('a completion that was cut off is wrong and has no vote', async () => {
  const { results, correct } = await evaluation({ maxTokens: 1 });
  // One token can end a completion only by being the end.
  expect(results.truncated).toBeGreaterThan(0.5);
  expect(results.length).toBe(1);
  expect(correct.every((c) => c === 0)).toBe(true);
  expect(results.majority).toBe(0);
});

it('decodes greedily beside it, without changing the samples', async () => {
  const without = await evaluation();
  const { results, graded, samples } = await evaluation({ greedy: true });
  expect(graded.slice(0, PROBLEMS * SAMPLES)).toEqual(without.graded);
  const greedy = graded.slice(PROBLEMS * SAMPLES);
  expect(greedy.length).toBe(PROBLEMS);
  expect(results.pass1).toBe(without.results.pass1);
  expect(results.greedy).toBe(samples.filter(({ correct }) => correct).length / PROBLEMS);
});
