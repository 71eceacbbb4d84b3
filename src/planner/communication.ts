/**
 * @file Communication by kind: bytes that one accelerator sends, and the rate at which they go.
 *
 * A ring all-gather or reduce-scatter of B bytes over n ranks sends B·(n − 1)/n from each. Ranks
 * are placed as Megatron-LM does, tensor innermost, then context, then data (experts within it),
 * then pipeline, so what talks most stays on the fast link.
 */
import type { Accelerator } from './cluster.js';
import type { Layout } from './layout.js';

/** Share of a buffer that a ring sends: (n − 1)/n. */
export function ringShare(ranks: number): number {
  return ranks <= 1 ? 0 : (ranks - 1) / ranks;
}

/**
 * Bytes a second per accelerator of a collective over `ranks` ranks that lie `stride` apart.
 *
 * Across scale-up domains, all of a domain's network cards carry its ranks' common data, so a
 * collective of r ranks a domain gets r cards' worth, at most what the scale-up link gives.
 */
export function collectiveBandwidth(
  accelerator: Accelerator,
  ranks: number,
  stride: number,
  link: number,
  network: number,
): number {
  const { scaleUpSize, scaleUpBandwidth, scaleOutBandwidth } = accelerator;
  const up = scaleUpBandwidth * link;
  if (ranks * stride <= scaleUpSize) return up;
  const ranksPerDomain = Math.max(1, Math.floor(scaleUpSize / stride));
  return Math.min(up, scaleOutBandwidth * network * Math.min(ranks, ranksPerDomain));
}

/**
 * Seconds of one all-to-all between expert-parallel ranks.
 *
 * @param tokens of this accelerator; @param bytes one token has; a token goes to `topK` experts.
 * Over the network it goes once to each domain that has an expert of it (DeepSeek-V3, section
 * 3.2.2), and is spread inside by the scale-up link.
 */
export function allToAllSeconds(
  accelerator: Accelerator,
  { expert }: Pick<Layout, 'expert'>,
  tokens: number,
  bytes: number,
  routing: { topK: number; topGroups: number; groups: number },
  link: number,
  network: number,
): number {
  if (expert <= 1) return 0;
  const { scaleUpSize, scaleUpBandwidth, scaleOutBandwidth } = accelerator;
  // A rank that has several of a token's experts gets it once.
  const copies = expert * (1 - (1 - 1 / expert) ** routing.topK);
  const inside = (tokens * bytes * copies * ringShare(expert)) / (scaleUpBandwidth * link);
  const domains = Math.ceil(expert / scaleUpSize);
  if (domains <= 1) return inside;
  let reached = domains * (1 - (1 - 1 / domains) ** routing.topK);
  if (routing.groups > 1) reached = Math.min(reached, routing.topGroups);
  const outside = (tokens * bytes * reached * ringShare(domains)) / (scaleOutBandwidth * network);
  return Math.max(inside, outside);
}
