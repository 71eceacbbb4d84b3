/**
 * @file What the attention kernels share: their dimensions, and which rows each row sees and is
 * seen by.
 */
import type { AttentionOptions } from '../../operations/attention.js';
import { type Context, THREADS } from './context.js';
import type { GpuTensor } from './tensor.js';

/** Less than every score: of what is not seen. */
export const FLOOR = '-3.4028234e38';

/** Lists of i32 [N] that `segmentBounds` writes, one behind the other. */
export const BOUNDS = 4;

/**
 * Of each row: the first row of its own segment, the row behind the last that sees it (of its
 * segment, or of the last that goes on from it), and the first and behind-last row of its prefix
 * (equal where it has none).
 */
export function segmentBounds(
  context: Context,
  bounds: GpuTensor,
  { segments, prefixes }: { segments: GpuTensor; prefixes: GpuTensor | null },
  rows: number,
): void {
  context.runner.run(
    'segment bounds',
    () => ({
      operands: ['bounds', 'segments', 'prefixes'],
      parameters: { rows: 'u32', count: 'u32', shared: 'u32' },
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
  let begin = ldi_segments(low);
  var until = ldi_segments(low + 1u);
  var pastBegin = begin;
  var pastEnd = begin;
  if ($shared != 0u) {
    let prefix = ldi_prefixes(low);
    if (prefix >= 0 && prefix < i32(low)) {
      pastBegin = ldi_segments(u32(prefix));
      pastEnd = ldi_segments(u32(prefix) + 1u);
    }
    for (var t = low + 1u; t < $count; t++) {
      if (ldi_prefixes(t) == i32(low)) { until = ldi_segments(t + 1u); }
    }
  }
  sti_bounds(n, begin);
  sti_bounds($rows + n, until);
  sti_bounds(2u * $rows + n, pastBegin);
  sti_bounds(3u * $rows + n, pastEnd);`,
    }),
    { bounds, segments, prefixes: prefixes ?? segments },
    { rows, count: segments.size - 1, shared: Number(prefixes !== null) },
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
