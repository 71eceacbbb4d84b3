/**
 * @file One forward and backward pass over a packed batch, for each kind of loss.
 *
 * Both losses are functions of the log-probabilities of given tokens, so both share everything but
 * three lines. Gradients are added to the parameters' gradients; activations are freed before
 * returning.
 */
import type { ForwardInput, Model } from '../models/index.js';
import type { Tensor } from '../tensor/backend.js';
import { gatherRows, tokenLogProbabilities } from '../tensor/index.js';
import { POLICY_METRICS } from '../tensor/operations/losses.js';
import type { Tape, Variable } from '../tensor/tape.js';
import { type PackedBatch, packBatch, packFurther, type TrainingSequence } from './batch.js';
import { isFused, type PolicyLossForm, policyLossOf } from './losses.js';

/** Runs the model on `sequences` and gives the log-probabilities of what they predict, in order. */
function predict(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  temperature: number,
  balance?: ForwardInput['balance'],
) {
  const batch = packBatch(tape.backend, sequences);
  const hidden = model.forward(tape, { ...batch, balance });
  const selected =
    batch.predictions === batch.tokens ? hidden : gatherRows(tape, hidden, batch.rows);
  return {
    batch,
    hidden,
    ...tokenLogProbabilities(tape, selected, model.head, batch.targets, temperature),
  };
}

export interface CrossEntropyOptions {
  /** Of every predicted token, usually 1 / predictions of the global batch. */
  weight: number;
  /** λ of multi-token prediction, where the model has it; 0 leaves it out. */
  mtpWeight?: number;
  /** A mixture's balance loss; see `ForwardInput`. */
  balance?: ForwardInput['balance'];
}

/**
 * Cross-entropy of the next token, and λ times that of the token after it
 * (arXiv:2412.19437, equations 24 and 25, one module).
 * @returns this batch's part of the loss, and that of the further token before it is weighted
 */
export async function crossEntropyStep(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  options: CrossEntropyOptions,
): Promise<{ loss: number; mtpLoss: number }> {
  const { backend } = tape;
  const { weight, mtpWeight = 0, balance } = options;
  const mark = backend.mark();
  const { batch, hidden, logProbabilities } = predict(tape, model, sequences, 1, balance);
  const further =
    mtpWeight > 0 ? predictFurther(tape, model, sequences, hidden, { ...batch, balance }) : null;
  const losses = backend.allocate('f32', [2]);
  backend.fill({ out: losses, value: 0 });
  /** The loss goes to its place; returns the gradient at the log-probabilities. */
  const lossOf = (value: Variable, each: number, place: number): Tensor => {
    const weights = backend.allocate('f32', value.shape);
    backend.fill({ out: weights, value: each });
    const gradient = backend.allocate('f32', value.shape);
    backend.crossEntropyLoss({
      dLogProbabilities: gradient,
      loss: backend.view(losses, place, [1]),
      logProbabilities: value.value,
      weights,
    });
    return gradient;
  };
  const gradient = lossOf(logProbabilities, weight, 0);
  if (further) tape.give(further, lossOf(further, mtpWeight * weight, 1));
  tape.backward(logProbabilities, gradient);
  const [loss, weighted] = await backend.read(losses);
  backend.release(mark);
  return { loss, mtpLoss: further ? weighted / mtpWeight : 0 };
}

/**
 * Log-probabilities of the tokens two ahead; null where the model looks no further, or there is
 * none.
 */
function predictFurther(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  hidden: Variable,
  input: PackedBatch & Pick<ForwardInput, 'balance'>,
): Variable | null {
  if (!model.predictor) return null;
  const { nextIds, rows, targets, predictions } = packFurther(tape.backend, sequences);
  if (predictions === 0) return null;
  const ahead = gatherRows(tape, model.predictor.forward(tape, hidden, nextIds, input), rows);
  return tokenLogProbabilities(tape, ahead, model.head, targets).logProbabilities;
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
  for (const { tokens, predictFrom } of sequences)
    starts.push(starts[starts.length - 1] + tokens.length - predictFrom);
  return starts;
}

/** @returns `POLICY_METRICS` by name, and the sum of the entropy over the predicted tokens */
export async function policyStep(
  tape: Tape,
  model: Model,
  sequences: readonly TrainingSequence[],
  targets: PolicyTargets,
  temperature: number,
  options: PolicyLossForm & { balance?: ForwardInput['balance'] },
): Promise<Record<(typeof POLICY_METRICS)[number] | 'entropy', number>> {
  const { backend } = tape;
  const mark = backend.mark();
  const { batch, logProbabilities, entropy } = predict(
    tape,
    model,
    sequences,
    temperature,
    options.balance,
  );
  const upload = (data: Float32Array) => {
    const tensor = backend.allocate('f32', [batch.predictions]);
    backend.write(tensor, data);
    return tensor;
  };
  const gradient = backend.allocate('f32', [batch.predictions]);
  if (!isFused(options)) {
    const [now, entropies] = await Promise.all([
      backend.read(logProbabilities.value),
      backend.read(entropy),
    ]);
    const { dLogProbabilities, metrics } = policyLossOf(
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
  backend.policyLoss({
    dLogProbabilities: gradient,
    metrics,
    logProbabilities: logProbabilities.value,
    old: upload(targets.old),
    reference: targets.reference ? upload(targets.reference) : null,
    advantages: upload(targets.advantages),
    weights: upload(targets.weights),
    clipLow: options.clipLow,
    clipHigh: options.clipHigh,
    klCoefficient: options.klCoefficient,
  });
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
