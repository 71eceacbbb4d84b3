/**
 * @file How a served model lies on accelerators.
 *
 * A replica is `tensor × pipeline × dataAttention` accelerators. Attention (and every layer that is
 * not a routed expert) is split
 * `tensor` ways and copied `dataAttention` times, each copy with its own requests; routed experts
 * lie once on all of a pipeline stage's accelerators, `expert` ways by expert and the rest inside
 * each expert. So
 * - `TP8` is tensor 8;
 * - `TP8 EP8` is tensor 8, expert 8 (the all-reduce is the same);
 * - `DEP8`, `DP8 EP8`, or a wide `EP144 DP144` is dataAttention = expert (DeepSeek-V3, section
 *   3.4.1; SGLang, vLLM, TensorRT-LLM).
 */

import type { Architecture } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';

export interface ServingLayout {
  tensor: number;
  pipeline: number;
  /** Copies of attention, each with its own requests. */
  dataAttention: number;
  /** Ranks that the experts are spread over; 1 splits every expert over all instead. */
  expert: number;
}

export const SINGLE: ServingLayout = { tensor: 1, pipeline: 1, dataAttention: 1, expert: 1 };

export function replicaSize({ tensor, pipeline, dataAttention }: ServingLayout): number {
  return tensor * pipeline * dataAttention;
}

/** `TP8`, `TP2 PP4`, `DEP8`, `TP4 DP2 EP8`. */
export function servingLayoutName({
  tensor,
  pipeline,
  dataAttention,
  expert,
}: ServingLayout): string {
  const parts: string[] = [];
  if (dataAttention > 1 && tensor === 1 && expert === dataAttention)
    parts.push(`DEP${dataAttention}`);
  else {
    parts.push(`TP${tensor}`);
    if (dataAttention > 1) parts.push(`DP${dataAttention}`);
    if (expert > 1) parts.push(`EP${expert}`);
  }
  if (pipeline > 1) parts.push(`PP${pipeline}`);
  return parts.join(' ');
}

/** The reason why a model cannot lie so, or null. */
export function layoutFault(layout: ServingLayout, architecture: Architecture): string | null {
  const { tensor, pipeline, dataAttention, expert } = layout;
  for (const [name, value] of Object.entries(layout))
    if (!Number.isInteger(value) || value < 1)
      return `${name} is ${value}; it must be a positive whole number`;
  const { heads } = architecture.attention;
  if (heads % tensor !== 0) return `${heads} heads do not divide over tensor ${tensor}`;
  if (pipeline > architecture.layers)
    return `pipeline ${pipeline} exceeds ${architecture.layers} layers`;
  const stage = tensor * dataAttention;
  if (stage % expert !== 0)
    return `expert ${expert} does not divide the ${stage} accelerators of a stage`;
  const { moe } = architecture;
  if (moe === null) return expert > 1 ? `expert ${expert} without experts` : null;
  if (stage / expert > 1 && moe.expertIntermediate % (stage / expert) !== 0)
    return `an expert's width ${moe.expertIntermediate} does not divide over ${stage / expert}`;
  return null;
}

/** @throws UserError naming what does not divide */
export function checkLayout(layout: ServingLayout, architecture: Architecture): void {
  const fault = layoutFault(layout, architecture);
  if (fault !== null)
    throw new UserError(
      'usage',
      `${architecture.name} as ${servingLayoutName(layout)}: ${fault}`,
      'layout',
    );
}

/**
 * Reads a published label: `TP8`, `TP8 EP1`, `DEP4`, `EP32 DP32 (…)`, `EP72-class`, `TP16,
 * InfiniBand`, `TP4/PP2`, `DP8`.
 * @param count accelerators of the row, or null; without a word of layout they are one tensor group
 */
export function parseServingLayout(
  label: string,
  count: number | null,
  architecture: Architecture,
): ServingLayout | null {
  // `DP attention` is a word about attention, `DEP` means both; numbers in brackets are remarks.
  const text = label.replace(/\(.*?\)/g, ' ').toUpperCase();
  const read = (pattern: RegExp): number | null => {
    const found = pattern.exec(text);
    return found === null ? null : Number(found[1]);
  };
  const joint = read(/\bDEP\s*[=-]?\s*(\d+)/) ?? read(/\bWIDE[- ]?EP\s*[=-]?\s*(\d+)/);
  const tensor = read(/\b(?:A?TP|TENSOR)\s*[=-]?\s*(\d+)/) ?? read(/\bTEP\s*[=-]?\s*(\d+)/);
  const pipeline = read(/\bPP\s*[=-]?\s*(\d+)/) ?? 1;
  const expert = read(/\b(?:D|T)?EP\s*[=-]?\s*(\d+)/);
  const data = read(/\bDP\s*[=-]?\s*(\d+)/);
  const mixture = architecture.moe !== null;
  if (joint !== null) return layoutOf(1, pipeline, joint, mixture ? joint : 1);
  if (tensor === null && expert === null && data === null) {
    if (/\bEP\b/.test(text) && mixture && count !== null)
      return layoutOf(1, pipeline, count, count);
    if (count === null) return null;
    return layoutOf(Math.max(1, count / pipeline), pipeline, 1, 1);
  }
  if (tensor === null && expert !== null && mixture)
    return layoutOf(1, pipeline, data ?? expert, expert);
  const tensorOrOne = tensor ?? 1;
  // data-parallel copies of a dense model are replicas of their own
  if (!mixture) return layoutOf(tensorOrOne, pipeline, 1, 1);
  const dataOrOne = data ?? (expert !== null && expert > tensorOrOne ? expert / tensorOrOne : 1);
  return layoutOf(tensorOrOne, pipeline, dataOrOne, expert ?? 1);
}

function layoutOf(
  tensor: number,
  pipeline: number,
  dataAttention: number,
  expert: number,
): ServingLayout {
  return { tensor, pipeline, dataAttention, expert };
}
