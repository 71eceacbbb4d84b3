/**
 * @file Keys and values of latent attention, put together from their parts and taken apart again.
 * Pure moves of memory.
 */

/**
 * k [rows, heads·(dn + dr)], v [rows, heads·dv] from up [rows, heads·(dn + dv)] and shared [rows,
 * dr].
 */
export function joinHeads(
  k: usize,
  v: usize,
  up: usize,
  shared: usize,
  sharedStride: i32,
  rows: i32,
  heads: i32,
  dn: i32,
  dr: i32,
  dv: i32,
): void {
  const key = <usize>dn << 2;
  const part = <usize>dr << 2;
  const value = <usize>dv << 2;
  for (let n = 0; n < rows; n++) {
    for (let h = 0; h < heads; h++) {
      memory.copy(k, up, key);
      k += key;
      up += key;
      memory.copy(k, shared, part);
      k += part;
      memory.copy(v, up, value);
      v += value;
      up += value;
    }
    shared += <usize>sharedStride << 2;
  }
}

// @ts-ignore: decorator
@inline
function move(out: usize, a: usize, bytes: usize, accumulate: bool): void {
  if (!accumulate) {
    memory.copy(out, a, bytes);
    return;
  }
  let j: usize = 0;
  for (; j + 16 <= bytes; j += 16) v128.store(out + j, f32x4.add(v128.load(out + j), v128.load(a + j)));
  for (; j < bytes; j += 4) store<f32>(out + j, load<f32>(out + j) + load<f32>(a + j));
}

export function joinHeadsBackward(
  dUp: usize,
  dShared: usize,
  dSharedStride: i32,
  dk: usize,
  dvs: usize,
  rows: i32,
  heads: i32,
  dn: i32,
  dr: i32,
  dv: i32,
  addUp: bool,
  addShared: bool,
): void {
  const key = <usize>dn << 2;
  const part = <usize>dr << 2;
  const value = <usize>dv << 2;
  for (let n = 0; n < rows; n++) {
    if (heads == 0 && !addShared) memory.fill(dShared, 0, part);
    for (let h = 0; h < heads; h++) {
      move(dUp, dk, key, addUp);
      dUp += key;
      dk += key;
      move(dShared, dk, part, addShared || h > 0);
      dk += part;
      move(dUp, dvs, value, addUp);
      dUp += value;
      dvs += value;
    }
    dShared += <usize>dSharedStride << 2;
  }
}
