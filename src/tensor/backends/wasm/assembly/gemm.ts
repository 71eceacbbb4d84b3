/**
 * @file Matrix products.
 */

/** C[m,n] = alpha·op(A)·op(B) + beta·C, row-major; see gemm.ts for the contract. `scratch` is this thread's own. */
export function sgemm(
  transposeA: bool,
  transposeB: bool,
  m: i32,
  n: i32,
  k: i32,
  alpha: f32,
  a: usize,
  lda: i32,
  b: usize,
  ldb: i32,
  beta: f32,
  c: usize,
  ldc: i32,
  scratch: usize,
): void {
  const aRow: usize = transposeA ? 4 : (<usize>lda) << 2;
  const aInner: usize = transposeA ? (<usize>lda) << 2 : 4;
  const bColumn: usize = transposeB ? (<usize>ldb) << 2 : 4;
  const bInner: usize = transposeB ? 4 : (<usize>ldb) << 2;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum: f32 = 0;
      let pa = a + <usize>i * aRow;
      let pb = b + <usize>j * bColumn;
      for (let p = 0; p < k; p++) {
        sum += load<f32>(pa) * load<f32>(pb);
        pa += aInner;
        pb += bInner;
      }
      const out = c + ((<usize>i * <usize>ldc + <usize>j) << 2);
      store<f32>(out, beta == 0 ? alpha * sum : load<f32>(out) + alpha * sum);
    }
  }
}
