/**
 * @file SwiGLU: silu(gate)·up with silu(g) = g·σ(g), and its derivative: d up = dy·silu(g),
 * d gate = dy·up·σ(g)·(1 + g·(1 − σ(g))).
 *
 * The tail of a row is done with the same vector code on one broadcast number, so that every column is rounded alike.
 */
import { exp4 } from './math';

// @ts-ignore: decorator
@inline
function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** gateUp [rows, 2·columns], out [rows, columns]. */
export function swiglu(out: usize, gateUp: usize, rows: i32, columns: i32): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  for (let i = 0; i < rows; i++) {
    const up = gateUp + bytes;
    let j: usize = 0;
    for (; j < end4; j += 16) {
      const g = v128.load(gateUp + j);
      v128.store(out + j, f32x4.mul(f32x4.mul(g, sigmoid4(g)), v128.load(up + j)));
    }
    for (; j < bytes; j += 4) {
      const g = v128.load32_splat(gateUp + j);
      v128.store32_lane(out + j, f32x4.mul(f32x4.mul(g, sigmoid4(g)), v128.load32_splat(up + j)), 0);
    }
    out += bytes;
    gateUp += bytes << 1;
  }
}

export function swigluBackward(dGateUp: usize, dOut: usize, gateUp: usize, rows: i32, columns: i32, accumulate: bool): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  const one = f32x4.splat(1);
  for (let i = 0; i < rows; i++) {
    const up = gateUp + bytes;
    const dUp = dGateUp + bytes;
    let j: usize = 0;
    for (; j < end4; j += 16) {
      const g = v128.load(gateUp + j);
      const dy = v128.load(dOut + j);
      const s = sigmoid4(g);
      const gs = f32x4.mul(g, s);
      let du = f32x4.mul(dy, gs);
      let dg = f32x4.mul(f32x4.mul(dy, v128.load(up + j)), f32x4.add(s, f32x4.mul(gs, f32x4.sub(one, s))));
      if (accumulate) {
        dg = f32x4.add(dg, v128.load(dGateUp + j));
        du = f32x4.add(du, v128.load(dUp + j));
      }
      v128.store(dGateUp + j, dg);
      v128.store(dUp + j, du);
    }
    for (; j < bytes; j += 4) {
      const g = v128.load32_splat(gateUp + j);
      const dy = v128.load32_splat(dOut + j);
      const s = sigmoid4(g);
      const gs = f32x4.mul(g, s);
      let du = f32x4.mul(dy, gs);
      let dg = f32x4.mul(f32x4.mul(dy, v128.load32_splat(up + j)), f32x4.add(s, f32x4.mul(gs, f32x4.sub(one, s))));
      if (accumulate) {
        dg = f32x4.add(dg, v128.load32_splat(dGateUp + j));
        du = f32x4.add(du, v128.load32_splat(dUp + j));
      }
      v128.store32_lane(dGateUp + j, dg, 0);
      v128.store32_lane(dUp + j, du, 0);
    }
    dOut += bytes;
    gateUp += bytes << 1;
    dGateUp += bytes << 1;
  }
}
