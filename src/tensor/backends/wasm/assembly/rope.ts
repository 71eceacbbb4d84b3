/**
 * @file Rotary position embedding, rotate-half form: (x₁, x₂) → (x₁·cos − x₂·sin, x₂·cos + x₁·sin), where x₂ lies half a
 * head after x₁. Rotating back changes the sign of the sine.
 */

/** half = d / 2. cosine and sine [positions, half]. */
export function rope(
  out: usize,
  outStride: i32,
  x: usize,
  xStride: i32,
  positions: usize,
  cosine: usize,
  sine: usize,
  rows: i32,
  heads: i32,
  half: i32,
  inverse: bool,
  accumulate: bool,
): void {
  const bytes = <usize>half << 2;
  const end4 = <usize>(half & ~3) << 2;
  const sign: f32 = inverse ? -1 : 1;
  const sign4 = f32x4.splat(sign);
  for (let i = 0; i < rows; i++) {
    const table = <usize>load<i32>(positions + (<usize>i << 2)) * bytes;
    const c = cosine + table;
    const s = sine + table;
    let p = x + ((<usize>i * <usize>xStride) << 2);
    let o = out + ((<usize>i * <usize>outStride) << 2);
    for (let h = 0; h < heads; h++) {
      const p2 = p + bytes;
      const o2 = o + bytes;
      let j: usize = 0;
      for (; j < end4; j += 16) {
        const cos = v128.load(c + j);
        const sin = f32x4.mul(v128.load(s + j), sign4);
        const x1 = v128.load(p + j);
        const x2 = v128.load(p2 + j);
        let y1 = f32x4.sub(f32x4.mul(x1, cos), f32x4.mul(x2, sin));
        let y2 = f32x4.add(f32x4.mul(x2, cos), f32x4.mul(x1, sin));
        if (accumulate) {
          y1 = f32x4.add(y1, v128.load(o + j));
          y2 = f32x4.add(y2, v128.load(o2 + j));
        }
        v128.store(o + j, y1);
        v128.store(o2 + j, y2);
      }
      for (; j < bytes; j += 4) {
        const cos = load<f32>(c + j);
        const sin = load<f32>(s + j) * sign;
        const x1 = load<f32>(p + j);
        const x2 = load<f32>(p2 + j);
        let y1 = x1 * cos - x2 * sin;
        let y2 = x2 * cos + x1 * sin;
        if (accumulate) {
          y1 += load<f32>(o + j);
          y2 += load<f32>(o2 + j);
        }
        store<f32>(o + j, y1);
        store<f32>(o2 + j, y2);
      }
      p += bytes << 1;
      o += bytes << 1;
    }
  }
}
