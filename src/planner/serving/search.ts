/**
 * @file The best way to serve a model on a machine.
 *
 * Every layout whose tensor, pipeline, attention and expert degrees are powers of two (or fill the
 * machine) and divide the model, at every concurrency in steps of a factor of √2, plus the two
 * pools of disaggregated serving. A layout that loses says why.
 */
import type { Architecture } from '../../architecture/index.js';
import type { Accelerator } from '../cluster.js';
import { SERVING_CALIBRATION, type ServingCalibration } from './calibration.js';
import { layoutFault, replicaSize, type ServingLayout, servingLayoutName } from './layout.js';
import { cacheMemory, type Lengths } from './memory.js';
import { servingPrecision, type WeightFormat } from './precision.js';
import { type Deployment, deployment } from './step.js';
import {
  type Disaggregated,
  type Served,
  serve,
  serveDecoding,
  serveDisaggregated,
  servePrompts,
} from './throughput.js';

export interface ServingGoals {
  /** Upper bounds, in seconds. */
  ttftSeconds?: number;
  tpotSeconds?: number;
}

export interface ServingQuestion {
  architecture: Architecture;
  accelerator: Accelerator;
  /** Accelerators of the machine; replicas that fill it are counted. */
  count: number;
  format: WeightFormat;
  kv: 'fp8' | 'bf16';
  lengths: Lengths;
  goals?: ServingGoals;
  calibration?: ServingCalibration;
  /** Sequences that the engine decodes at most for a copy of attention. */
  maxBatch?: number;
}

export interface ServingChoice {
  layout: ServingLayout;
  name: string;
  replicas: number;
  /** Requests in a replica. */
  concurrency: number;
  ttftSeconds: number;
  tpotSeconds: number;
  outputTokensPerSecondPerAccelerator: number;
  inputTokensPerSecondPerAccelerator: number;
  /**
   * A million tokens at the accelerator's rental price, all cost on output, and on input and output
   * alike.
   */
  usdPerMillionOutput: number;
  usdPerMillionTotal: number;
}

export interface ServingSearch {
  best: ServingChoice | null;
  /** By throughput, best first, each layout at its best concurrency. */
  choices: ServingChoice[];
  rejected: { layout: string; reason: string }[];
}

/** Highest output throughput an accelerator within the goals. */
export function bestServing(question: ServingQuestion): ServingSearch {
  const {
    architecture,
    accelerator,
    count,
    lengths,
    goals = {},
    calibration = SERVING_CALIBRATION,
    maxBatch = 2048,
  } = question;
  const precision = servingPrecision(question.format, question.kv, architecture, accelerator);
  const choices: ServingChoice[] = [];
  const rejected: { layout: string; reason: string }[] = [];
  for (const layout of layoutsOf(architecture, count)) {
    const name = servingLayoutName(layout);
    const served = deployment(architecture, accelerator, precision, layout);
    const fault = layoutFault(layout, architecture) ?? memoryFault(served, lengths, calibration);
    if (fault !== null) {
      rejected.push({ layout: name, reason: fault });
      continue;
    }
    const choice = bestConcurrency(served, name, question, { goals, calibration, maxBatch });
    if ('reason' in choice) rejected.push({ layout: name, reason: choice.reason });
    else choices.push(choice);
  }
  choices.sort(
    (a, b) => b.outputTokensPerSecondPerAccelerator - a.outputTokensPerSecondPerAccelerator,
  );
  const [best = null] = choices;
  for (const choice of choices.slice(1)) {
    const share =
      choice.outputTokensPerSecondPerAccelerator /
      (best as ServingChoice).outputTokensPerSecondPerAccelerator;
    rejected.push({
      layout: choice.name,
      reason: `slower: ${(100 * share).toFixed(0)}% of the best`,
    });
  }
  return { best, choices, rejected };
}

/** All layouts worth asking about: powers of two, and the whole count. */
export function layoutsOf(architecture: Architecture, count: number): ServingLayout[] {
  const degrees: number[] = [];
  for (let degree = 1; degree <= count; degree *= 2) degrees.push(degree);
  if (!degrees.includes(count)) degrees.push(count);
  const layouts: ServingLayout[] = [];
  for (const tensor of degrees.filter((degree) => degree <= 64))
    for (const pipeline of degrees.filter((degree) => degree <= 16))
      for (const dataAttention of architecture.moe === null ? [1] : degrees) {
        const size = tensor * pipeline * dataAttention;
        if (size > count || count % size !== 0) continue;
        const experts = architecture.moe === null ? [1] : [...new Set([1, tensor * dataAttention])];
        // Copied attention is for experts that are spread: without that the copies are replicas of
        // their own.
        for (const expert of experts)
          if (dataAttention === 1 || expert > 1)
            layouts.push({ tensor, pipeline, dataAttention, expert });
      }
  return layouts;
}

export function memoryFault(
  served: Deployment,
  lengths: Lengths,
  calibration: ServingCalibration,
): string | null {
  const memory = cacheMemory(served, lengths, calibration);
  const need = (memory.weightBytes / 1e9).toFixed(1);
  if (memory.cacheBytes === 0) return `memory: ${need} GB of weights do not fit`;
  if (memory.sequences < 1)
    return `memory: beside ${need} GB of weights no request of ${lengths.input + lengths.output} tokens fits`;
  return null;
}

/** A steady state, and the requests in the replica that lead to it. */
export type ServingState = Served & { concurrency: number };

/** The states of a replica at concurrencies in steps of √2, up to what it holds. */
export function statesOf(
  served: Deployment,
  lengths: Lengths,
  options: { calibration: ServingCalibration; maxBatch: number },
): ServingState[] | { fault: string } {
  const states: ServingState[] = [];
  for (let power = 0; ; power++) {
    const concurrency = Math.round(2 ** (power / 2));
    const state = serve(served, lengths, { ...options, concurrency });
    if ('fault' in state) return state;
    states.push({ ...state, concurrency });
    if (state.boundBy !== 'concurrency') return states;
  }
}

function bestConcurrency(
  served: Deployment,
  name: string,
  { accelerator, count, lengths }: ServingQuestion,
  options: { goals: ServingGoals; calibration: ServingCalibration; maxBatch: number },
): ServingChoice | { reason: string } {
  const { goals, calibration, maxBatch } = options;
  const size = replicaSize(served.layout);
  let best: ServingChoice | null = null;
  let miss = '';
  const states = statesOf(served, lengths, { calibration, maxBatch });
  if ('fault' in states) return { reason: states.fault };
  for (const state of states) {
    const output = state.outputTokensPerSecond / size;
    const input = state.inputTokensPerSecond / size;
    if (goals.tpotSeconds !== undefined && state.tpotSeconds > goals.tpotSeconds)
      miss ||= `TPOT ${(1e3 * state.tpotSeconds).toFixed(1)} ms at best exceeds ${(1e3 * goals.tpotSeconds).toFixed(1)} ms`;
    else if (goals.ttftSeconds !== undefined && state.ttftSeconds > goals.ttftSeconds)
      miss ||= `TTFT ${(1e3 * state.ttftSeconds).toFixed(0)} ms at best exceeds ${(1e3 * goals.ttftSeconds).toFixed(0)} ms`;
    else if (best === null || output > best.outputTokensPerSecondPerAccelerator) {
      const hourly = accelerator.usdPerHour.value / 3600 / 1e-6;
      best = {
        layout: served.layout,
        name,
        replicas: count / size,
        concurrency: state.concurrency,
        ttftSeconds: state.ttftSeconds,
        tpotSeconds: state.tpotSeconds,
        outputTokensPerSecondPerAccelerator: output,
        inputTokensPerSecondPerAccelerator: input,
        usdPerMillionOutput: hourly / output,
        usdPerMillionTotal: hourly / (input + output),
      };
    }
  }
  return best ?? { reason: miss };
}

export interface PoolChoice {
  prefill: { layout: ServingLayout; name: string };
  decode: { layout: ServingLayout; name: string; concurrency: number };
  result: Disaggregated;
}

/**
 * Disaggregated serving: the layout that reads prompts fastest an accelerator, beside the one that
 * decodes fastest within the goals. The pools are of any size; the result's `prefillShare` says in
 * which ratio. Null with the reason when either pool has no layout.
 */
export function bestDisaggregated(question: ServingQuestion): PoolChoice | { fault: string } {
  const {
    architecture,
    accelerator,
    count,
    lengths,
    goals = {},
    calibration = SERVING_CALIBRATION,
    maxBatch = 2048,
  } = question;
  const precision = servingPrecision(question.format, question.kv, architecture, accelerator);
  let prefill: { served: Deployment; rate: number } | null = null;
  let decode: { served: Deployment; rate: number; concurrency: number } | null = null;
  for (const layout of layoutsOf(architecture, count)) {
    if (layoutFault(layout, architecture) !== null) continue;
    const served = deployment(architecture, accelerator, precision, layout);
    const size = replicaSize(layout);
    const prompts = servePrompts(served, lengths.input, calibration);
    if (
      !('fault' in prompts) &&
      !(prompts.ttftSeconds > (goals.ttftSeconds ?? Number.POSITIVE_INFINITY))
    ) {
      const rate = prompts.inputTokensPerSecond / size;
      if (prefill === null || rate > prefill.rate) prefill = { served, rate };
    }
    for (let concurrency = size; ; concurrency *= 2) {
      const pool = serveDecoding(served, lengths, { calibration, concurrency, maxBatch });
      if ('fault' in pool || pool.tpotSeconds > (goals.tpotSeconds ?? Number.POSITIVE_INFINITY))
        break;
      const rate = pool.outputTokensPerSecond / size;
      if (decode === null || rate > decode.rate) decode = { served, rate, concurrency };
      if (pool.batch < concurrency) break;
    }
  }
  if (prefill === null)
    return {
      fault: `no layout on ${count} ${accelerator.id} reads prompts of ${lengths.input} tokens within the goals`,
    };
  if (decode === null)
    return { fault: `no layout on ${count} ${accelerator.id} decodes within the goals` };
  const { concurrency } = decode;
  const result = serveDisaggregated(prefill.served, decode.served, lengths, {
    calibration,
    concurrency,
    maxBatch,
  });
  if ('fault' in result) return result;
  const named = ({ layout }: Deployment) => ({ layout, name: servingLayoutName(layout) });
  return {
    prefill: named(prefill.served),
    decode: { ...named(decode.served), concurrency },
    result,
  };
}
