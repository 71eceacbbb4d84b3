/**
 * @file A row of published serving measurements, predicted from its configuration alone.
 *
 * The columns are `source, model, params_total, params_active, gpu, n_gpus, engine, precision,
 * parallelism, isl, osl, concurrency, phase, metric, value, unit, note`. `value` is never read, nor
 * any other row, nor a figure in `note`; words of `note` that label how a figure is defined may be.
 * What a row leaves out is assumed where serving hardly depends on it, and widens the interval;
 * where it decides the answer the row is skipped with the reason.
 */

import type { Architecture } from '../../architecture/index.js';
import { publishedModel } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import type { Accelerator } from '../cluster.js';
import { acceleratorOf } from '../hardware.js';
import { SERVING_CALIBRATION, type ServingCalibration } from './calibration.js';
import { intervalFactor, type Uncertain } from './interval.js';
import {
  layoutFault,
  parseServingLayout,
  replicaSize,
  type ServingLayout,
  servingLayoutName,
} from './layout.js';
import { cacheMemory, type Lengths } from './memory.js';
import { type Metric, metricOf, scaleOf } from './metrics.js';
import { servingPrecision, type WeightFormat, weightFormatOf } from './precision.js';
import { bestServing } from './search.js';
import { type Deployment, deployment } from './step.js';
import { serve, serveDecoding, serveDisaggregated, servePrompts } from './throughput.js';

export type ServingRow = Readonly<Record<string, string | undefined>>;

export interface ServingPrediction {
  predicted: number;
  /** 90% interval. */
  low: number;
  high: number;
  family: 'dense' | 'moe' | 'hybrid';
  /** The catalogue's id of the accelerator. */
  gpu: string;
}

/**
 * Lengths that a row leaves out: those of conversations with a reasoning model, near DeepSeek's
 * published mean.
 */
const ASSUMED_LENGTHS: Lengths = { input: 2000, output: 1000 };
/**
 * Power that a site provisions for a server, over the server's nameplate: cooling, network, losses.
 */
const PROVISIONED_OVER_SERVER = 1.3;

/**
 * What a year of tuning gains on the same machine: GPT-3 on 128 H100 went from 34% to 54% of peak
 * within 2024 (SemiAnalysis, H100 vs GB200 NVL72 training benchmarks, 2025-08-20). Rows that call
 * their software early or untuned are that much slower.
 */
const TUNING_GAIN = 54 / 34;

/** Predicts a row in the row's own unit; `low` and `high` bound the figure with 90%. */
export function predictServingRow(
  row: ServingRow,
  calibration: ServingCalibration = SERVING_CALIBRATION,
): ServingPrediction | { skipped: string } {
  const metric = metricOf(text(row.metric));
  if (metric === null)
    return {
      skipped: `${text(row.metric) || 'no metric'}: not a speed, latency or cost of serving`,
    };
  const remark = `${text(row.source)} ${text(row.note)}`;
  if (/recalled|unverified|from memory/i.test(remark))
    return { skipped: 'recalled or unverified: context, not a measurement' };
  if (
    /\bMTP\b|speculative|EAGLE|draft model/i.test(
      remark.replace(/\b(no|without) (MTP|speculative)/gi, ''),
    )
  )
    return { skipped: 'speculative decoding: the share of accepted tokens is not in the row' };
  if (/cache hits/i.test(remark) && metric.tokens !== 'output')
    return {
      skipped:
        'counts tokens that a cache of earlier prompts answered: their share is not in the row',
    };
  const scale = scaleOf(metric, text(row.unit));
  if (scale === null)
    return { skipped: `unit ${text(row.unit)} is not known for ${text(row.metric)}` };

  const architecture = publishedModel(text(row.model))?.architecture;
  if (architecture === undefined)
    return { skipped: `model ${text(row.model)} is not in the catalogue` };
  const accelerator = acceleratorOf(text(row.gpu));
  if (accelerator === undefined)
    return { skipped: `accelerator ${text(row.gpu) || '(none)'} is not in the catalogue` };
  const setting = settingOf(row, metric, architecture, accelerator, calibration);
  if ('skipped' in setting) return setting;
  try {
    const answer = answerOf(row, metric, setting, accelerator, calibration);
    if (typeof answer !== 'number') return { skipped: answer.fault };
    const slower = ['tpot', 'ttft', 'latency', 'cost'].includes(metric.kind)
      ? TUNING_GAIN
      : 1 / TUNING_GAIN;
    const predicted = answer * scale * (setting.untuned ? slower : 1);
    if (!(predicted > 0) || !Number.isFinite(predicted))
      return { skipped: 'the prediction is not a positive number' };
    const factor = intervalFactor(setting.uncertain);
    const family =
      architecture.hybrid !== undefined ? 'hybrid' : architecture.moe !== null ? 'moe' : 'dense';
    return {
      predicted,
      low: predicted / factor,
      high: predicted * factor,
      family,
      gpu: accelerator.id,
    };
  } catch (error) {
    if (error instanceof UserError) return { skipped: error.message };
    throw error;
  }
}

interface Setting {
  served: Deployment | null;
  architecture: Architecture;
  format: WeightFormat;
  kv: 'fp8' | 'bf16';
  lengths: Lengths;
  /** Over the replica; null when the row names none. */
  concurrency: number | null;
  /** Replicas that the row's accelerators make. */
  replicas: number;
  phase: 'prefill' | 'decode' | 'mixed';
  /** Tokens a second a user that the row demands. */
  perUser: number | null;
  /** Prompts and decoding on accelerators of their own, in a row that reports both together. */
  disaggregated: boolean;
  /** The row's note calls its software early or untuned. */
  untuned: boolean;
  maxBatch: number;
  uncertain: Uncertain;
}

function settingOf(
  row: ServingRow,
  metric: Metric,
  architecture: Architecture,
  accelerator: Accelerator,
  calibration: ServingCalibration,
): Setting | { skipped: string } {
  const engine = text(row.engine);
  const phaseText = text(row.phase).toLowerCase();
  const phase = /prefill|prompt/.test(phaseText)
    ? 'prefill'
    : /decod|generation/.test(phaseText)
      ? 'decode'
      : 'mixed';
  const perUserText = /@ ?(\d+(?:\.\d+)?) tok\/s\/user/.exec(phaseText);
  const perUser = perUserText === null ? null : Number(perUserText[1]);
  let assumed = 0;

  const label = text(row.precision);
  let format = label === '' ? null : weightFormatOf(label, architecture);
  if (label !== '' && format === null) return { skipped: `precision ${label} is not known` };
  if (format === null) {
    if (/gpt-?oss/i.test(architecture.name)) format = 'mxfp4';
    else {
      // The format that the model was released in.
      format =
        architecture.attention.kind === 'mla' && accelerator.peakFlops.fp8 !== undefined
          ? 'fp8'
          : 'bf16';
      assumed += 2;
    }
  }
  // TensorRT-LLM's quantised checkpoints quantise the cache too; elsewhere it stays in 16 bits
  // unless asked otherwise.
  const kv =
    /kv ?(cache)? ?(fp8|8)|fp8 ?kv/i.test(label) ||
    (/tensorrt|trt/i.test(engine) && format !== 'bf16')
      ? 'fp8'
      : 'bf16';
  const latency = ['tpot', 'ttft', 'latency', 'user'].includes(metric.kind);
  const count = numberOf(row.n_gpus);
  // Engines for one user have one request unless the row says otherwise.
  const single = /llama\.?cpp|ollama|exllama|mlx|mlc/i.test(engine) ? 1 : null;
  const rowConcurrency = numberOf(row.concurrency) ?? metric.concurrency ?? single;

  let input = numberOf(row.isl);
  let output = numberOf(row.osl);
  // A decoding pool's mean context is the prompt and half of the answer.
  const cached = /avg KV length ([\d,]+)/.exec(text(row.note));
  if (phase === 'decode' && cached !== null && input === null) {
    assumed += output === null ? 1 : 0;
    output ??= ASSUMED_LENGTHS.output;
    input = Math.max(1, Number(cached[1].replaceAll(',', '')) - output / 2);
  }
  if (phase === 'prefill' && metric.kind === 'throughput') output ??= 0;
  if (input === null || output === null) {
    // A token's time and a pool's rate hardly hang on the lengths; a mixed throughput, a prompt's
    // time and a cost are made of them.
    const pool = metric.kind === 'throughput' && phase !== 'mixed';
    if (!pool && !(metric.kind === 'tpot' && rowConcurrency !== null))
      return { skipped: 'the row gives no input and output lengths, which decide the figure' };
    assumed += input === null ? 2 : 1;
    input ??= ASSUMED_LENGTHS.input;
    output ??= ASSUMED_LENGTHS.output;
  }
  if (latency && rowConcurrency === null)
    return { skipped: 'the row gives no concurrency, which decides a latency' };

  const lengths = { input, output };
  const precision = servingPrecision(format, kv, architecture, accelerator);
  const make = (candidate: ServingLayout) =>
    deployment(architecture, accelerator, precision, candidate);
  let layout =
    perUser === null ? parseServingLayout(text(row.parallelism), count, architecture) : null;
  if (layout === null && perUser === null) {
    layout = smallestLayout(make, architecture, lengths, calibration, text(row.parallelism));
    if (layout === null) return { skipped: 'no layout of up to 64 accelerators holds the model' };
    assumed += 1;
  }
  if (layout !== null) {
    const fault = layoutFault(layout, architecture);
    if (fault !== null) return { skipped: `${servingLayoutName(layout)}: ${fault}` };
  }
  const untuned = /untuned|early release|preview|nightly/i.test(text(row.note));
  const disaggregated =
    phase === 'mixed' &&
    perUser === null &&
    /disagg|\bPD\b|dynamo|\d+P\d*D/i.test(`${engine} ${text(row.parallelism)}`);
  const replicas = layout === null || count === null ? 1 : Math.max(1, count / replicaSize(layout));
  const concurrency = rowConcurrency === null ? null : rowConcurrency / replicas;
  return {
    served: layout === null ? null : make(layout),
    architecture,
    format,
    kv,
    lengths,
    concurrency,
    replicas,
    phase,
    perUser,
    disaggregated,
    untuned,
    maxBatch: 2048,
    uncertain: {
      regime:
        perUser !== null
          ? 'search'
          : metric.kind === 'ttft'
            ? 'prompt'
            : concurrency === null
              ? 'saturated'
              : 'concurrent',
      pool: phase !== 'mixed' && metric.kind === 'throughput',
      tuned: /tensorrt|trt-?llm/i.test(engine),
      experts: architecture.moe !== null,
      assumed,
      early: untuned || /vision|multimodal/i.test(text(row.model)),
      price: metric.kind === 'cost' ? accelerator.usdPerHour : null,
    },
  };
}

/** The fewest accelerators whose weights leave most of the memory to the cache. */
function smallestLayout(
  make: (layout: ServingLayout) => Deployment,
  architecture: Architecture,
  lengths: Lengths,
  calibration: ServingCalibration,
  label: string,
): ServingLayout | null {
  const wide = /\bEP\b|DP/i.test(label) && architecture.moe !== null;
  for (let size = 1; size <= 64; size *= 2) {
    const layout: ServingLayout = wide
      ? { tensor: 1, pipeline: 1, dataAttention: size, expert: size }
      : { tensor: Math.min(size, 8), pipeline: Math.max(1, size / 8), dataAttention: 1, expert: 1 };
    if (layoutFault(layout, architecture) !== null) continue;
    const memory = cacheMemory(make(layout), lengths, calibration);
    if (memory.cacheBytes > memory.weightBytes && memory.sequences >= 1) return layout;
  }
  return null;
}

function answerOf(
  row: ServingRow,
  metric: Metric,
  setting: Setting,
  accelerator: Accelerator,
  calibration: ServingCalibration,
): number | { fault: string } {
  const { lengths, concurrency, served, phase, replicas, maxBatch } = setting;
  if (served === null) {
    const best = bestServing({
      architecture: setting.architecture,
      accelerator,
      count: 8,
      format: setting.format,
      kv: setting.kv,
      lengths,
      goals: { tpotSeconds: 1 / (setting.perUser ?? 1) },
      calibration,
    });
    if (best.best === null)
      return {
        fault: `no layout on 8 ${accelerator.id} reaches ${setting.perUser} tokens a second a user`,
      };
    const rate = best.best.outputTokensPerSecondPerAccelerator;
    return perRate(metric, rate, rate * (lengths.input / lengths.output), accelerator, row);
  }
  const size = replicaSize(served.layout);
  if (
    metric.kind === 'throughput' &&
    phase === 'prefill' &&
    concurrency === null &&
    metric.tokens !== 'output'
  ) {
    const prompts = servePrompts(served, lengths.input, calibration);
    if ('fault' in prompts) return prompts;
    return spread(metric, prompts.inputTokensPerSecond, size, replicas);
  }
  if (metric.kind === 'throughput' && phase === 'decode') {
    const decoding = serveDecoding(served, lengths, { calibration, concurrency, maxBatch });
    if ('fault' in decoding) return decoding;
    return spread(metric, decoding.outputTokensPerSecond, size, replicas);
  }
  if (setting.disaggregated)
    return poolAnswer(row, metric, setting, served, accelerator, calibration);
  const state = serve(served, lengths, { calibration, concurrency, maxBatch });
  if ('fault' in state) return state;
  const { outputTokensPerSecond: output, inputTokensPerSecond: input } = state;
  switch (metric.kind) {
    case 'requests':
      return spread(metric, state.requestsPerSecond, size, replicas);
    case 'tpot':
      return state.tpotSeconds;
    case 'ttft':
      return state.ttftSeconds;
    case 'latency':
      return state.latencySeconds;
    case 'user':
      return state.tokensPerSecondPerUser;
    case 'throughput':
      return spread(metric, counted(metric, row, phase, input, output), size, replicas);
    default:
      return perRate(metric, output / size, input / size, accelerator, row);
  }
}

/**
 * Pools of their own for prompts and for decoding, both laid as the row says; the pools' ratio is
 * the one that keeps both busy.
 */
function poolAnswer(
  row: ServingRow,
  metric: Metric,
  { lengths, concurrency, replicas, phase, maxBatch }: Setting,
  served: Deployment,
  accelerator: Accelerator,
  calibration: ServingCalibration,
): number | { fault: string } {
  const size = replicaSize(served.layout);
  // The requests of the whole machine decode on the decoding pool's share of it: a second round
  // knows that share.
  let pools = serveDisaggregated(served, served, lengths, { calibration, concurrency, maxBatch });
  if ('fault' in pools) return pools;
  if (concurrency !== null) {
    const denser = concurrency / Math.max(0.1, 1 - pools.prefillShare);
    pools = serveDisaggregated(served, served, lengths, {
      calibration,
      concurrency: denser,
      maxBatch,
    });
    if ('fault' in pools) return pools;
  }
  const { ttftSeconds, tpotSeconds } = pools;
  const [input, output] = [
    pools.inputTokensPerSecondPerAccelerator,
    pools.outputTokensPerSecondPerAccelerator,
  ];
  switch (metric.kind) {
    case 'tpot':
      return tpotSeconds;
    case 'ttft':
      return ttftSeconds;
    case 'latency':
      return ttftSeconds + Math.max(0, lengths.output - 1) * tpotSeconds;
    case 'user':
      return 1 / tpotSeconds;
    case 'requests':
      return spread(metric, (output * size) / lengths.output, size, replicas);
    case 'throughput':
      return spread(metric, counted(metric, row, phase, input, output) * size, size, replicas);
    default:
      return perRate(metric, output, input, accelerator, row);
  }
}

/**
 * The tokens that a figure counts; where its name does not say, a label of the note may, and else
 * the phase does.
 */
function counted(
  { tokens }: Metric,
  row: ServingRow,
  phase: Setting['phase'],
  input: number,
  output: number,
): number {
  const all = /input *(\+|and|&) *output|total tokens|in\+out/i.test(text(row.note));
  const kind =
    tokens !== 'phase'
      ? tokens
      : phase === 'prefill'
        ? 'input'
        : phase === 'mixed' && all
          ? 'total'
          : 'output';
  return kind === 'total' ? input + output : kind === 'input' ? input : output;
}

/** A replica's rate, for an accelerator, a node of eight or all of the row's accelerators. */
function spread({ per }: Metric, rate: number, size: number, replicas: number): number {
  if (per === 'total') return rate * replicas;
  return (rate / size) * (per === 'node' ? 8 : 1);
}

/**
 * Figures made from the rates of one accelerator: tokens for a megawatt, dollars for a million
 * tokens.
 */
function perRate(
  metric: Metric,
  output: number,
  input: number,
  accelerator: Accelerator,
  row: ServingRow,
): number | { fault: string } {
  const rate =
    metric.tokens === 'input' ? input : metric.tokens === 'total' ? input + output : output;
  if (metric.kind === 'power')
    return (output * 1e6) / (accelerator.serverWatts * PROVISIONED_OVER_SERVER);
  if (metric.kind === 'cost') return (accelerator.usdPerHour.value / 3600 / rate) * 1e6;
  if (metric.kind === 'throughput') return rate;
  return {
    fault: `${text(row.metric)} at a rate a user: the batch that gives it is not in the row`,
  };
}

function text(value: string | undefined): string {
  return (value ?? '').trim();
}

function numberOf(value: string | undefined): number | null {
  const number = Number(text(value).replace(/_/g, ''));
  return text(value) === '' || !Number.isFinite(number) || number <= 0 ? null : number;
}
