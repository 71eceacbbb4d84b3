/**
 * @file What a row of published training measurements describes: a model, a machine, a layout and
 * the work of a step.
 *
 * Only configuration columns are read, and labels of the note (`FSDP`, `forced expert balance`,
 * `LoRA`), never its figures. What a row leaves out is assumed as stated here, or searched for, and
 * counted: each assumption widens the interval.
 */
import {
  type Architecture,
  countParameters,
  type GroupedQueryAttention,
  moeLayers,
  type PublishedModel,
  publishedModel,
} from '../../architecture/index.js';
import type { Accelerator } from '../cluster.js';
import { acceleratorOf } from '../hardware.js';
import type { Layout, Precision, Recompute, Sharding } from '../layout.js';
import type { TrainingWork } from '../step-time.js';
import type { Row } from './csv.js';

export interface Setting {
  architecture: Architecture;
  published: PublishedModel | undefined;
  accelerator: Accelerator;
  count: number;
  work: TrainingWork;
  /** The row's layout, or those worth trying where it gives none. */
  layouts: Layout[];
  /** What was assumed, in words; each widens the interval. */
  assumed: string[];
}

/** @returns undefined for an empty or malformed cell */
export function number(row: Row, column: string): number | undefined {
  const text = row[column];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

export function settingOf(row: Row): Setting | { skipped: string } {
  const accelerator = acceleratorOf(row.gpu ?? '');
  if (accelerator === undefined)
    return { skipped: `accelerator ${row.gpu || '(none)'} is not in the catalogue` };
  const assumed: string[] = [];
  const published = publishedModel(row.model ?? '');
  const architecture = architectureFor(row, published, assumed);
  if (architecture === undefined)
    return {
      skipped: `model ${row.model || '(none)'} gives no layers and is not in the catalogue`,
    };

  const precision = precisionOf(row.precision ?? '', accelerator);
  const sequenceTokens =
    number(row, 'seq_len') ??
    assume(assumed, 'sequence', published?.sequenceTokens ?? (precision === 'fp16' ? 2048 : 4096));
  const { total } = countParameters(architecture);
  const [tp, pp, dp, cp] = ['tp', 'pp', 'dp', 'cp'].map((column) => number(row, column));
  const product = tp && pp && dp ? tp * pp * dp * (cp ?? 1) : undefined;
  // Runs of a few accelerators per billion weights are the ones that people publish.
  const count =
    number(row, 'n_gpus') ??
    product ??
    assume(assumed, 'accelerators', total > 1e11 ? 1024 : total > 2e10 ? 512 : 128);
  const globalBatch =
    number(row, 'global_batch') ??
    assume(
      assumed,
      'batch',
      published?.globalBatch ?? Math.max(Math.ceil(4e6 / sequenceTokens), dp ?? 1),
    );
  const note = `${row.model} ${row.note}`;
  const recompute = recomputeOf(row.recompute ?? '');
  const work: TrainingWork = {
    architecture,
    sequenceTokens,
    globalBatch,
    training: /\blora\b|\bpeft\b|\bqlora\b/i.test(note) ? 'adapters' : 'full',
    unfusedAttention: unfused(architecture, accelerator, note),
    naturalRouting: architecture.moe !== null && !/forced|force[- ]balanc|token ?drop/i.test(note),
  };
  const layouts = layoutsOf(
    row,
    {
      architecture,
      accelerator,
      count,
      sequenceTokens,
      globalBatch,
      precision,
      recompute,
      note,
      work,
    },
    assumed,
  );
  if (layouts.length === 0)
    return { skipped: `no layout of ${count} accelerators holds ${row.model}` };
  return { architecture, published, accelerator, count, work, layouts, assumed };
}

function assume<T>(assumed: string[], what: string, value: T): T {
  assumed.push(what);
  return value;
}

/**
 * From the row's own columns; the catalogue adds what they cannot say (experts, latent attention,
 * multi-token prediction).
 */
function architectureFor(
  row: Row,
  published: PublishedModel | undefined,
  assumed: string[],
): Architecture | undefined {
  const layers = number(row, 'layers');
  const hidden = number(row, 'hidden');
  const without = /without mtp|w\/o mtp/i.test(`${row.model} ${row.note}`);
  if (
    published !== undefined &&
    (layers === undefined || layers === published.architecture.layers) &&
    (hidden === undefined || hidden === published.architecture.hidden)
  ) {
    return without ? withoutMtp(published.architecture) : published.architecture;
  }
  // Stacks with state-space layers cannot be told from the columns.
  if (/mamba|rwkv|jamba|hyena|griffin/i.test(row.model ?? '')) return undefined;
  const total = number(row, 'params_total');
  const vocab = number(row, 'vocab') ?? 50304;
  if (hidden !== undefined && (layers !== undefined || total !== undefined)) {
    const ffn = number(row, 'ffn') ?? 4 * hidden;
    const depth =
      layers ??
      assume(
        assumed,
        'layers',
        Math.max(1, Math.round(((total ?? 0) - vocab * hidden) / (12 * hidden * hidden))),
      );
    const heads =
      number(row, 'heads') ?? assume(assumed, 'heads', Math.max(1, Math.round(hidden / 128)));
    return fromColumns(
      row,
      { layers: depth, hidden, ffn, heads, kvHeads: number(row, 'kv_heads') ?? heads, vocab },
      total,
    );
  }
  // A decoder by its size alone: its shape follows from its parameters closely enough for a
  // throughput.
  if (
    total !== undefined &&
    total > 1e8 &&
    /gpt|llama|lm\b|opt-|bloom|falcon|mpt|qwen|nemotron|mistral|\d ?b\b/i.test(row.model ?? '')
  ) {
    assume(assumed, 'shape', 0);
    assume(assumed, 'shape', 0);
    const width = Math.max(512, Math.round(Math.cbrt((total * 110) / 12) / 128) * 128);
    const depth = Math.max(1, Math.round((total - vocab * width) / (12 * width * width)));
    const heads = width / 128;
    return fromColumns(
      row,
      { layers: depth, hidden: width, ffn: 4 * width, heads, kvHeads: heads, vocab },
      total,
    );
  }
  return undefined;
}

interface Shape {
  layers: number;
  hidden: number;
  ffn: number;
  heads: number;
  kvHeads: number;
  vocab: number;
}

/**
 * Whether layers are gated, embeddings tied and experts many follows from the count of parameters
 * that the row gives.
 */
function fromColumns(row: Row, shape: Shape, total: number | undefined): Architecture {
  const { layers, hidden, ffn, heads, kvHeads, vocab } = shape;
  const attention: GroupedQueryAttention = {
    kind: 'gqa',
    heads,
    kvHeads,
    headDim: Math.floor(hidden / heads),
    bias: 'none',
    qkNorm: 'none',
    window: null,
  };
  const base: Architecture = {
    name: row.model || 'model',
    layers,
    hidden,
    vocab,
    attention,
    intermediate: ffn,
    gated: ffn !== 4 * hidden,
    moe: null,
    mtpLayers: 0,
    tiedEmbeddings: false,
    learnedPositions: 0,
    maxPositions: 8192,
  };
  if (total === undefined) return base;
  const active = number(row, 'params_active');
  if (active !== undefined && active < 0.8 * total) {
    const expert = 3 * hidden * ffn;
    const rest = countParameters({ ...base, intermediate: 0 }).total;
    const topK = Math.max(1, Math.round((active - rest) / layers / expert));
    const experts = Math.max(topK, Math.round((total - rest) / layers / expert));
    return {
      ...base,
      gated: true,
      moe: {
        experts,
        topK,
        sharedExperts: 0,
        expertIntermediate: ffn,
        groups: 1,
        topGroups: 1,
        routerBias: false,
        denseLayers: 0,
      },
    };
  }
  const gpt: Architecture = {
    ...base,
    gated: false,
    attention: { ...attention, bias: 'all' },
    tiedEmbeddings: true,
    learnedPositions: 2048,
  };
  const candidates = [
    gpt,
    { ...base, gated: true },
    { ...base, gated: false },
    { ...base, gated: true, tiedEmbeddings: true },
  ];
  const distance = (candidate: Architecture): number =>
    Math.abs(countParameters(candidate).total / total - 1);
  return candidates.reduce((best, candidate) =>
    distance(candidate) < distance(best) - 0.002 ? candidate : best,
  );
}

const withoutMtpOf = new WeakMap<Architecture, Architecture>();

function withoutMtp(architecture: Architecture): Architecture {
  let result = withoutMtpOf.get(architecture);
  if (result === undefined) {
    result = { ...architecture, mtpLayers: 0 };
    withoutMtpOf.set(architecture, result);
  }
  return result;
}

/**
 * The narrowest format named that the accelerator has; `fp8-cs` and `fp8-mx` are two scalings of
 * the same products.
 */
export function precisionOf(text: string, { peakFlops }: Accelerator): Precision {
  const name = text.toLowerCase();
  const named: Precision | undefined = /fp4/.test(name)
    ? 'nvfp4'
    : /mxfp8|fp8-mx/.test(name)
      ? 'mxfp8'
      : /fp8/.test(name)
        ? 'fp8'
        : /int8/.test(name)
          ? 'int8'
          : /bf16/.test(name)
            ? 'bf16'
            : /fp16|half/.test(name)
              ? 'fp16'
              : /tf32/.test(name)
                ? 'tf32'
                : /fp32/.test(name)
                  ? 'fp32'
                  : undefined;
  if (named === 'mxfp8' && peakFlops.mxfp8 === undefined && peakFlops.fp8 !== undefined)
    return 'fp8';
  if (named !== undefined && peakFlops[named] !== undefined) return named;
  return peakFlops.bf16 !== undefined ? 'bf16' : peakFlops.fp16 !== undefined ? 'fp16' : 'fp32';
}

function recomputeOf(text: string): Recompute | undefined {
  if (text === '') return undefined;
  return /full/i.test(text) ? 'full' : /selective/i.test(text) ? 'selective' : 'none';
}

/**
 * GPTs on chips before Hopper were trained with attention that writes its scores, unless a note
 * says which kernel.
 */
function unfused({ attention, gated }: Architecture, { id }: Accelerator, note: string): boolean {
  if (/flash|fsdp|xformers/i.test(note)) return false;
  return (
    attention.kind === 'gqa' &&
    attention.bias === 'all' &&
    !gated &&
    /^(k80|p100|v100|a100|a800|tpu-v3)/.test(id)
  );
}

function shardingOf(note: string): Sharding | undefined {
  if (/full_shard|fsdp|zero-?3/i.test(note) && !/shard_grad_op|no_shard/i.test(note))
    return 'weights';
  if (/shard_grad_op|zero-?2/i.test(note)) return 'gradients';
  if (/zero-?1|distributed optimizer/i.test(note)) return 'optimizer';
  return /no_shard|\bddp\b/i.test(note) ? 'none' : undefined;
}

interface Known {
  architecture: Architecture;
  accelerator: Accelerator;
  count: number;
  sequenceTokens: number;
  globalBatch: number;
  precision: Precision;
  recompute: Recompute | undefined;
  note: string;
  work: TrainingWork;
}

function layoutsOf(row: Row, known: Known, assumed: string[]): Layout[] {
  const { architecture, accelerator, count, precision, note, globalBatch } = known;
  const tpu = accelerator.id.startsWith('tpu');
  const given = number(row, 'tp') !== undefined || number(row, 'dp') !== undefined;
  if (!given) {
    assume(assumed, 'layout', 0);
    return searched(row, known, tpu);
  }
  const tensor = number(row, 'tp') ?? 1;
  const pipeline = number(row, 'pp') ?? 1;
  const context = number(row, 'cp') ?? 1;
  const data = number(row, 'dp') ?? Math.max(1, Math.round(count / (tensor * pipeline * context)));
  const expert =
    architecture.moe === null
      ? 1
      : (number(row, 'ep') ?? assume(assumed, 'experts', Math.min(8, data)));
  // Several rows list ranks that context parallelism shares; the accelerators of the job decide.
  const ranks =
    tensor * pipeline * data * context === count
      ? data
      : Math.max(1, Math.round(count / (tensor * pipeline * context)));
  const dual = dualPipe(architecture, accelerator, pipeline);
  const chunks =
    number(row, 'interleave') ??
    (dual ? 1 : chunksOf(architecture, accelerator, pipeline, note, assumed));
  const named = shardingOf(note);
  // Pipelines are combined with a sharded optimizer, not with gathering weights for each
  // micro-batch, unless a note says so.
  const whole =
    pipeline > 1 ||
    known.work.training === 'adapters' ||
    fits(architecture, accelerator, { tensor, pipeline, data: ranks, expert }, 'optimizer');
  const sharding = named ?? (tpu || !whole ? 'weights' : 'optimizer');
  const micro =
    number(row, 'micro_batch') ??
    assume(
      assumed,
      'micro-batch',
      Math.max(1, Math.min(globalBatch / ranks, pipeline > 1 ? 1 : 2)),
    );
  return [
    {
      tensor,
      pipeline,
      data: ranks,
      expert,
      context,
      expertTensor: expert > 1 ? 1 : tensor,
      sequenceParallel:
        tensor > 1 &&
        (/sequence/.test(row.recompute ?? '') ||
          /sequence parallel/i.test(note) ||
          !known.work.unfusedAttention),
      microBatch: Math.min(micro, Math.max(1, globalBatch / ranks)),
      schedule: dual ? 'dualpipe' : chunks > 1 ? 'interleaved' : '1f1b',
      chunks: pipeline > 1 ? chunks : 1,
      recompute: known.recompute ?? 'none',
      sharding,
      precision,
    },
  ];
}

/**
 * Chunks where a row has a pipeline and does not say: frameworks of the FP8 chips interleave by
 * default, with a few layers each.
 */
function chunksOf(
  { layers }: Architecture,
  { peakFlops }: Accelerator,
  pipeline: number,
  note: string,
  assumed: string[],
): number {
  if (pipeline <= 1 || peakFlops.fp8 === undefined) return 1;
  if (/interleaved/i.test(note)) return 2;
  if (/1f1b/i.test(note)) return 1;
  assumed.push('interleaving');
  return (
    [4, 5, 3, 6, 7, 2, 8].find((chunks) =>
      [0, 1, 2].some((ends) => (layers + ends) % (pipeline * chunks) === 0),
    ) ?? 1
  );
}

/**
 * DeepSeek trained V3 with DualPipe on H800s (arXiv:2412.19437, section 3.2.1); nobody else reports
 * it.
 */
function dualPipe({ name }: Architecture, { id }: Accelerator, pipeline: number): boolean {
  return pipeline > 2 && id === 'h800' && /deepseek-(v3|r1)/i.test(name);
}

/**
 * Weights (2 bytes), gradients (4) and Adam's state with master weights (12), in 70% of the memory.
 */
function fits(
  architecture: Architecture,
  { memoryBytes }: Accelerator,
  { tensor, pipeline, data, expert }: Pick<Layout, 'tensor' | 'pipeline' | 'data' | 'expert'>,
  sharding: Sharding,
): boolean {
  const { total, perLayer } = countParameters(architecture);
  const { moe } = architecture;
  const routed = moe === null ? 0 : moeLayers(architecture) * moe.experts * perLayer.expert;
  const local =
    (total - routed) / tensor / pipeline +
    routed / pipeline / Math.max(expert, expert > 1 ? 1 : tensor);
  const kept = sharding === 'weights' ? 18 / data : sharding === 'optimizer' ? 6 + 12 / data : 18;
  return local * kept < 0.7 * memoryBytes;
}

/**
 * Layouts that a practitioner would try on this machine: tensor parallel inside a node, pipelines
 * no deeper than needed.
 */
function searched(row: Row, known: Known, tpu: boolean): Layout[] {
  const { architecture, accelerator, count, sequenceTokens, globalBatch, precision, recompute } =
    known;
  const { layers, moe } = architecture;
  const frozen = known.work.training === 'adapters';
  const layouts: Layout[] = [];
  const add = (tensor: number, pipeline: number, sharding: Sharding, context: number): void => {
    const data = Math.floor(count / (tensor * pipeline * context));
    if (data < 1) return;
    const expert = moe === null ? 1 : Math.min(moe.experts, 8, data);
    const batch = Math.max(1, globalBatch / data);
    const microBatch = Math.min(batch, Math.max(1, Math.floor(8192 / sequenceTokens)));
    if (
      !fits(architecture, accelerator, { tensor, pipeline, data, expert }, sharding) &&
      !(frozen && fitsFrozen(architecture, accelerator, tensor * pipeline))
    )
      return;
    layouts.push({
      tensor,
      pipeline,
      data,
      expert,
      context,
      expertTensor: expert > 1 ? 1 : tensor,
      sequenceParallel: tensor > 1 && !known.work.unfusedAttention,
      microBatch: pipeline > 1 ? 1 : microBatch,
      schedule: dualPipe(architecture, accelerator, pipeline)
        ? 'dualpipe'
        : pipeline > 1 && layers % (2 * pipeline) === 0
          ? 'interleaved'
          : '1f1b',
      chunks: pipeline > 1 && layers % (2 * pipeline) === 0 ? 2 : 1,
      recompute:
        recompute ??
        (tpu
          ? 'selective'
          : accelerator.memoryBytes < 50e9 || known.work.unfusedAttention
            ? 'full'
            : 'none'),
      sharding,
      precision,
    });
  };
  const context = number(row, 'cp') ?? 1;
  if (tpu) {
    for (const tensor of [1, 2, 4, 8, 16]) add(tensor, 1, 'weights', context);
    return layouts;
  }
  for (const tensor of [1, 2, 4, 8]) {
    if (tensor > count || tensor > accelerator.scaleUpSize) break;
    for (const pipeline of [1, 2, 4, 8, 12, 16, 32]) {
      if (pipeline > layers || tensor * pipeline * context > count) break;
      const before = layouts.length;
      add(tensor, pipeline, 'optimizer', context);
      // Deeper than the shallowest pipeline that fits is never tried.
      if (layouts.length > before) break;
    }
  }
  add(1, 1, 'weights', context);
  // Nothing fits: the narrowest of all, so that the row still has a prediction.
  if (layouts.length === 0) {
    const tensor = Math.min(8, accelerator.scaleUpSize, count);
    layouts.push({
      tensor,
      pipeline: 1,
      data: Math.max(1, Math.floor(count / tensor)),
      expert: 1,
      context,
      expertTensor: tensor,
      sequenceParallel: true,
      microBatch: 1,
      schedule: '1f1b',
      chunks: 1,
      recompute: 'full',
      sharding: 'weights',
      precision,
    });
  }
  return layouts;
}

function fitsFrozen(
  architecture: Architecture,
  { memoryBytes }: Accelerator,
  ranks: number,
): boolean {
  return (countParameters(architecture).total * 2) / ranks < 0.7 * memoryBytes;
}
