/**
 * @file One row of published training measurements, predicted from its configuration in the row's
 * own unit.
 *
 * Definitions decide as much as physics: utilisation of model or of hardware operations, causal or
 * full attention, and against which peak. A row's labels say which; where they do not, the
 * convention of the framework that printed the figure holds.
 */

import {
  type AttentionConvention,
  adapterFlopsPerToken,
  hardwareFlopsPerToken,
  modelFlopsPerToken,
} from '../../architecture/index.js';
import { sequencesToConverge } from '../../catalog/data/convergence.js';
import { CALIBRATION, type Calibration, intervalFactor } from '../calibration.js';
import type { Layout } from '../layout.js';
import { MEMORY_CALIBRATION, memoryOf, type TrainingMemory } from '../memory.js';
import { type StepTime, stepTime } from '../step-time.js';
import type { Row } from './csv.js';
import { type Setting, settingOf } from './setting.js';

export interface TrainingPrediction {
  predicted: number;
  /** 90% interval. */
  low: number;
  high: number;
  family: 'dense' | 'moe' | 'hybrid';
  gpu: string;
  assumed: readonly string[];
}

export interface Chosen {
  setting: Setting;
  layout: Layout;
  time: StepTime;
}

/**
 * Rows of one configuration stand together in a file, and the setting does not depend on what was
 * measured.
 */
let last:
  | { key: string; calibration: Calibration; chosen: Chosen | { skipped: string } }
  | undefined;

/** The setting of a row and its fastest layout. */
export function chosenOf(
  row: Row,
  calibration: Calibration = CALIBRATION,
): Chosen | { skipped: string } {
  const { measured_metric, unit, ...configuration } = row;
  const key = JSON.stringify(configuration);
  if (last?.key === key && last.calibration === calibration) return last.chosen;
  const setting = settingOf(row);
  const chosen = 'skipped' in setting ? setting : fastest(setting, calibration);
  last = { key, calibration, chosen };
  return chosen;
}

export function fastest(setting: Setting, calibration: Calibration): Chosen {
  let best: Chosen | undefined;
  for (const layout of setting.layouts) {
    const time = stepTime(setting.work, setting.accelerator, layout, calibration);
    if (best === undefined || time.step < best.time.step) best = { setting, layout, time };
  }
  return best as Chosen;
}

export function predictTrainingRow(
  row: Row,
  calibration: Calibration = CALIBRATION,
): TrainingPrediction | { skipped: string } {
  const metric = row.measured_metric ?? '';
  const figure = FIGURES.find(({ pattern }) => pattern.test(metric));
  if (figure === undefined)
    return {
      skipped: `${metric || 'no metric'} is not a speed, utilisation, time or memory of training`,
    };
  const chosen = chosenOf(row, calibration);
  if ('skipped' in chosen) return chosen;
  const value = figure.value(chosen, row, calibration);
  if (typeof value === 'string') return { skipped: value };
  const scale = scaleOf(row.unit ?? '', figure.kind);
  if (scale === undefined) return { skipped: `unit ${row.unit} is not known for ${metric}` };
  const predicted = value * scale;
  if (!(predicted > 0) || !Number.isFinite(predicted))
    return { skipped: `no positive prediction of ${metric}` };
  const { architecture, assumed, accelerator } = chosen.setting;
  const family =
    architecture.hybrid !== undefined ? 'hybrid' : architecture.moe !== null ? 'moe' : 'dense';
  const factor =
    figure.kind === 'bytes'
      ? MEMORY_CALIBRATION.factor90 * 1.05 ** assumed.length
      : intervalFactor(isRun(figure.kind) ? 'run' : 'speed', family, assumed.length);
  return {
    predicted,
    low: predicted / factor,
    high: predicted * factor,
    family,
    gpu: accelerator.id,
    assumed,
  };
}

type Kind =
  | 'rate'
  | 'percent'
  | 'seconds'
  | 'seconds-long'
  | 'flops'
  | 'gpuHours'
  | 'bytes'
  | 'wattHours';

const isRun = (kind: Kind): boolean =>
  kind === 'gpuHours' || kind === 'seconds-long' || kind === 'wattHours';

interface Figure {
  pattern: RegExp;
  kind: Kind;
  /** In SI units (fractions for percent), or why not. */
  value: (chosen: Chosen, row: Row, calibration: Calibration) => number | string;
}

const FIGURES: readonly Figure[] = [
  {
    pattern: /^tokens_per_s(ec|econd)?_per_(gpu|chip|device)$/,
    kind: 'rate',
    value: (chosen) => tokensPerSecond(chosen) / chosen.setting.count,
  },
  {
    pattern: /^tokens_per_s(ec|econd)?(_total)?$/,
    kind: 'rate',
    value: (chosen) => tokensPerSecond(chosen),
  },
  {
    pattern: /^samples_per_s(ec|econd)?_per_(gpu|chip|device)$/,
    kind: 'rate',
    value: ({ setting, time }) => setting.work.globalBatch / time.step / setting.count,
  },
  {
    pattern: /^samples_per_s(ec|econd)?(_total)?$/,
    kind: 'rate',
    value: ({ setting, time }) => setting.work.globalBatch / time.step,
  },
  {
    pattern: /^(step_time|step_seconds|time_per_step|seconds_per_step|iteration_time)/,
    kind: 'seconds',
    value: ({ time }) => time.step,
  },
  {
    pattern: /^mfu/,
    kind: 'percent',
    value: (chosen, row) => modelRate(chosen, row) / peak(chosen, row),
  },
  {
    pattern: /^hfu/,
    kind: 'percent',
    value: (chosen, row) => hardwareRate(chosen, row) / peak(chosen, row),
  },
  {
    pattern: /^pct_of_peak/,
    kind: 'percent',
    value: (chosen, row) => achievedRate(chosen, row) / peak(chosen, row),
  },
  {
    pattern: /^model_tflops_per_(gpu|chip|device)/,
    kind: 'flops',
    value: (chosen, row) => modelRate(chosen, row),
  },
  {
    pattern: /^(hardware|hfu)_tflops_per_(gpu|chip|device)/,
    kind: 'flops',
    value: (chosen, row) => hardwareRate(chosen, row),
  },
  {
    pattern: /^(achieved_)?tflops_per_(gpu|chip|device)/,
    kind: 'flops',
    value: (chosen, row) => achievedRate(chosen, row),
  },
  {
    pattern: /^(gpu|chip|accelerator)_hours_per_1T_tokens$/,
    kind: 'gpuHours',
    value: (chosen) => runHours(chosen, 1e12, NO_LOSSES),
  },
  {
    pattern: /^(gpu|chip|accelerator)_hours$/,
    kind: 'gpuHours',
    value: (chosen, row, calibration) =>
      wholeRun(chosen, row, (tokens) => runHours(chosen, tokens, calibration)),
  },
  {
    pattern: /^days_for_\d+(\.\d+)?[BT]_tokens$/,
    kind: 'seconds',
    value: (chosen, row) => {
      const [, figure, unit] = /^days_for_([\d.]+)([BT])_tokens$/.exec(row.measured_metric) ?? [];
      return (Number(figure) * (unit === 'T' ? 1e12 : 1e9)) / tokensPerSecond(chosen);
    },
  },
  {
    pattern: /^(days|wall_hours|wall_days|training_days)$/,
    kind: 'seconds-long',
    value: (chosen, row, calibration) =>
      row.n_gpus === ''
        ? 'the row gives no number of accelerators'
        : wholeRun(
            chosen,
            row,
            (tokens) => (runHours(chosen, tokens, calibration) * 3600) / chosen.setting.count,
          ),
  },
  {
    pattern: /^time_to_train/,
    kind: 'seconds-long',
    value: ({ setting, time }, row) => {
      const { architecture, work } = setting;
      if (!/mlperf|mlcommons/i.test(`${row.source} ${row.note}`))
        return 'time to a target that is not a published benchmark';
      const sequences = sequencesToConverge(architecture.name, work.training, work.globalBatch);
      if (sequences === undefined)
        return `no convergence points of ${architecture.name} are published by MLCommons`;
      return (sequences / work.globalBatch) * time.step * EVALUATION;
    },
  },
  {
    pattern: /^peak_memory(_per_(gpu|chip|device))?$/,
    kind: 'bytes',
    value: (chosen, row) => memory(chosen, row).total,
  },
  {
    pattern: /^activation_memory(_per_(gpu|chip|device))?$/,
    kind: 'bytes',
    value: (chosen, row) => memory(chosen, row).activations,
  },
  {
    pattern: /^param(eter)?s?(_plus|_and)_optimizer_memory/,
    kind: 'bytes',
    value: (chosen, row) => {
      const { weights, gradients, optimizer } = memory(chosen, row);
      return weights + gradients + optimizer;
    },
  },
  {
    pattern: /^activation_memory_relative_to_tp_baseline$/,
    kind: 'percent',
    value: (chosen, row) => {
      const layout: Layout = { ...chosen.layout, recompute: 'none', sequenceParallel: false };
      return memory(chosen, row).activations / memory({ ...chosen, layout }, row).activations;
    },
  },
  {
    pattern: /^energy$/,
    kind: 'wattHours',
    value: (chosen, row, calibration) =>
      wholeRun(
        chosen,
        row,
        (tokens) =>
          runHours(chosen, tokens, calibration) * chosen.setting.accelerator.boardWatts * PUE,
      ),
  },
];

function memory({ setting, layout }: Chosen, row: Row): TrainingMemory {
  const { architecture, work } = setting;
  const sequences = work.globalBatch / layout.data;
  // PyTorch's pipelines cut a rank's batch into as many micro-batches as there are stages, unless
  // told otherwise.
  const cut = layout.sharding === 'weights' && layout.pipeline > 1 && !row.micro_batch;
  const microBatch = cut ? Math.max(1, Math.floor(sequences / layout.pipeline)) : layout.microBatch;
  return memoryOf(
    architecture,
    { ...layout, microBatch },
    {
      sequenceTokens: work.sequenceTokens,
      microBatches: Math.max(1, Math.round(sequences / microBatch)),
      flashAttention: !work.unfusedAttention,
      training: work.training,
      // ZeRO by its name is DeepSpeed, whose bfloat16 optimizer keeps float32 gradients beside the
      // 16-bit ones.
      gradientBytes:
        layout.precision === 'bf16' && /zero-?[12]|deepspeed/i.test(row.note ?? '') ? 6 : undefined,
    },
  );
}

/** A benchmark's clock also runs while it evaluates, every few per cent of the way. */
const EVALUATION = 1.08;

/**
 * Hours for so many tokens are printed as a rate of the running machine, without what a whole run
 * loses.
 */
const NO_LOSSES = { production: 1 };

/** Of a hyperscaler's building (Cottier et al. 2024). */
const PUE = 1.1;

const tokensPerSecond = ({ setting, time }: Chosen): number =>
  (setting.work.globalBatch * setting.work.sequenceTokens) / time.step;

/**
 * Hours of accelerators for so many tokens, with what a run of months loses to failures, restarts
 * and evaluation.
 */
const runHours = (
  chosen: Chosen,
  tokens: number,
  { production }: Pick<Calibration, 'production'>,
): number => ((tokens / tokensPerSecond(chosen)) * chosen.setting.count * production) / 3600;

function wholeRun(chosen: Chosen, row: Row, value: (tokens: number) => number): number | string {
  const { published } = chosen.setting;
  if (/post-training|context extension|\bRL\b|fine-?tun|SFT|last .*phase/i.test(row.note ?? ''))
    return 'hours of a phase whose tokens are not published';
  if (published?.trainedTokens === undefined)
    return `tokens that ${row.model} was trained on are not in the catalogue`;
  return value(published.trainedTokens);
}

/**
 * Whether a figure counts attention causally: as it says, else as the framework that prints it
 * does.
 */
export function countsCausally(row: Row): boolean {
  const text = `${row.measured_metric} ${row.note}`;
  if (/non[-_ ]?causal|full attention|12 ?\* ?L/i.test(text)) return false;
  if (/causal/i.test(text)) return true;
  // Megatron Bridge (megatron.bridge.training.utils.flop_utils) and NeMo since 2025 halve
  // attention; PaLM, Megatron-LM, MaxText and torchtitan did not.
  return /megatron-bridge/i.test(row.source ?? '');
}

const conventionOf = (row: Row): AttentionConvention => (countsCausally(row) ? 'causal' : 'full');

function modelRate(chosen: Chosen, row: Row): number {
  const { architecture, work, count } = chosen.setting;
  const perToken =
    work.training === 'adapters'
      ? adapterFlopsPerToken(architecture)
      : modelFlopsPerToken(architecture, work.sequenceTokens, conventionOf(row));
  return (tokensPerSecond(chosen) / count) * perToken;
}

function hardwareRate(chosen: Chosen, row: Row): number {
  const { architecture, work, count } = chosen.setting;
  const perToken = hardwareFlopsPerToken(
    architecture,
    work.sequenceTokens,
    conventionOf(row),
    chosen.layout.recompute,
  );
  return (tokensPerSecond(chosen) / count) * perToken;
}

/**
 * "Achieved" is what the hardware did where the row says so or recomputes, and the model's
 * operations elsewhere.
 */
function achievedRate(chosen: Chosen, row: Row): number {
  const hardware = /hfu/i.test(row.note ?? '') || chosen.layout.recompute === 'full';
  return hardware ? hardwareRate(chosen, row) : modelRate(chosen, row);
}

/** The 16-bit peak, whatever the precision, unless the row says otherwise. */
function peak({ setting, layout }: Chosen, row: Row): number {
  const { peakFlops } = setting.accelerator;
  const wide = peakFlops.bf16 ?? peakFlops.fp16 ?? peakFlops.fp32 ?? Number.NaN;
  if (/(vs|of) fp8 peak/i.test(row.note ?? '')) return peakFlops.fp8 ?? wide;
  return /(fp32|tf32)/.test(layout.precision) ? (peakFlops[layout.precision] ?? wide) : wide;
}

/**
 * What the SI value is multiplied by to be in the row's unit; undefined for a unit that is not of
 * this kind.
 */
function scaleOf(unit: string, kind: Kind): number | undefined {
  const name = unit.toLowerCase().replace(/\s*\(.*\)$/, '');
  switch (kind) {
    case 'rate':
      return /^(k)?(tokens|samples|sequences)/.test(name)
        ? name.startsWith('k')
          ? 1e-3
          : 1
        : name === ''
          ? 1
          : undefined;
    case 'percent':
      return name === '%' || name === 'percent'
        ? 100
        : name === 'fraction' || name === '' || name === 'ratio'
          ? 1
          : undefined;
    case 'seconds':
    case 'seconds-long':
      return {
        s: 1,
        ms: 1e3,
        min: 1 / 60,
        minutes: 1 / 60,
        h: 1 / 3600,
        hours: 1 / 3600,
        days: 1 / 86400,
        d: 1 / 86400,
        '': 1,
      }[name];
    case 'flops':
      return /^pflop/.test(name) ? 1e-15 : /^gflop/.test(name) ? 1e-9 : 1e-12;
    case 'gpuHours':
      return /^k/.test(name) ? 1e-3 : /^m/.test(name) ? 1e-6 : 1;
    case 'bytes':
      return { gb: 1e-9, gib: 2 ** -30, mb: 1e-6, mib: 2 ** -20, b: 1, bytes: 1 }[name];
    case 'wattHours':
      return { kwh: 1e-3, mwh: 1e-6, gwh: 1e-9 }[name];
  }
}
