/**
 * @file For tests: a tiny decoder, and what it says about whole sequences, without a cache or a
 * batch.
 */
import type { Backend } from '../tensor/backend.js';
import { Tape } from '../tensor/tape.js';
import type { Model } from './model.js';

/**
 * Everything but `vocab_size`. Weights are drawn large, so that a random model already has
 * opinions.
 */
export const tinyConfig = {
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  initializer_range: 0.4,
};

interface On {
  backend: Backend;
  model: Model;
}

/** Logits after each token of one sequence: [N][vocabulary]. */
export async function logitsOf(
  { backend, model }: On,
  tokens: readonly number[],
): Promise<number[][]> {
  const mark = backend.mark();
  const upload = (data: readonly number[]) => {
    const tensor = backend.allocate('i32', [data.length]);
    backend.write(tensor, data);
    return tensor;
  };
  const input = {
    ids: upload(tokens),
    positions: upload(tokens.map((_, i) => i)),
    segments: upload([0, tokens.length]),
  };
  const hidden = model.forward(new Tape(backend, false), input);
  const vocabulary = model.head.shape[0];
  const logits = backend.allocate('f32', [tokens.length, vocabulary]);
  backend.matmul({ out: logits, a: hidden.value, b: model.head.value, transposeB: true });
  const flat = Array.from(await backend.read(logits));
  backend.release(mark);
  return tokens.map((_, i) => flat.slice(i * vocabulary, (i + 1) * vocabulary));
}

/** Log softmax of a row of logits at a temperature. */
export function logSoftmax(logits: readonly number[], temperature = 1): number[] {
  const row = logits.map((x) => x / temperature);
  const largest = Math.max(...row);
  const lse = largest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  return row.map((x) => x - lse);
}

/** Log-probabilities of tokens[from …], each given all before it. */
export async function scoresOf(
  on: On,
  tokens: readonly number[],
  from: number,
  temperature = 1,
): Promise<number[]> {
  const logits = await logitsOf(on, tokens);
  return tokens.slice(from).map((token, i) => logSoftmax(logits[from + i - 1], temperature)[token]);
}
