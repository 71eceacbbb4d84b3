/**
 * @file GeGLU with GELU's usual approximation: g·σ(2u)·up, 2u = SLOPE·(g + CUBE·g³), and its
 * derivative: d up = dy·g·σ, d gate = dy·up·(σ + g·σ·(1 − σ)·SLOPE·(1 + 3·CUBE·g²)).
 *
 * A row's e⁻²ᵘ goes to scratch first (math.ts says why). Products and sums round alike on
 * vectors and on single numbers.
 */
import { expRow } from './math';

/** 2·√(2/π). */
const SLOPE: f32 = 1.5957691216057308;
const CUBE: f32 = 0.044715;

/** to[j] = e^−2u of from[j]. */
function powersOf(to: usize, from: usize, columns: i32): void {
  const end = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  const one4 = f32x4.splat(1);
  const cube4 = f32x4.splat(CUBE);
  let j: usize = 0;
  for (; j < end4; j += 16) {
    const g = v128.load(from + j);
    v128.store(to + j, f32x4.mul(g, f32x4.add(one4, f32x4.mul(cube4, f32x4.mul(g, g)))));
  }
  for (; j < end; j += 4) {
    const g = load<f32>(from + j);
    store<f32>(to + j, g * (1 + CUBE * (g * g)));
  }
  expRow(to, to, columns, -SLOPE, 0, 1);
}

/** gateUp [rows, 2·columns], out [rows, columns]. */
export function geglu(out: usize, gateUp: usize, rows: i32, columns: i32): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  const one4 = f32x4.splat(1);
  for (let i = 0; i < rows; i++) {
    const up = gateUp + bytes;
    powersOf(out, gateUp, columns);
    let j: usize = 0;
    for (; j < end4; j += 16) {
      const gu = f32x4.mul(v128.load(gateUp + j), v128.load(up + j));
      v128.store(out + j, f32x4.div(gu, f32x4.add(one4, v128.load(out + j))));
    }
    for (; j < bytes; j += 4) {
      store<f32>(out + j, (load<f32>(gateUp + j) * load<f32>(up + j)) / (1 + load<f32>(out + j)));
    }
    out += bytes;
    gateUp += bytes << 1;
  }
}

/** `powers` is scratch for `columns` numbers. */
export function gegluBackward(
  dGateUp: usize,
  dOut: usize,
  gateUp: usize,
  rows: i32,
  columns: i32,
  accumulate: bool,
  powers: usize,
): void {
  const bytes = <usize>columns << 2;
  for (let i = 0; i < rows; i++) {
    const up = gateUp + bytes;
    const dUp = dGateUp + bytes;
    powersOf(powers, gateUp, columns);
    for (let j: usize = 0; j < bytes; j += 4) {
      const g = load<f32>(gateUp + j);
      const dy = load<f32>(dOut + j);
      const s: f32 = 1 / (1 + load<f32>(powers + j));
      const gs = g * s;
      const inner: f32 = SLOPE * (1 + 3 * CUBE * (g * g));
      let du = dy * gs;
      let dg = dy * load<f32>(up + j) * (s + gs * (1 - s) * inner);
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
