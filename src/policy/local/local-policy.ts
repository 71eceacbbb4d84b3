/**
 * @file The policy that the engine in this process is: a model on a backend, its gradients and
 * optimizer, a reference policy and a sampler.
 *
 * What a stage needs is allocated on the backend's stack when the policy is opened, in this order:
 * gradients, optimizer, balance, reference policy, sampler; `close` takes it off again.
 */
import { forwardFlops, trainingFlops } from '../../architecture/index.js';
import { loadSnapshot, type SnapshotState, saveSnapshot } from '../../checkpoints/snapshot.js';
import {
  createSampler,
  generationFlops,
  MAX_CAPACITY,
  type Sampler,
} from '../../inference/index.js';
import { createModel, type Model } from '../../models/index.js';
import type { Backend, Mark, Tensor } from '../../tensor/backend.js';
import { Tape } from '../../tensor/tape.js';
import { crossEntropyStep, policyStep, scoreStep } from '../../training/backpropagate.js';
import { type Balancer, createBalancer } from '../../training/balance.js';
import { flopsPart, microBatches } from '../../training/batch.js';
import { createOptimizer, gradientNormOf, type Optimizer } from '../../training/optimizer.js';
import type {
  Datum,
  Limits,
  Loss,
  Needs,
  Policy,
  SampleRequest,
  SaveTarget,
  Sums,
} from '../policy.js';
import { unsound } from './sound.js';
import { type ModelOrigin, modelFiles, restore, saveModel, toHost, weightsOf } from './weights.js';

/** What a local policy is made of. */
export interface LocalParts {
  backend: Backend;
  model: Model;
  /** The end-of-sequence token. */
  eos: number;
  /**
   * Most tokens in one forward and backward pass; longer batches are cut and their gradients added.
   */
  microBatchTokens: number;
  /** Sequences decoded at once at most, where they must give way to fit the memory. */
  sequences?: number;
  /** Keep one hidden state a layer and compute the rest again for the derivative. */
  recompute?: boolean;
  /** Where the stack is released to on closing; default: where it is before `Needs`. */
  mark?: Mark;
  /** What goes with the weights into folders; without it the policy cannot be saved. */
  origin?: ModelOrigin;
}

/** One number for each predicted token of every datum, in order. */
function perToken(
  data: readonly Datum[],
  pick: (datum: Datum) => ArrayLike<number> | number,
): Float32Array {
  const out = new Float32Array(data.reduce((sum, d) => sum + d.tokens.length - d.predictFrom, 0));
  let at = 0;
  for (const datum of data) {
    const predicted = datum.tokens.length - datum.predictFrom;
    const value = pick(datum);
    if (typeof value === 'number') out.fill(value, at, at + predicted);
    else out.set(value, at);
    at += predicted;
  }
  return out;
}

const given = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Error(`the policy was opened without ${what}`);
  return value;
};

export class LocalPolicy implements Policy {
  readonly limits: Limits;
  private readonly optimizer?: Optimizer;
  private readonly balancer: Balancer | null = null;
  /** Null under an adapter: the model without it is the reference policy. */
  private readonly reference: Model | null = null;
  private readonly sampler?: Sampler;
  /** What a snapshot keeps beside the weights. */
  readonly state: { name: string; tensor: Tensor }[] = [];
  /** Whether gradients are those of passes since the last update. */
  private accumulating = false;
  private readonly mark: Mark;

  constructor(
    private readonly parts: LocalParts,
    { training, sampling }: Needs,
  ) {
    const { backend, model, eos } = parts;
    const { store } = model;
    this.mark = parts.mark ?? backend.mark();
    this.limits = {
      positions: model.config.max_position_embeddings,
      predictsFurther: model.predictor !== undefined,
      losses: ['cross-entropy', 'policy'],
      renewsReference: !store.adapted,
    };
    if (training) {
      store.attachGradients();
      this.optimizer = createOptimizer(backend, store, training.optimizer);
      this.balancer = createBalancer(backend, model, training.balance);
      this.state.push(...this.optimizer.state);
      if (training.reference && !store.adapted) {
        this.reference = createModel(backend, model.config);
        this.copyToReference();
        this.state.push({ name: 'reference', tensor: this.reference.store.flat });
      }
    }
    if (sampling) {
      const { maxPrompt, maxTokens, draft } = sampling;
      const capacity = this.capacityOf(sampling);
      this.sampler = createSampler(backend, model, { capacity, maxPrompt, maxTokens, eos, draft });
    }
  }

  /** Sequences at once: what is asked, where their keys and values fit. */
  private capacityOf({
    capacity: asked,
    maxPrompt,
    maxTokens,
    maxCacheBytes,
  }: NonNullable<Needs['sampling']>): number {
    const capacity = Math.min(asked, this.parts.sequences ?? asked);
    if (maxCacheBytes === undefined) return Math.max(1, Math.min(MAX_CAPACITY, capacity));
    const { backend, model } = this.parts;
    const mark = backend.mark();
    const { bytesPerToken } = model.createCache(1);
    backend.release(mark);
    const fitting = Math.floor(maxCacheBytes / (bytesPerToken * (maxPrompt + maxTokens)));
    return Math.max(1, Math.min(fitting, capacity));
  }

  private copyToReference(): void {
    const { backend, model } = this.parts;
    if (this.reference && backend.ranks.rank === 0)
      backend.copy({ out: this.reference.store.flat, a: model.store.flat });
  }

  async sample({ prompts, ...options }: SampleRequest) {
    const sampler = given(this.sampler, 'sampling');
    const completions = await sampler.generate(prompts, options);
    const lengths: number[][] = prompts.map(() => []);
    for (const { prompt, tokens } of completions) lengths[prompt].push(tokens.length);
    const { architecture } = this.parts.model;
    const modelFlops = prompts.reduce(
      (sum, prompt, i) => sum + generationFlops(architecture, prompt.length, lengths[i]),
      0,
    );
    return { completions, modelFlops };
  }

  async score(
    data: readonly Datum[],
    { of, temperature }: { of: 'policy' | 'reference'; temperature: number },
  ) {
    const { backend, model, microBatchTokens } = this.parts;
    const { store, architecture } = model;
    const scored = of === 'reference' ? (this.reference ?? model) : model;
    const logProbabilities: Float32Array[] = [];
    let modelFlops = 0;
    for (const packed of microBatches(data, ({ tokens }) => tokens.length, microBatchTokens)) {
      const score = () => scoreStep(new Tape(backend, false), scored, packed, temperature);
      const all = await (of === 'reference' && store.adapted
        ? store.withoutAdapter(score)
        : score());
      let at = 0;
      for (const datum of packed) {
        const end = at + datum.tokens.length - datum.predictFrom;
        logProbabilities.push(all.subarray(at, end));
        at = end;
        modelFlops += forwardFlops(architecture, flopsPart(datum));
      }
    }
    return { logProbabilities, modelFlops };
  }

  async pass(data: readonly Datum[], loss: Loss): Promise<Sums> {
    const { model, microBatchTokens } = this.parts;
    this.beginGradients();
    const further = loss.name === 'cross-entropy' && this.trainsFurther(loss);
    const sums: Sums = { modelFlops: 0 };
    for (const packed of microBatches(data, ({ tokens }) => tokens.length, microBatchTokens)) {
      const metrics = await this.passOver(packed, loss);
      for (const [name, value] of Object.entries(metrics)) sums[name] = (sums[name] ?? 0) + value;
      for (const datum of packed)
        sums.modelFlops += trainingFlops(
          model.architecture,
          flopsPart(datum, further),
          model.store.adapterSize,
        );
    }
    return sums;
  }

  private trainsFurther({ mtpWeight = 0 }: { mtpWeight?: number }): boolean {
    return this.limits.predictsFurther && mtpWeight > 0;
  }

  /** One micro-batch. */
  private passOver(packed: readonly Datum[], loss: Loss): Promise<Sums> {
    const { backend, model, recompute } = this.parts;
    const tape = new Tape(backend, true, recompute);
    const balance = this.balancer?.input(loss.tokenWeight);
    if (loss.name === 'cross-entropy') {
      const { tokenWeight: weight, mtpWeight } = loss;
      return crossEntropyStep(tape, model, packed, { weight, mtpWeight, balance });
    }
    const { temperature, name: _, tokenWeight: __, ...options } = loss;
    const targets = {
      old: perToken(packed, ({ old }) => given(old, 'the log-probabilities of its samples')),
      reference:
        options.klCoefficient > 0 ? perToken(packed, ({ reference = 0 }) => reference) : null,
      advantages: perToken(packed, ({ advantages = 0 }) => advantages),
      weights: perToken(packed, ({ weights = 1 }) => weights),
    };
    return policyStep(tape, model, packed, targets, temperature, { ...options, balance });
  }

  /** Gradients start from zero at the first pass after an update. */
  private beginGradients(): void {
    if (this.accumulating) return;
    this.parts.model.store.resetGradients();
    this.accumulating = true;
  }

  async step(multiplier: number, update: number): Promise<Sums> {
    // A rank whose share is empty takes part with a gradient of zero.
    this.beginGradients();
    this.accumulating = false;
    const squares = await given(this.optimizer, 'training').update(multiplier, update);
    const gradientNorm = await gradientNormOf(this.parts.backend, squares);
    return { gradientNorm, ...(await this.balancer?.endStep()) };
  }

  async renewReference(): Promise<void> {
    this.copyToReference();
    await this.parts.backend.ranks.barrier();
  }

  async save({ folder, state, before, written }: SaveTarget): Promise<string | null> {
    const { backend, model } = this.parts;
    const { ranks } = backend;
    let bad: string | null = null;
    if (ranks.rank === 0) {
      const weights = await toHost(backend, weightsOf(model));
      const optimizer = await toHost(backend, this.state);
      bad = unsound(weights, optimizer);
      if (!bad) {
        await before?.();
        const tensors = { weights, ...(this.optimizer ? { optimizer } : {}) };
        const json = modelFiles(model, given(this.parts.origin, 'an origin'));
        written(await saveSnapshot(folder, { state: state as SnapshotState, tensors, json }));
      }
    }
    const [failed] = await ranks.sum([bad ? 1 : 0]);
    return failed > 0 ? (bad ?? 'the weights are unsound') : null;
  }

  async load(folder: string): Promise<void> {
    const { backend } = this.parts;
    if (backend.ranks.rank === 0)
      restore(backend, this.state, loadSnapshot(folder).read('optimizer'), folder);
    await backend.ranks.barrier();
  }

  async export(folder: string): Promise<number> {
    const { backend, model, origin } = this.parts;
    if (backend.ranks.rank !== 0) {
      await backend.ranks.barrier();
      return 0;
    }
    // Unsound weights are refused by `save`, and leave no model.
    const sound = unsound(await toHost(backend, weightsOf(model)), []) === null;
    const bytes = sound ? await saveModel(folder, backend, model, given(origin, 'an origin')) : 0;
    await backend.ranks.barrier();
    return bytes;
  }

  close(): void {
    const { backend, model } = this.parts;
    if (this.optimizer) model.store.detachGradients();
    backend.release(this.mark);
  }
}

/** Opens a policy on a model; all ranks call it together. */
export const openLocalPolicy = (parts: LocalParts, needs: Needs): LocalPolicy =>
  new LocalPolicy(parts, needs);
