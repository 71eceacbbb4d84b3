/**
 * @file What the attention kernels share: their dimensions, and where each row's sequence begins
 * and ends.
 */
import type { AttentionOptions } from '../../operations/attention.js';
import { type Context, THREADS } from './context.js';
import type { GpuTensor } from './tensor.js';

/** Less than every score: of what is not seen. */
export const FLOOR = '-3.4028234e38';

/** First and behind-last row of each row's own sequence: i32 [N] twice. */
export function segmentBounds(
  context: Context,
  bounds: GpuTensor,
  segments: GpuTensor,
  rows: number,
): void {
  context.runner.run(
    'segment bounds',
    () => ({
      operands: ['bounds', 'segments'],
      parameters: { rows: 'u32', count: 'u32' },
      threads: THREADS,
      body: `  let n = group * ${THREADS}u + tid;
  if (n >= $rows) { return; }
  // The last segment that begins at or before n; empty ones come before it.
  var low = 0u;
  var high = $count;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (u32(ldi_segments(middle)) <= n) { low = middle; } else { high = middle; }
  }
  sti_bounds(n, ldi_segments(low));
  sti_bounds($rows + n, ldi_segments(low + 1u));`,
    }),
    { bounds, segments },
    { rows, count: segments.size - 1 },
    Math.ceil(rows / THREADS),
  );
}

export interface Shape {
  rows: number;
  heads: number;
  kvHeads: number;
  dk: number;
  dv: number;
  scale: number;
}

export const shapeOf = (
  q: GpuTensor,
  v: GpuTensor,
  { heads, kvHeads, scale }: AttentionOptions,
): Shape => ({
  rows: q.rows,
  heads,
  kvHeads,
  dk: q.columns / heads,
  dv: v.columns / kvHeads,
  scale,
});

/** Parameters of every kernel. */
export const DIMENSIONS = {
  rows: 'u32',
  heads: 'u32',
  kvHeads: 'u32',
  dk: 'u32',
  dv: 'u32',
  scale: 'f32',
} as const;

export const dimensions = ({ rows, heads, kvHeads, dk, dv, scale }: Shape) => ({
  rows,
  heads,
  kvHeads,
  dk,
  dv,
  scale,
});
