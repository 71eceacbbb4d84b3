/**
 * @file The best layout of a model on a cluster, by trying all of them.
 *
 * A layout is eight small integers and three choices, so a model on thousands of accelerators has
 * ten to a hundred thousand of them, and memory and step time are closed forms: trying every one
 * takes less than a second. Every layout that loses is counted with the reason, and the nearest
 * losers are kept: those that fit but are slower, and those that do not fit.
 *
 * What is tried: tensor parallelism in powers of two within the scale-up domain; every pipeline
 * depth; every power-of-two expert and context parallelism; ZeRO-1, and FSDP without a pipeline
 * (with one it gathers weights for each micro-batch). What is not: ZeRO-2 (as fast as ZeRO-1 here)
 * and uneven splits of layers.
 */

import { type Architecture, countParameters } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import { formatCount, formatScaled, formatShare, formatSignificant } from '../base/text/index.js';
import { CALIBRATION, type Calibration } from './calibration.js';
import type { Accelerator } from './cluster.js';
import {
  type Layout,
  layoutName,
  type PipelineSchedule,
  type Precision,
  type Recompute,
  type Sharding,
} from './layout.js';
import { type MemoryOptions, memoryOf } from './memory.js';
import { stepTime, type TrainingWork } from './step-time.js';

export interface LayoutQuestion {
  architecture: Architecture;
  accelerator: Accelerator;
  count: number;
  sequenceTokens: number;
  /** Sequences a step, over all data-parallel ranks. */
  globalBatch: number;
  precision: Precision;
  /**
   * Pipeline schedules that the software has; default 1F1B and interleaved, and DualPipe for
   * mixtures of experts.
   */
  schedules?: readonly PipelineSchedule[];
  /** Parts of the layout that are given and not searched for. */
  fixed?: Partial<Layout>;
  memory?: Partial<Omit<MemoryOptions, 'sequenceTokens'>>;
  work?: Partial<Pick<TrainingWork, 'training' | 'unfusedAttention' | 'naturalRouting'>>;
  calibration?: Calibration;
  /** How many losers to keep for each reason; default 5. */
  keep?: number;
}

export interface Candidate {
  layout: Layout;
  stepSeconds: number;
  memoryBytes: number;
}

export type LossReason = 'divisibility' | 'memory' | 'slower';

/** A layout that lost: the fields of its reason; `lossText` writes them as a line. */
export type RejectedLayout = { layout: string } & (
  | { kind: 'slower'; stepSeconds: number; bestSeconds: number }
  | { kind: 'memory'; neededBytes: number; availableBytes: number; stepSeconds: number }
  /** `layout` is an example of those that break the rule. */
  | { kind: 'divisibility'; rule: string; count: number }
);

/** One line: why a layout lost. */
export function lossText(rejected: RejectedLayout): string {
  if (rejected.kind === 'divisibility') {
    const { rule, count } = rejected;
    return count > 1 ? `${rule} (${formatCount(count)} layouts)` : rule;
  }
  const step = formatSignificant(rejected.stepSeconds, 4);
  if (rejected.kind === 'memory') {
    const needed = formatScaled(rejected.neededBytes, 'B');
    const room = formatScaled(rejected.availableBytes, 'B');
    return `memory: needs ${needed} of ${room} (would take ${step} s a step)`;
  }
  const slower = rejected.stepSeconds / rejected.bestSeconds - 1;
  if (slower < 5e-5) return `as fast as the best: ${step} s a step`;
  const best = formatSignificant(rejected.bestSeconds, 4);
  return `slower by ${formatShare(slower, slower < 0.0995 ? 2 : 0)}: ${step} s a step, not ${best} s`;
}

export interface LayoutSearch {
  /** The fastest layout that fits; null when none does. */
  best: Candidate | null;
  /** The fastest ones, `best` first. */
  top: Candidate[];
  /** Layouts tried, and how many of them lost for which reason. */
  tried: number;
  lost: Record<LossReason, number>;
  rejected: RejectedLayout[];
  /** Of the layouts that need too much memory, the one that needs the least; null without any. */
  leastMemory: { layout: string; neededBytes: number } | null;
}

const MICRO_BATCHES = [1, 2, 4, 8, 16];
const MOST_CHUNKS = 12;

const powersOfTwo = (most: number): number[] => {
  const powers = [];
  for (let n = 1; n <= most; n *= 2) powers.push(n);
  return powers;
};

/** The best few by one number, without keeping the rest. */
function shortlist<T>(
  keep: number,
  of: (item: T) => number,
): { add: (item: T) => void; items: T[] } {
  const items: T[] = [];
  return {
    items,
    add: (item) => {
      if (items.length === keep && (keep === 0 || of(item) >= of(items[keep - 1]))) return;
      let at = items.length;
      while (at > 0 && of(items[at - 1]) > of(item)) at--;
      items.splice(at, 0, item);
      if (items.length > keep) items.pop();
    },
  };
}

/**
 * Share of a forward pass that selective recomputation repeats: half with PyTorch's, which keeps
 * every second product; with DeepSeek-V3's the up-projections of latent attention; nothing with
 * FlashAttention, which recomputes scores in any case.
 */
export function selectiveShare(
  architecture: Architecture,
  { sharding }: Pick<Layout, 'sharding'>,
): number {
  if (sharding === 'weights') return 0.5;
  const { attention, layers } = architecture;
  if (attention.kind !== 'mla') return 0;
  const { heads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const up =
    heads *
    ((qLoraRank ?? 0) * (qkNopeHeadDim + qkRopeHeadDim) + kvLoraRank * (qkNopeHeadDim + vHeadDim));
  return (layers * up) / countParameters(architecture).active;
}

/**
 * A layout's step time, with the recomputation that `selective` does; `full` costs one forward pass
 * more.
 */
function secondsOf(
  work: TrainingWork,
  accelerator: Accelerator,
  layout: Layout,
  calibration: Calibration,
): number {
  const seconds = stepTime(work, accelerator, layout, calibration).step;
  if (layout.recompute !== 'selective') return seconds;
  const share = selectiveShare(work.architecture, layout);
  if (share === 0) return seconds;
  const full = stepTime(work, accelerator, { ...layout, recompute: 'full' }, calibration).step;
  return seconds + share * Math.max(0, full - seconds);
}

/** Told of a rule that was broken; the example is written only for the first of its kind. */
type Broken = (rule: string, example: () => string) => void;

const only = <T>(value: T | undefined, otherwise: readonly T[]): readonly T[] =>
  value === undefined ? otherwise : [value];

/** How the accelerators are split; calls `broken` with each rule that a split breaks. */
function* shapes(
  question: LayoutQuestion,
  broken: Broken,
): Generator<Pick<Layout, 'tensor' | 'context' | 'pipeline' | 'data' | 'expert'>> {
  const { architecture, accelerator, count, sequenceTokens, globalBatch, fixed = {} } = question;
  const { layers, hidden, intermediate, attention, moe } = architecture;
  const longest = Math.max(1, Math.floor(sequenceTokens / 4096));
  const depths = Array.from({ length: Math.min(layers, count) }, (_, i) => i + 1);
  for (const tensor of only(fixed.tensor, powersOfTwo(Math.min(accelerator.scaleUpSize, count)))) {
    if (attention.heads % tensor !== 0 || hidden % tensor !== 0 || intermediate % tensor !== 0) {
      broken(
        'tensor parallelism must divide heads and widths',
        () => `tp${tensor} of ${attention.heads} heads`,
      );
      continue;
    }
    for (const context of only(fixed.context, powersOfTwo(longest))) {
      for (const pipeline of only(fixed.pipeline, depths)) {
        const data = count / (tensor * context * pipeline);
        if (!Number.isInteger(data) || (fixed.data !== undefined && fixed.data !== data)) {
          broken(
            'tensor × context × pipeline must divide the accelerators',
            () => `tp${tensor} pp${pipeline} of ${count}`,
          );
          continue;
        }
        if (globalBatch % data !== 0) {
          broken(
            'data parallelism must divide the global batch',
            () => `dp${data} of ${globalBatch} sequences`,
          );
          continue;
        }
        for (const expert of only(fixed.expert, moe === null ? [1] : powersOfTwo(moe.experts))) {
          if (
            moe === null ||
            (moe.experts % expert === 0 && (data * context * tensor) % expert === 0)
          ) {
            yield { tensor, context, pipeline, data, expert };
          } else {
            broken(
              'expert parallelism must divide the experts and data × context × tensor',
              () => `ep${expert} dp${data} tp${tensor}`,
            );
          }
        }
      }
    }
  }
}

/** Schedules of a pipeline with their numbers of chunks. */
function* schedulesOf(
  question: LayoutQuestion,
  pipeline: number,
  microBatches: number,
  broken: Broken,
): Generator<{ schedule: PipelineSchedule; chunks: number }> {
  const { architecture, fixed = {} } = question;
  const { layers, moe } = architecture;
  const known: readonly PipelineSchedule[] =
    moe === null ? ['1f1b', 'interleaved'] : ['1f1b', 'interleaved', 'dualpipe'];
  const flow = (): string => `pp${pipeline}, ${microBatches} micro-batches`;
  const choices = pipeline === 1 ? known.slice(0, 1) : (question.schedules ?? known);
  for (const schedule of only(fixed.schedule, choices)) {
    if (schedule === 'dualpipe' && (pipeline % 2 !== 0 || microBatches < 2 * pipeline)) {
      broken('DualPipe needs an even depth and two micro-batches a rank', flow);
    } else if (schedule === 'interleaved' && microBatches % pipeline !== 0) {
      broken('interleaving needs a multiple of the depth in micro-batches', flow);
    } else if (schedule !== 'interleaved') {
      yield { schedule, chunks: 1 };
    } else {
      const most = Math.min(MOST_CHUNKS, Math.floor(layers / pipeline));
      for (let chunks = 2; chunks <= most; chunks++) {
        if (fixed.chunks !== undefined && fixed.chunks !== chunks) continue;
        const slots = pipeline * chunks;
        // The embedding and the head may stand in for a layer each.
        if (layers % slots === 0 || (layers + 2) % slots === 0) yield { schedule, chunks };
        else
          broken(
            'depth × chunks must divide the layers',
            () => `pp${pipeline} vp${chunks} of ${layers} layers`,
          );
      }
    }
  }
}

/** Every layout that can be built. */
function* layouts(question: LayoutQuestion, broken: Broken): Generator<Layout> {
  const { architecture, globalBatch, precision, fixed = {} } = question;
  const fused = !(question.work?.unfusedAttention ?? false);
  for (const shape of shapes(question, broken)) {
    const { tensor, pipeline, data, expert } = shape;
    const shardings: readonly Sharding[] =
      pipeline === 1 ? ['optimizer', 'weights'] : ['optimizer'];
    for (const microBatch of only(fixed.microBatch, MICRO_BATCHES)) {
      const microBatches = globalBatch / data / microBatch;
      if (!Number.isInteger(microBatches)) {
        broken(
          'the micro-batch must divide the sequences of a rank',
          () => `mb${microBatch} of ${globalBatch / data}`,
        );
        continue;
      }
      for (const sharding of only(fixed.sharding, shardings)) {
        // Where selective recomputation neither saves nor costs anything, it is left out.
        const differs = sharding === 'weights' || architecture.attention.kind === 'mla' || !fused;
        const recomputes: readonly Recompute[] = differs
          ? ['none', 'selective', 'full']
          : ['none', 'full'];
        for (const recompute of only(fixed.recompute, recomputes)) {
          for (const { schedule, chunks } of schedulesOf(
            question,
            pipeline,
            microBatches,
            broken,
          )) {
            const sequenceParallel = fixed.sequenceParallel ?? tensor > 1;
            const expertTensor = fixed.expertTensor ?? (expert > 1 ? 1 : tensor);
            yield {
              ...shape,
              expertTensor,
              sequenceParallel,
              microBatch,
              schedule,
              chunks,
              recompute,
              sharding,
              precision,
            };
          }
        }
      }
    }
  }
}

/**
 * Tries every layout of a model on a cluster.
 * @throws UserError for a batch or a count that is not a positive whole number
 */
export function searchLayouts(question: LayoutQuestion): LayoutSearch {
  const {
    architecture,
    accelerator,
    count,
    sequenceTokens,
    globalBatch,
    keep = 5,
    calibration = CALIBRATION,
  } = question;
  for (const [name, value] of Object.entries({ count, sequenceTokens, globalBatch })) {
    if (!Number.isInteger(value) || value < 1)
      throw new UserError('usage', `${name} must be a positive whole number, is ${value}`, name);
  }
  const work: TrainingWork = {
    architecture,
    sequenceTokens,
    globalBatch,
    training: 'full',
    unfusedAttention: false,
    naturalRouting: true,
    ...question.work,
  };
  const memory = {
    flashAttention: !work.unfusedAttention,
    training: work.training,
    ...question.memory,
    sequenceTokens,
  };
  const fast = shortlist<Candidate>(keep + 1, (candidate) => candidate.stepSeconds);
  const tooLarge = shortlist<Candidate>(keep, (candidate) => candidate.stepSeconds);
  const rules = new Map<string, { count: number; example: string }>();
  const lost: Record<LossReason, number> = { divisibility: 0, memory: 0, slower: 0 };
  let tried = 0;
  let fits = 0;
  let least: { layout: Layout; memoryBytes: number } | null = null;
  const broken: Broken = (rule, example) => {
    tried++;
    lost.divisibility++;
    const known = rules.get(rule);
    if (known === undefined) rules.set(rule, { count: 1, example: example() });
    else known.count++;
  };
  for (const layout of layouts(question, broken)) {
    tried++;
    const microBatches = globalBatch / layout.data / layout.microBatch;
    const memoryBytes = memoryOf(architecture, layout, { ...memory, microBatches }).total;
    const large = memoryBytes > accelerator.memoryBytes;
    if (large) {
      lost.memory++;
      if (least === null || memoryBytes < least.memoryBytes) least = { layout, memoryBytes };
    } else fits++;
    // What does not fit is timed only to tell which of it comes near.
    if (large && keep === 0) continue;
    const candidate = {
      layout,
      memoryBytes,
      stepSeconds: secondsOf(work, accelerator, layout, calibration),
    };
    (large ? tooLarge : fast).add(candidate);
  }
  const best = fast.items[0] ?? null;
  lost.slower = Math.max(0, fits - 1);
  const rejected: RejectedLayout[] = [];
  if (best !== null) {
    for (const { layout, stepSeconds } of fast.items.slice(1)) {
      const bestSeconds = best.stepSeconds;
      rejected.push({ layout: nameOf(layout), kind: 'slower', stepSeconds, bestSeconds });
    }
  }
  for (const { layout, memoryBytes, stepSeconds } of tooLarge.items) {
    rejected.push({
      layout: nameOf(layout),
      kind: 'memory',
      neededBytes: memoryBytes,
      availableBytes: accelerator.memoryBytes,
      stepSeconds,
    });
  }
  for (const [rule, { count: times, example }] of [...rules].sort(
    ([, a], [, b]) => b.count - a.count,
  )) {
    rejected.push({ layout: example, kind: 'divisibility', rule, count: times });
  }
  const leastMemory =
    least === null ? null : { layout: nameOf(least.layout), neededBytes: least.memoryBytes };
  return { best, top: fast.items, tried, lost, rejected, leastMemory };
}

/** The short name, with what tells layouts of a search apart. */
function nameOf(layout: Layout): string {
  const { schedule, pipeline } = layout;
  return pipeline > 1 && schedule !== '1f1b' && schedule !== 'interleaved'
    ? `${layoutName(layout)} ${schedule}`
    : layoutName(layout);
}
