/**
 * @file Model FLOPs of sampling: a prompt is computed once for all its samples, and each sample's
 * last token is only drawn.
 */
import { type DecoderShape, forwardFlops } from '../usage/flops.js';

/** @param completions tokens of each sample of one prompt */
export function generationFlops(
  shape: DecoderShape,
  promptTokens: number,
  completions: readonly number[],
): number {
  let flops = forwardFlops(shape, { tokens: promptTokens, headTokens: completions.length });
  for (const tokens of completions)
    flops += forwardFlops(shape, { tokens: Math.max(0, tokens - 1), past: promptTokens });
  return flops;
}
