/**
 * @file In what a served model is stored and multiplied.
 *
 * A label such as `fp4` says less than it seems. Checkpoints in NVFP4 or MXFP4 keep attention wider
 * than the experts (DeepSeek-R1-FP4 keeps it in 16 bits, GPT-OSS too: its model card, section 2.1);
 * Hopper has no FP4 units and widens MXFP4 to BF16 in registers, while Blackwell multiplies it by
 * FP8 activations; weight-only INT4 multiplies in BF16 everywhere. Bytes count the scales: a block
 * of 16 with an FP8 scale (NVFP4) is 4.5 bits a weight, a block of 32 with an 8-bit exponent
 * (MXFP4) 4.25, a group of 128 with a 16-bit scale (INT4) 4.125.
 */
import type { Architecture } from '../../architecture/index.js';
import type { Accelerator } from '../cluster.js';
import type { Precision } from '../layout.js';

export interface ServingPrecision {
  /** Short form for tables: `fp8`, `nvfp4`, `mxfp4`, `int4`, `bf16`. */
  name: string;
  /**
   * Bytes a weight, scales included, of routed experts and of all other linear layers. Embedding
   * and head are BF16.
   */
  expertBytes: number;
  otherBytes: number;
  /** Bytes an element of keys, values or latents. */
  kvBytes: number;
  /** In what the units multiply: routed experts, other linear layers, attention itself. */
  expertCompute: Precision;
  otherCompute: Precision;
  attentionCompute: Precision;
  /** Experts, and other linear layers, whose weights are widened before they are multiplied. */
  expertWidened: boolean;
  otherWidened: boolean;
}

export const WEIGHT_BYTES = {
  fp32: 4,
  bf16: 2,
  fp8: 1,
  int8: 1,
  nvfp4: 4.5 / 8,
  mxfp4: 4.25 / 8,
  int4: 4.125 / 8,
} as const;

/** A weight format that is served. */
export type WeightFormat = keyof typeof WEIGHT_BYTES;

/**
 * @param format of the linear layers (of the experts alone where a family keeps attention wider)
 * @param kv `fp8` or `bf16` for the cache
 */
export function servingPrecision(
  format: WeightFormat,
  kv: 'fp8' | 'bf16',
  architecture: Architecture,
  accelerator: Accelerator,
): ServingPrecision {
  const fourBits = format === 'nvfp4' || format === 'mxfp4';
  const has = (precision: Precision) => accelerator.peakFlops[precision] !== undefined;
  const native = (precision: Precision): Precision => (has(precision) ? precision : 'bf16');
  const compute: Precision =
    format === 'nvfp4'
      ? native('nvfp4')
      : format === 'mxfp4'
        ? has('nvfp4')
          ? native('fp8')
          : 'bf16'
        : format === 'fp8' || format === 'int8'
          ? native(format)
          : format === 'fp32'
            ? native('tf32')
            : 'bf16';
  // Four-bit mixtures: only the experts are in four bits; the rest is 16 bits in MXFP4 and with
  // latent attention, else 8.
  const rest: WeightFormat =
    !fourBits || architecture.moe === null
      ? format
      : format === 'mxfp4' || architecture.attention.kind === 'mla'
        ? 'bf16'
        : 'fp8';
  const otherCompute: Precision =
    rest === format ? compute : rest === 'fp8' ? native('fp8') : 'bf16';
  return {
    name: format,
    expertBytes: WEIGHT_BYTES[format],
    otherBytes: WEIGHT_BYTES[rest],
    kvBytes: kv === 'fp8' ? 1 : format === 'fp32' ? 4 : 2,
    expertCompute: compute,
    otherCompute,
    // Latent attention over an FP8 cache multiplies in FP8 on accelerators with FP4 units only.
    attentionCompute:
      kv === 'fp8' && (architecture.attention.kind === 'gqa' || has('nvfp4'))
        ? native('fp8')
        : 'bf16',
    expertWidened: compute === 'bf16' && format !== 'bf16',
    otherWidened: otherCompute === 'bf16' && rest !== 'bf16',
  };
}

/** Peak FLOP/s in a precision, or in the widest that stands in for it. */
export function peakFlops(accelerator: Accelerator, precision: Precision): number {
  const { peakFlops: peaks } = accelerator;
  return peaks[precision] ?? peaks.bf16 ?? peaks.fp16 ?? peaks.tf32 ?? peaks.fp32 ?? 0;
}

/**
 * The format that a published label names; null when it names none. Everything before the first `/`
 * or `+` decides, so that
 * `fp8 GEMM+dispatch / bf16 MLA+combine` is FP8.
 */
export function weightFormatOf(label: string, architecture: Architecture): WeightFormat | null {
  const text = label.toLowerCase();
  if (/mxfp4/.test(text)) return 'mxfp4';
  if (/nvfp4/.test(text)) return 'nvfp4';
  if (/fp4/.test(text)) return /gpt-?oss/i.test(architecture.name) ? 'mxfp4' : 'nvfp4';
  if (/int4|w4a16|awq|gptq|\bi?q[2-5]|4-?bit/.test(text)) return 'int4';
  if (/fp8|w8a8-?fp|e4m3/.test(text)) return 'fp8';
  if (/int8|w8a8|w8a16|\bq[68]|8-?bit/.test(text)) return 'int8';
  if (/bf16|fp16|\bf16|bfloat16|float16|half|16-?bit/.test(text)) return 'bf16';
  if (/fp32|float32/.test(text)) return 'fp32';
  return null;
}
