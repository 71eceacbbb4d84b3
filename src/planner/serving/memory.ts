/**
 * @file How many sequences a replica holds: what the weights leave of the memory, in tokens of
 * cache.
 */
import { moeLayers } from '../../architecture/index.js';
import type { ServingCalibration } from './calibration.js';
import { replicaSize } from './layout.js';
import { cacheBytesPerToken, cacheShards, type Deployment, stateBytes } from './step.js';

/** Prompt and answer of the mean request, in tokens. */
export interface Lengths {
  input: number;
  output: number;
  /** Of the input, what a cache of earlier prompts holds and is not computed again; default 0. */
  cached?: number;
}

/**
 * Bytes of weights on the accelerator of a replica that holds most. Multi-token-prediction modules
 * are not loaded.
 */
export function weightBytes({ architecture, parameters, precision, layout }: Deployment): number {
  const { moe, vocab, hidden, tiedEmbeddings, learnedPositions } = architecture;
  const { perLayer } = parameters;
  const { tensor, pipeline } = layout;
  const nMoe = moeLayers(architecture);
  const routed = nMoe * (moe?.experts ?? 0) * perLayer.expert;
  const other = parameters.total - parameters.embedding - routed;
  const ranks = replicaSize(layout) / pipeline;
  const embedding =
    (2 * vocab * hidden * (tiedEmbeddings ? 1 : 2) + 2 * learnedPositions * hidden) / tensor;
  // The first and the last stage hold an embedding or a head; with one stage, both.
  const ends = pipeline > 1 && !tiedEmbeddings ? embedding / 2 : embedding;
  const layersShare =
    pipeline === 1 ? 1 : Math.ceil(architecture.layers / pipeline) / architecture.layers;
  const layers = (other * precision.otherBytes) / tensor + (routed * precision.expertBytes) / ranks;
  return ends + layers * layersShare;
}

export interface CacheMemory {
  /** Bytes of weights and of room for the cache, on an accelerator. */
  weightBytes: number;
  cacheBytes: number;
  /** Tokens of sequences of this length that the whole replica caches. */
  tokens: number;
  /**
   * Sequences that fit when each has its prompt and the reserved share of its answer; below 1 the
   * model serves no such request.
   */
  sequences: number;
}

export function cacheMemory(
  served: Deployment,
  { input, output }: Lengths,
  calibration: ServingCalibration,
): CacheMemory {
  const { accelerator, layout } = served;
  const weights = weightBytes(served);
  const cacheBytes = Math.max(0, accelerator.memoryBytes * calibration.memoryFraction - weights);
  const length = Math.max(1, input + output * calibration.reservedShare);
  const { tensor, pipeline, dataAttention } = layout;
  const perSequence =
    (length * cacheBytesPerToken(served, length)) / cacheShards(served) / pipeline +
    stateBytes(served) / tensor / pipeline;
  const sequences =
    perSequence === 0 ? Number.POSITIVE_INFINITY : (cacheBytes / perSequence) * dataAttention;
  return { weightBytes: weights, cacheBytes, tokens: sequences * length, sequences };
}
