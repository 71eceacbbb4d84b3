/**
 * @file Published models by name, as architectures.
 */
import { modelRow } from '../catalog/data/models.js';
import type { ModelRow } from '../catalog/model-row.js';
import type { Architecture } from './architecture.js';
import { architectureOf } from './from-config.js';

export interface PublishedModel {
  architecture: Architecture;
  /** Tokens of pretraining; undefined where nobody published them. */
  trainedTokens?: number;
  sequenceTokens?: number;
  /** Sequences a step. */
  globalBatch?: number;
  source: string;
}

const read = new Map<ModelRow, PublishedModel>();

/** @returns undefined for a model that the catalog does not have */
export function publishedModel(name: string): PublishedModel | undefined {
  const row = modelRow(name);
  if (row === undefined) return undefined;
  let model = read.get(row);
  if (model === undefined) {
    const { config, trainedTokens, sequenceTokens, globalBatch, source } = row;
    model = {
      architecture: architectureOf(config, row.name),
      trainedTokens,
      sequenceTokens,
      globalBatch,
      source,
    };
    read.set(row, model);
  }
  return model;
}
