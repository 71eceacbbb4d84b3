/**
 * @file Rows taken from a table, and rows added back to one. Indices are i32 and were checked on
 * the host.
 */

/** out[n] = table[ids[n]]. */
export function gatherRows(out: usize, table: usize, ids: usize, rows: i32, columns: i32): void {
  const bytes = <usize>columns << 2;
  for (let i = 0; i < rows; i++) {
    memory.copy(out, table + <usize>load<u32>(ids) * bytes, bytes);
    out += bytes;
    ids += 4;
  }
}

/** out[ids[n]] = a[n], or +=, in the order of n. */
export function scatterRows(
  out: usize,
  a: usize,
  aStride: i32,
  ids: usize,
  rows: i32,
  columns: i32,
  accumulate: bool,
): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  for (let i = 0; i < rows; i++) {
    const o = out + <usize>load<u32>(ids) * bytes;
    if (accumulate) {
      let j: usize = 0;
      for (; j < end4; j += 16) v128.store(o + j, f32x4.add(v128.load(o + j), v128.load(a + j)));
      for (; j < bytes; j += 4) store<f32>(o + j, load<f32>(o + j) + load<f32>(a + j));
    } else {
      memory.copy(o, a, bytes);
    }
    a += <usize>aStride << 2;
    ids += 4;
  }
}
