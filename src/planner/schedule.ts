/**
 * @file Pipeline bubbles: how long a rank waits, in units of one micro-batch's forward and backward
 * time on it.
 *
 * A forward pass takes a third of a micro-batch's time, the backward pass two thirds, of which the
 * weights' gradient is half.
 */
import type { PipelineSchedule } from './layout.js';

/**
 * Idle time of a rank in a step, in micro-batch times.
 *
 * - 1F1B: p − 1 (Narayanan et al., arXiv:2104.04473, section 2.2.1); interleaved with v chunks: (p
 *   − 1)/v (section 2.2.2).
 * - Zero-bubble (ZB-H1): (p − 1)(F + B − 2W) with B the backward pass of inputs, so a third of 1F1B
 *   (Qi et al., arXiv:2401.10241).
 * - DualPipe: (p/2 − 1)(F&B + B − 3W) = (p/2 − 1) · 2/3 (DeepSeek-V3, arXiv:2412.19437, table 2,
 *   with B the whole backward pass).
 */
export function bubble(schedule: PipelineSchedule, pipeline: number, chunks: number): number {
  if (pipeline <= 1) return 0;
  switch (schedule) {
    case '1f1b':
      return pipeline - 1;
    case 'interleaved':
      return (pipeline - 1) / chunks;
    case 'zero-bubble':
      return (pipeline - 1) / 3 / chunks;
    case 'dualpipe':
      return (Math.max(0, pipeline / 2 - 1) * 2) / 3;
  }
}
