/**
 * @file What a query sees of the tokens before it, and what the KV cache holds for it: whole
 * contexts, sliding windows, chunks, sparse and compressed attention.
 *
 * Layers that see alike are one `Span`. A query with n keys behind it (itself included) sees the
 * latest of them one by one, and of the entries further back, which stand for `ratio` tokens each,
 * at most `topK`. FLOPs, bytes of the cache and bytes read while decoding follow from that alone.
 */
import { type Architecture, attentionLayers, type Indexer } from './architecture.js';
import { cacheWidth } from './shapes.js';

/** Layers whose queries see alike. */
export interface Span {
  layers: number;
  /** Latest tokens that a query sees one by one. */
  near: number;
  /** Near tokens are those of the query's own chunk of `near`. */
  chunked?: true;
  /** Entries of the cache besides: tokens for each, and how many a query takes. */
  far?: { ratio: number; topK: number };
  /** What scores every entry before a query takes its own. */
  indexer?: Indexer;
}

const EVERYTHING = Number.POSITIVE_INFINITY;

export function spansOf(architecture: Architecture): Span[] {
  const { attention } = architecture;
  const layers = attentionLayers(architecture);
  switch (attention.kind) {
    case 'gqa': {
      const { window } = attention;
      if (window === null) return [{ layers, near: EVERYTHING }];
      const local = Math.min(window.layers, layers);
      const { tokens: near, chunked } = window;
      return [
        { layers: layers - local, near: EVERYTHING },
        { layers: local, near, ...(chunked && { chunked }) },
      ];
    }
    case 'mla': {
      const { indexer } = attention;
      if (indexer === undefined) return [{ layers, near: EVERYTHING }];
      return [{ layers, near: 0, far: { ratio: 1, topK: indexer.topK }, indexer }];
    }
    case 'compressed': {
      const { window: near, sparse, heavy, indexer } = attention;
      return [
        { layers: layers - sparse.layers - heavy.layers, near },
        { layers: sparse.layers, near, far: { ratio: sparse.ratio, topK: indexer.topK }, indexer },
        { layers: heavy.layers, near, far: { ratio: heavy.ratio, topK: EVERYTHING } },
      ];
    }
  }
}

/** Σ min(n, limit) over n = 1 … count. */
const sumUpTo = (count: number, limit: number): number =>
  count <= limit ? (count * (count + 1)) / 2 : (limit * (limit + 1)) / 2 + (count - limit) * limit;

/** The same where each chunk of `limit` begins at 1 again. */
function sumInChunks(count: number, limit: number): number {
  const chunks = Math.floor(count / limit);
  const rest = count - chunks * limit;
  return (chunks * limit * (limit + 1) + rest * (rest + 1)) / 2;
}

/** Keys that queries with 1 … `count` tokens behind them see together. */
const keysUpTo = ({ near, chunked, far }: Span, count: number): number =>
  (chunked ? sumInChunks(count, near) : sumUpTo(count, near)) +
  (far === undefined ? 0 : sumUpTo(count, far.topK * far.ratio) / far.ratio);

/** Keys that one query with `tokens` behind it sees. */
const keysAt = ({ near, far }: Span, tokens: number): number =>
  Math.min(tokens, near) + (far === undefined ? 0 : Math.min(tokens / far.ratio, far.topK));

/** Keys and index entries of a layer that the queries of a part of a sequence see together. */
export interface Seen {
  keys: number;
  /** Scored by an indexer. */
  entries: number;
}

/** @param past tokens before the part */
export function seenCausally(span: Span, past: number, tokens: number): Seen {
  const last = past + tokens;
  const { ratio } = span.far ?? { ratio: 1 };
  return {
    keys: keysUpTo(span, last) - keysUpTo(span, past),
    entries: (sumUpTo(last, EVERYTHING) - sumUpTo(past, EVERYTHING)) / ratio,
  };
}

/** One query with `tokens` behind it. */
export const seenBy = (span: Span, tokens: number): Seen => ({
  keys: keysAt(span, tokens),
  entries: tokens / (span.far?.ratio ?? 1),
});

/** Keys that a query sees over all layers. */
export const keysOfQuery = (architecture: Architecture, tokens: number): number =>
  spansOf(architecture).reduce((sum, span) => sum + span.layers * keysAt(span, tokens), 0);

/** Index entries of all layers that are scored for a query, times the layers that score them. */
export const entriesOfQuery = (architecture: Architecture, tokens: number): number =>
  spansOf(architecture).reduce(
    (sum, span) => sum + (span.indexer?.layers ?? 0) * seenBy(span, tokens).entries,
    0,
  );

/** FLOPs of scoring one entry for one query: 2 × heads × width. */
export function indexerFlops({ attention }: Architecture): number {
  const indexer = attention.kind === 'gqa' ? undefined : attention.indexer;
  return indexer === undefined ? 0 : 2 * indexer.heads * indexer.headDim;
}

/** Numbers that a sequence of so many tokens takes in the cache of all layers. */
export function cacheElements(architecture: Architecture, tokens: number): number {
  const width = cacheWidth(architecture);
  return spansOf(architecture).reduce((sum, { layers, near, far, indexer }) => {
    const kept = Math.min(tokens, near) + (far === undefined ? 0 : tokens / far.ratio);
    return sum + layers * kept * width + indexElements(indexer, tokens, far?.ratio);
  }, 0);
}

/** Numbers of the cache of all layers that are read to decode one token. */
export function readElements(architecture: Architecture, tokens: number): number {
  const width = cacheWidth(architecture);
  return spansOf(architecture).reduce(
    (sum, span) =>
      sum +
      span.layers * keysAt(span, tokens) * width +
      indexElements(span.indexer, tokens, span.far?.ratio),
    0,
  );
}

/** Keys of the indexer: one an entry and layer. */
const indexElements = (indexer: Indexer | undefined, tokens: number, ratio = 1): number =>
  indexer === undefined ? 0 : (indexer.layers * indexer.headDim * tokens) / ratio;

/** Numbers of recurrent state that a sequence holds in all layers, however long it is. */
export function stateElements({ hybrid }: Architecture): number {
  if (hybrid === undefined) return 0;
  const { heads, headDim, state, groups, convolution } = hybrid.recurrent;
  const convolved = heads * headDim + 2 * groups * state;
  return hybrid.recurrentLayers * (heads * headDim * state + convolved * convolution);
}
