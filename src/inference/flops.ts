/**
 * @file Model FLOPs of sampling: a prompt is computed once for all its samples, and each sample's
 * last token is only drawn.
 */
import { type Architecture, forwardFlops } from '../architecture/index.js';

/** @param completions tokens of each sample of one prompt */
export function generationFlops(
  architecture: Architecture,
  promptTokens: number,
  completions: readonly number[],
): number {
  let flops = forwardFlops(architecture, { tokens: promptTokens, headTokens: completions.length });
  for (const tokens of completions)
    flops += forwardFlops(architecture, { tokens: Math.max(0, tokens - 1), past: promptTokens });
  return flops;
}
