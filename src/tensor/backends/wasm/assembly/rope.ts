/**
 * @file Rotary position embedding: (x₁, x₂) → (x₁·cos − x₂·sin, x₂·cos + x₁·sin), where x₂ lies
 * half a head after x₁, or right behind it (interleaved). Rotating back changes the sign of the
 * sine. `out` may be `x`: a pair is read before it is written.
 */
/**
 * half = d / 2. cosine and sine [positions, half]. `repeat` rows after each other share a position.
 */
export function rope(
  out: usize,
  outStride: i32,
  x: usize,
  xStride: i32,
  positions: usize,
  cosine: usize,
  sine: usize,
  rows: i32,
  repeat: i32,
  heads: i32,
  half: i32,
  inverse: bool,
  accumulate: bool,
  interleaved: bool,
): void {
  const bytes = <usize>half << 2;
  const sign: f32 = inverse ? -1 : 1;
  let left = repeat;
  for (let i = 0; i < rows; i++) {
    const table = <usize>load<i32>(positions) * bytes;
    if (--left == 0) {
      left = repeat;
      positions += 4;
    }
    const c = cosine + table;
    const s = sine + table;
    let p = x + ((<usize>i * <usize>xStride) << 2);
    let o = out + ((<usize>i * <usize>outStride) << 2);
    for (let h = 0; h < heads; h++) {
      if (interleaved) turnPairs(o, p, c, s, half, sign, accumulate);
      else turnHalves(o, p, c, s, bytes, sign, accumulate);
      p += bytes << 1;
      o += bytes << 1;
    }
  }
}

// @ts-ignore: decorator
@inline
function turnHalves(o: usize, p: usize, c: usize, s: usize, bytes: usize, sign: f32, accumulate: bool): void {
  const end4 = bytes & ~15;
  const sign4 = f32x4.splat(sign);
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
}

/** Two pairs at a time: y = x·(c, c) + swapped x·(−s, s). */
// @ts-ignore: decorator
@inline
function turnPairs(o: usize, p: usize, c: usize, s: usize, half: i32, sign: f32, accumulate: bool): void {
  const signs = f32x4(-sign, sign, -sign, sign);
  let i = 0;
  for (; i + 2 <= half; i += 2) {
    const cos2 = v128.load64_splat(c);
    const sin2 = v128.load64_splat(s);
    const cos = v128.shuffle<f32>(cos2, cos2, 0, 0, 1, 1);
    const sin = f32x4.mul(v128.shuffle<f32>(sin2, sin2, 0, 0, 1, 1), signs);
    const v = v128.load(p);
    let y = f32x4.add(f32x4.mul(v, cos), f32x4.mul(v128.shuffle<f32>(v, v, 1, 0, 3, 2), sin));
    if (accumulate) y = f32x4.add(y, v128.load(o));
    v128.store(o, y);
    c += 8;
    s += 8;
    p += 16;
    o += 16;
  }
  if (i < half) {
    const cos = load<f32>(c);
    const sin = load<f32>(s) * sign;
    const x1 = load<f32>(p);
    const x2 = load<f32>(p, 4);
    let y1 = x1 * cos - x2 * sin;
    let y2 = x2 * cos + x1 * sin;
    if (accumulate) {
      y1 += load<f32>(o);
      y2 += load<f32>(o, 4);
    }
    store<f32>(o, y1);
    store<f32>(o, y2, 4);
  }
}
