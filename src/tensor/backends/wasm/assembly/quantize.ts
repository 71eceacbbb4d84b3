/**
 * @file E4M3 with one scale a block, emulated: see operations/quantize-fp8.ts.
 *
 * The step between E4M3 numbers near x is 2^(max(⌊log₂|x|⌋, −6) − 3), which is arithmetic on x's
 * exponent bits, and
 * `nearest` rounds ties to even: no table, no branch.
 */

// @ts-ignore: decorator
@inline
function toE4M3(x: v128): v128 {
  const exponent = i32x4.max_s(i32x4.shr_u(v128.and(x, i32x4.splat(0x7f800000)), 23), i32x4.splat(127 - 6));
  const step = i32x4.shl(i32x4.sub(exponent, i32x4.splat(3)), 23);
  return f32x4.mul(f32x4.nearest(f32x4.div(x, step)), step);
}

/** One row of a block. */
// @ts-ignore: decorator
@inline
function quantizeRow(out: usize, a: usize, n: i32, scale: f32): void {
  const end = a + (<usize>n << 2);
  const end4 = a + (<usize>(n & ~3) << 2);
  const scale4 = f32x4.splat(scale);
  const top = f32x4.splat(448);
  const bottom = f32x4.splat(-448);
  for (; a < end4; a += 16) {
    const x = f32x4.max(bottom, f32x4.min(top, f32x4.div(v128.load(a), scale4)));
    v128.store(out, f32x4.mul(toE4M3(x), scale4));
    out += 16;
  }
  for (; a < end; a += 4) {
    const x = f32x4.max(bottom, f32x4.min(top, f32x4.div(v128.load32_splat(a), scale4)));
    v128.store32_lane(out, f32x4.mul(toE4M3(x), scale4), 0);
    out += 4;
  }
}

export function quantizeFp8(out: usize, a: usize, rows: i32, columns: i32, blockRows: i32, blockColumns: i32): void {
  const stride = <usize>columns << 2;
  for (let top = 0; top < rows; top += blockRows) {
    const bottom = min(rows, top + blockRows);
    for (let left = 0; left < columns; left += blockColumns) {
      const width = min(blockColumns, columns - left);
      const start = <usize>left << 2;
      let largest: f32 = 0;
      for (let i = top; i < bottom; i++) {
        const row = a + <usize>i * stride + start;
        for (let j = 0; j < width; j++) largest = max(largest, abs(load<f32>(row + (<usize>j << 2))));
      }
      const scale: f32 = largest / 448;
      for (let i = top; i < bottom; i++) {
        const at = <usize>i * stride + start;
        if (scale == 0) memory.fill(out + at, 0, <usize>width << 2);
        else quantizeRow(out + at, a + at, width, scale);
      }
    }
  }
}
