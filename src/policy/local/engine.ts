/**
 * @file The local engine of a rank: the model that a run trains, across its stages, and the policies
 * that stages open on it.
 */

import { loadSnapshot } from '../../checkpoints/snapshot.js';
import {
  createModel,
  type Model,
  type ModelConfig,
  type StoreOptions,
} from '../../models/index.js';
import type { Backend, Mark } from '../../tensor/backend.js';
import type { Needs, Policy } from '../policy.js';
import { type LocalParts, openLocalPolicy } from './local-policy.js';
import {
  type FolderOf,
  loadInitialWeights,
  loadOtherModel,
  loadTrainedAdapter,
  type ModelOrigin,
  restore,
  weightsOf,
} from './weights.js';

export interface EngineOptions {
  origin: ModelOrigin;
  /** Finds a model that a recipe names. */
  folderOf: FolderOf;
  microBatchTokens: number;
  recompute: boolean;
  /** Sequences decoded at once at most, where they must give way to fit the memory. */
  sequences?: number;
  /** Adapter, numerics, and room for frozen weights. */
  store: StoreOptions;
}

export class LocalEngine {
  private model: Model | null = null;
  private readonly mark: Mark;

  constructor(
    private readonly backend: Backend,
    private readonly options: EngineOptions,
  ) {
    this.mark = backend.mark();
  }

  private get lead(): boolean {
    return this.backend.ranks.rank === 0;
  }

  private create(config: ModelConfig): Model {
    this.backend.release(this.mark);
    this.model = createModel(this.backend, config, this.options.store);
    return this.model;
  }

  /**
   * A model in place of the one before, with the weights of `from`, or random ones.
   * @param seed of the random ones, and of an adapter's
   */
  async begin(config: ModelConfig, from: string | undefined, seed: number): Promise<void> {
    const model = this.create(config);
    if (this.lead) {
      if (from !== undefined) this.loadInitial(model, from);
      if (from === undefined || model.store.adapted) model.store.initialize(seed);
    }
    await this.backend.ranks.barrier();
  }

  /**
   * The model as an attempt before left it.
   * @param at a snapshot's folder, or the stage that trained it last
   */
  async resume(config: ModelConfig, at: { snapshot: string } | { stage: string }): Promise<void> {
    const model = this.create(config);
    const { origin, folderOf } = this.options;
    if (this.lead) {
      const { adapted } = model.store;
      // Under an adapter the model's own weights are in no snapshot.
      if (adapted && origin.recipe.init) this.loadInitial(model, origin.recipe.init.from);
      if ('snapshot' in at)
        restore(
          this.backend,
          weightsOf(model),
          loadSnapshot(at.snapshot).read('weights'),
          at.snapshot,
        );
      else if (adapted) loadTrainedAdapter(this.backend, model, at.stage, folderOf);
      else this.loadInitial(model, at.stage);
    }
    await this.backend.ranks.barrier();
  }

  private loadInitial(model: Model, from: string): void {
    const { origin, folderOf } = this.options;
    loadInitialWeights(this.backend, model, origin.tokenizer, from, folderOf);
  }

  private get current(): Model {
    if (this.model === null) throw new Error('the engine has no model yet');
    return this.model;
  }

  get vocabulary(): number {
    return this.current.config.vocab_size;
  }

  /** A policy on the run's model, or on another one. All ranks call it together. */
  async open(needs: Needs, from?: string): Promise<Policy> {
    const { backend } = this;
    const { origin, microBatchTokens, recompute, sequences, folderOf } = this.options;
    const mark = backend.mark();
    const model =
      from === undefined
        ? this.current
        : await loadOtherModel(backend, origin.tokenizer, from, folderOf);
    const { eos } = origin.tokenizer.special;
    const sizes = { microBatchTokens, recompute, sequences };
    const parts: LocalParts = { backend, model, eos, ...sizes, mark, origin };
    return openLocalPolicy(parts, needs);
  }
}
