/**
 * @file How a model lies on a cluster.
 *
 * Names as in Megatron-LM: the accelerators of a job are `tensor × context × pipeline × data`;
 * expert parallelism spreads the experts over ranks of `data × context` (and of `tensor` where
 * `expertTensor` is smaller).
 */

/**
 * What of the layer's activations is recomputed in the backward pass (Korthikanti et al.,
 * arXiv:2205.05198).
 */
export type Recompute = 'none' | 'selective' | 'full';

/**
 * What data-parallel ranks share (ZeRO, Rajbhandari et al. 2020): nothing, optimizer, gradients
 * too, weights too (FSDP).
 */
export type Sharding = 'none' | 'optimizer' | 'gradients' | 'weights';

/**
 * Bubbles: Narayanan et al. 2021 (1F1B, interleaved); Qi et al. 2023 (zero-bubble); DeepSeek-V3,
 * section 3.2.1 (DualPipe).
 */
export type PipelineSchedule = '1f1b' | 'interleaved' | 'zero-bubble' | 'dualpipe';

export type Precision =
  | 'fp32'
  | 'tf32'
  | 'fp16'
  | 'bf16'
  | 'fp8'
  | 'nvfp4'
  | 'mxfp8'
  | 'int8'
  | 'int4';

export interface Layout {
  tensor: number;
  pipeline: number;
  data: number;
  expert: number;
  context: number;
  /** Tensor parallelism inside the experts. */
  expertTensor: number;
  /** Sequence parallelism of norms and dropouts with tensor parallelism (Korthikanti et al.). */
  sequenceParallel: boolean;
  /** Sequences in a micro-batch, per data-parallel rank. */
  microBatch: number;
  schedule: PipelineSchedule;
  /** Model chunks a pipeline rank holds (interleaving); 1 without. */
  chunks: number;
  recompute: Recompute;
  sharding: Sharding;
  precision: Precision;
}

/** Accelerators that a layout needs. */
export function accelerators({ tensor, pipeline, data, context }: Layout): number {
  return tensor * pipeline * data * context;
}

/** Short form for tables and reasons: `tp8 pp16 dp12 ep8 mb1`. */
export function layoutName(layout: Layout): string {
  const { tensor, pipeline, data, expert, context, microBatch, chunks, recompute, sharding } =
    layout;
  const parts = [`tp${tensor}`, `pp${pipeline}`, `dp${data}`];
  if (expert > 1) parts.push(`ep${expert}`);
  if (context > 1) parts.push(`cp${context}`);
  parts.push(`mb${microBatch}`);
  if (chunks > 1) parts.push(`vp${chunks}`);
  if (recompute !== 'none') parts.push(`${recompute} recompute`);
  if (sharding === 'weights') parts.push('fsdp');
  return parts.join(' ');
}
