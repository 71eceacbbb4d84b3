/**
 * @file One forward and backward pass over a packed batch, for each kind of loss.
 *
 * Both losses are functions of the log-probabilities of given tokens, so both share everything but three lines. Gradients are
 * added to the parameters' gradients; activations are freed before returning.
 */
import type { Model } from '../models/index.js';
import { POLICY_METRICS, type PolicyLossOptions } from '../tensor/backend.js';
import { gatherRows, tokenLogProbabilities } from '../tensor/index.js';
import type { Tape } from '../tensor/tape.js';
import { packBatch, type TrainingSequence } from './batch.js';
import { type Ratio, sequencePolicyLoss } from './losses.js';

/** Runs the model on `sequences` and gives the log-probabilities of what they predict, in order. */
function predict(tape: Tape, model: Model, sequences: readonly TrainingSequence[], temperature: number) {
  const batch = packBatch(tape.backend, sequences);
  const hidden = model.forward(tape, batch);
  const selected = batch.predictions === batch.tokens ? hidden : gatherRows(tape, hidden, batch.rows);
  return { batch, ...tokenLogProbabilities(tape, selected, model.head, batch.targets, temperature) };
}

/**
 * Cross-entropy, every predicted token with the same `weight` (usually 1 / predictions of the global batch).
 * @returns this batch's part of the loss
 */
export async function crossEntropyStep(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  weight: number,
): Promise<number> {
  const { backend } = tape;
  const mark = backend.mark();
  const { batch, logProbabilities } = predict(tape, model, sequences, 1);
  const weights = backend.allocate('f32', [batch.predictions]);
  backend.fill(weights, weight);
  const gradient = backend.allocate('f32', [batch.predictions]);
  const loss = backend.allocate('f32', [1]);
  backend.crossEntropyLoss(gradient, loss, logProbabilities.value, weights);
  tape.backward(logProbabilities, gradient);
  const [value] = await backend.read(loss);
  backend.release(mark);
  return value;
}

/** What the policy loss needs to know of each predicted token, in order: [M]. */
export interface PolicyTargets {
  old: Float32Array;
  reference: Float32Array | null;
  advantages: Float32Array;
  weights: Float32Array;
}

function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

/** Where each sequence's predicted tokens begin among all of the batch, and the end. */
function startsOf(sequences: readonly TrainingSequence[]): number[] {
  const starts = [0];
  for (const { tokens, predictFrom } of sequences) starts.push(starts[starts.length - 1] + tokens.length - predictFrom);
  return starts;
}

/** @returns `POLICY_METRICS` by name, and the sum of the entropy over the predicted tokens */
export async function policyStep(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  targets: PolicyTargets,
  temperature: number,
  options: PolicyLossOptions & { ratio: Ratio },
): Promise<Record<(typeof POLICY_METRICS)[number] | 'entropy', number>> {
  const { backend } = tape;
  const mark = backend.mark();
  const { batch, logProbabilities, entropy } = predict(tape, model, sequences, temperature);
  const upload = (data: Float32Array) => {
    const tensor = backend.allocate('f32', [batch.predictions]);
    backend.write(tensor, data);
    return tensor;
  };
  const gradient = backend.allocate('f32', [batch.predictions]);
  if (options.ratio === 'sequence') {
    const [now, entropies] = await Promise.all([backend.read(logProbabilities.value), backend.read(entropy)]);
    const { dLogProbabilities, metrics } = sequencePolicyLoss(
      { logProbabilities: now, ...targets },
      startsOf(sequences),
      options,
    );
    backend.write(gradient, dLogProbabilities);
    tape.backward(logProbabilities, gradient);
    backend.release(mark);
    return { ...metrics, entropy: sumOf(entropies) };
  }
  const metrics = backend.allocate('f32', [POLICY_METRICS.length]);
  backend.policyLoss(
    gradient,
    metrics,
    logProbabilities.value,
    upload(targets.old),
    targets.reference ? upload(targets.reference) : null,
    upload(targets.advantages),
    upload(targets.weights),
    options,
  );
  tape.backward(logProbabilities, gradient);
  const [values, entropies] = await Promise.all([backend.read(metrics), backend.read(entropy)]);
  backend.release(mark);
  const [loss, clippedTokens, klWeighted, tokens, absoluteLogRatio] = values;
  return { loss, clippedTokens, klWeighted, tokens, absoluteLogRatio, entropy: sumOf(entropies) };
}

/** Log-probabilities of what `sequences` predict, without derivatives: [M]. */
export async function scoreStep(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  temperature: number,
): Promise<Float32Array> {
  const { backend } = tape;
  const mark = backend.mark();
  const { logProbabilities } = predict(tape, model, sequences, temperature);
  const values = Float32Array.from(await backend.read(logProbabilities.value));
  backend.release(mark);
  return values;
}
