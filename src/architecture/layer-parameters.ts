/**
 * @file Parameters of what mixes tokens in one layer: grouped-query, latent and compressed
 * attention, recurrent mixers, and the maps between residual streams.
 */
import {
  type Architecture,
  attentionLayers,
  type CompressedAttention,
  type GroupedQueryAttention,
  type Hybrid,
  type LatentAttention,
} from './architecture.js';

/** Weights in matrix products, and all others. */
export interface Weights {
  matrices: number;
  vectors: number;
}

/** Shares of the layers of attention that compress, or that have an indexer. */
export interface Shares {
  sparse: number;
  heavy: number;
  indexer: number;
}

export function meanShares(architecture: Architecture): Shares {
  const { attention } = architecture;
  if (attention.kind === 'gqa') return { sparse: 0, heavy: 0, indexer: 0 };
  const layers = attentionLayers(architecture);
  const compressed = attention.kind === 'compressed';
  return {
    sparse: compressed ? attention.sparse.layers / layers : 0,
    heavy: compressed ? attention.heavy.layers / layers : 0,
    indexer: (attention.indexer?.layers ?? 0) / layers,
  };
}

/** Attention of one layer: matrices, and its biases and norms. */
export function attentionParameters({ hidden, attention }: Architecture, shares: Shares): Weights {
  switch (attention.kind) {
    case 'gqa':
      return groupedParameters(hidden, attention);
    case 'mla': {
      const latent = latentParameters(hidden, attention);
      const { indexer, qLoraRank } = attention;
      if (indexer === undefined) return latent;
      const { heads, headDim } = indexer;
      const index = (qLoraRank ?? hidden) * heads * headDim + hidden * (headDim + heads);
      return {
        matrices: latent.matrices + shares.indexer * index,
        vectors: latent.vectors + shares.indexer * 2 * headDim,
      };
    }
    case 'compressed':
      return compressedParameters(hidden, attention, shares);
  }
}

function groupedParameters(hidden: number, attention: GroupedQueryAttention): Weights {
  const { heads, kvHeads, headDim, bias, qkNorm, outputGate, sinks } = attention;
  const norms =
    qkNorm === 'none' ? 0 : qkNorm === 'head' ? 2 * headDim : (heads + kvHeads) * headDim;
  const biases = bias === 'none' ? 0 : (heads + 2 * kvHeads) * headDim;
  return {
    matrices: ((outputGate ? 3 : 2) * heads + 2 * kvHeads) * hidden * headDim,
    vectors: norms + biases + (bias === 'all' ? hidden : 0) + (sinks ? heads : 0),
  };
}

function latentParameters(hidden: number, attention: LatentAttention): Weights {
  const { heads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const query = heads * (qkNopeHeadDim + qkRopeHeadDim);
  return {
    matrices:
      (qLoraRank === null ? hidden * query : hidden * qLoraRank + qLoraRank * query) +
      hidden * (kvLoraRank + qkRopeHeadDim) +
      kvLoraRank * heads * (qkNopeHeadDim + vHeadDim) +
      heads * vHeadDim * hidden,
    vectors: (qLoraRank ?? 0) + kvLoraRank,
  };
}

/** DeepSeek-V4's technical report, section 2.3: equations 9 to 28. */
function compressedParameters(
  hidden: number,
  attention: CompressedAttention,
  shares: Shares,
): Weights {
  const { heads, headDim, qLoraRank, outputGroups, outputRank, sparse, heavy, indexer } = attention;
  // Entries and their weights, with a bias for each position; two overlapping series when sparse.
  const compressor = (series: number, width: number, ratio: number): Weights => ({
    matrices: 2 * series * hidden * width,
    vectors: ratio * series * width + width,
  });
  const own = compressor(2, headDim, sparse.ratio);
  const index = compressor(2, indexer.headDim, sparse.ratio);
  const all = compressor(1, headDim, heavy.ratio);
  return {
    matrices:
      hidden * qLoraRank +
      qLoraRank * heads * headDim +
      hidden * headDim +
      heads * headDim * outputRank +
      outputGroups * outputRank * hidden +
      shares.heavy * all.matrices +
      shares.sparse *
        (own.matrices + index.matrices + (qLoraRank * indexer.headDim + hidden) * indexer.heads),
    vectors:
      qLoraRank +
      headDim +
      heads +
      shares.heavy * all.vectors +
      shares.sparse * (own.vectors + index.vectors),
  };
}

/**
 * Maps between n residual streams of one layer, around attention and feed-forward network: n² + 2n
 * numbers from all streams; and one map to a single stream at the end (mHC, arXiv:2512.24880).
 */
export function streamParameters({
  hidden,
  residualStreams: n,
}: Architecture): Weights & { head: number } {
  if (n === undefined) return { matrices: 0, vectors: 0, head: 0 };
  const maps = n * n + 2 * n;
  return {
    matrices: 2 * maps * n * hidden,
    vectors: 2 * (maps + 3),
    head: n * n * hidden + n + 1,
  };
}

export function recurrentParameters(hidden: number, { recurrent }: Hybrid): Weights {
  const { kind, heads, headDim, state, groups, convolution } = recurrent;
  const inner = heads * headDim;
  const convolved = inner + 2 * groups * state;
  // Mamba-2 has one step size a head, and a bias in its convolution; the delta rule has a decay and
  // a learning rate a head, and one norm for all heads.
  const mamba = kind === 'mamba2';
  return {
    matrices: hidden * (inner + convolved + (mamba ? 1 : 2) * heads) + inner * hidden,
    vectors:
      convolved * (convolution + (mamba ? 1 : 0)) +
      (mamba ? 3 : 2) * heads +
      (mamba ? inner : headDim),
  };
}
