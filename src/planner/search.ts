/**
 * @file The best layout of a model on a cluster, by trying all of them, and the cheapest cluster
 * for a deadline.
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

import { type Architecture, countParameters, modelFlopsPerToken } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
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

export interface RejectedLayout {
  /** The layout, or for `divisibility` the rule that its kind breaks. */
  layout: string;
  kind: LossReason;
  /** One line: why it lost. */
  reason: string;
  /** How many layouts lost for it; 1 unless they were put together. */
  count: number;
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

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`;

/** Significant digits that tell two step times apart. */
const seconds = (value: number): string => `${value.toPrecision(4)} s`;

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
    if (large) lost.memory++;
    else fits++;
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
      const percent = 100 * (stepSeconds / best.stepSeconds - 1);
      const reason = `slower by ${percent.toFixed(percent < 10 ? 1 : 0)}%: ${seconds(stepSeconds)} a step, not ${seconds(best.stepSeconds)}`;
      rejected.push({ layout: nameOf(layout), kind: 'slower', reason, count: 1 });
    }
  }
  for (const { layout, memoryBytes, stepSeconds } of tooLarge.items) {
    const room = gigabytes(accelerator.memoryBytes);
    const reason = `memory: needs ${gigabytes(memoryBytes)} of ${room} (would take ${seconds(stepSeconds)} a step)`;
    rejected.push({ layout: nameOf(layout), kind: 'memory', reason, count: 1 });
  }
  for (const [rule, { count: times, example }] of [...rules].sort(
    ([, a], [, b]) => b.count - a.count,
  )) {
    rejected.push({ layout: example, kind: 'divisibility', reason: rule, count: times });
  }
  return { best, top: fast.items, tried, lost, rejected };
}

/** The short name, with what tells layouts of a search apart. */
function nameOf(layout: Layout): string {
  const { schedule, pipeline } = layout;
  return pipeline > 1 && schedule !== '1f1b' && schedule !== 'interleaved'
    ? `${layoutName(layout)} ${schedule}`
    : layoutName(layout);
}

export interface DeadlineQuestion
  extends Omit<LayoutQuestion, 'accelerator' | 'count' | 'precision'> {
  /** Accelerators to choose from. */
  accelerators: readonly Accelerator[];
  /** What to train in; where an accelerator lacks it, bf16 or else fp16. */
  precision: Precision;
  tokens: number;
  deadlineDays: number;
  /** Share of the time that makes progress; default 0.9. */
  goodput?: number;
  /** Most accelerators of one kind; default 65,536. */
  most?: number;
}

export interface ClusterOffer {
  accelerator: Accelerator;
  count: number;
  candidate: Candidate;
  days: number;
  usd: number;
}

export interface DeadlineSearch {
  /** The cheapest offer in time; null when there is none. */
  best: ClusterOffer | null;
  /** The cheapest of each accelerator that meets the deadline, the cheapest first. */
  offers: ClusterOffer[];
  rejected: { accelerator: string; reason: string }[];
}

/**
 * The cheapest cluster that trains a model in time: for each accelerator the sizes around the
 * smallest that meets the deadline.
 */
export function cheapestCluster(question: DeadlineQuestion): DeadlineSearch {
  const {
    architecture,
    sequenceTokens,
    globalBatch,
    tokens,
    deadlineDays,
    goodput = 0.9,
    most = 65536,
  } = question;
  const offers: ClusterOffer[] = [];
  const rejected: DeadlineSearch['rejected'] = [];
  for (const accelerator of question.accelerators) {
    const precision =
      accelerator.peakFlops[question.precision] !== undefined ? question.precision : 'bf16';
    const peak = accelerator.peakFlops[precision] ?? accelerator.peakFlops.fp16;
    if (peak === undefined) {
      rejected.push({
        accelerator: accelerator.id,
        reason: `has neither ${question.precision} nor bf16 nor fp16`,
      });
      continue;
    }
    // Fewer than this cannot do it at their peak rate.
    const least =
      (tokens * modelFlopsPerToken(architecture, sequenceTokens, 'causal')) /
      (peak * deadlineDays * 86400 * goodput);
    let cheapest: ClusterOffer | null = null;
    let inTime = 0;
    let fitting = false;
    for (const count of clusterSizes(accelerator.scaleUpSize, most)) {
      if (count < least || inTime >= 2) continue;
      const { best } = searchLayouts({ ...question, accelerator, count, precision, keep: 0 });
      if (best === null) continue;
      fitting = true;
      const days = ((tokens / (sequenceTokens * globalBatch)) * best.stepSeconds) / 86400 / goodput;
      if (days > deadlineDays) continue;
      inTime++;
      const usd = days * 24 * count * accelerator.usdPerHour.value;
      if (cheapest === null || usd < cheapest.usd)
        cheapest = { accelerator, count, candidate: best, days, usd };
    }
    if (cheapest !== null) offers.push(cheapest);
    else {
      const late = `too slow: ${most} of them do not meet ${deadlineDays} days`;
      const reason =
        fitting || least > most
          ? late
          : `no layout fits into ${gigabytes(accelerator.memoryBytes)}`;
      rejected.push({ accelerator: accelerator.id, reason });
    }
  }
  offers.sort((a, b) => a.usd - b.usd);
  return { best: offers[0] ?? null, offers, rejected };
}

/** Whole scale-up domains: 1, 2, 3, 4, 6, 8, 12, 16, … of them. */
function clusterSizes(domain: number, most: number): number[] {
  const sizes = [];
  for (let n = domain; n <= most; n *= 2) {
    sizes.push(n);
    if (n > domain && 1.5 * n <= most) sizes.push(1.5 * n);
  }
  return sizes;
}
