/**
 * @file SwiGLU: silu(gate)·up with silu(g) = g·σ(g), and its derivative: d up = dy·silu(g),
 * d gate = dy·up·σ(g)·(1 + g·(1 − σ(g))).
 *
 * A row's e⁻ᵍ goes to scratch first (math.ts says why). The tail of a row is done with the same
 * vector code on one broadcast number, so that every column is rounded alike.
 */
import { expRow } from './math';

/** gateUp [rows, 2·columns], out [rows, columns]. */
export function swiglu(out: usize, gateUp: usize, rows: i32, columns: i32): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  const one = f32x4.splat(1);
  for (let i = 0; i < rows; i++) {
    const up = gateUp + bytes;
    expRow(out, gateUp, columns, -1, 0, 1);
    let j: usize = 0;
    for (; j < end4; j += 16) {
      const gu = f32x4.mul(v128.load(gateUp + j), v128.load(up + j));
      v128.store(out + j, f32x4.div(gu, f32x4.add(one, v128.load(out + j))));
    }
    for (; j < bytes; j += 4) {
      store<f32>(out + j, (load<f32>(gateUp + j) * load<f32>(up + j)) / (1 + load<f32>(out + j)));
    }
    out += bytes;
    gateUp += bytes << 1;
  }
}

/** `powers` is scratch for `columns` numbers. */
export function swigluBackward(
  dGateUp: usize,
  dOut: usize,
  gateUp: usize,
  rows: i32,
  columns: i32,
  accumulate: bool,
  powers: usize,
): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  const one = f32x4.splat(1);
  for (let i = 0; i < rows; i++) {
    const up = gateUp + bytes;
    const dUp = dGateUp + bytes;
    expRow(powers, gateUp, columns, -1, 0, 1);
    let j: usize = 0;
    for (; j < end4; j += 16) {
      const g = v128.load(gateUp + j);
      const dy = v128.load(dOut + j);
      const s = f32x4.div(one, f32x4.add(one, v128.load(powers + j)));
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
      const g = load<f32>(gateUp + j);
      const dy = load<f32>(dOut + j);
      const s: f32 = 1 / (1 + load<f32>(powers + j));
      const gs = g * s;
      let du = dy * gs;
      let dg = dy * load<f32>(up + j) * (s + gs * (1 - s));
      if (accumulate) {
        dg += load<f32>(dGateUp + j);
        du += load<f32>(dUp + j);
      }
      store<f32>(dGateUp + j, dg);
      store<f32>(dUp + j, du);
    }
    dOut += bytes;
    gateUp += bytes << 1;
    dGateUp += bytes << 1;
  }
}
