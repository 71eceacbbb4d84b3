/** @file The text of the products of decoding. */
import type { KernelSource } from './kernel.js';
import { range } from './matmul-kernel.js';

/**
 * Few rows times a matrix stored by columns (decoding): 32 lanes share one column of the result,
 * each walks along its part of the inner dimension, and the lanes' sums are added in a tree.
 */
export function fewRowsSource(
  rows: number,
  accumulate: boolean,
  vector: boolean,
  bf16: boolean,
  reduce: string,
): KernelSource {
  const each = range(rows);
  const [ld, type, dot] = vector
    ? ['ldv', 4, (x: string, y: string) => `dot(${x}, ${y})`]
    : ['ld', 1, (x: string, y: string) => `${x} * ${y}`];
  return {
    operands: ['out', 'a', 'b'],
    parameters: {
      n: 'u32',
      k: 'u32',
      strideA: 'u32',
      strideB: 'u32',
      strideOut: 'u32',
      alpha: 'f32',
    },
    threads: 256,
    vector,
    bf16: bf16 ? ['b'] : [],
    declarations: reduce,
    body: `  let column = group * 8u + tid / 32u;
  let inside = column < $n;
${each.map((i) => `  var c${i} = 0.0;`).join('\n')}
  if (inside) {
    for (var kk = ${type}u * (tid % 32u); kk < $k; kk += ${32 * type}u) {
      let y = ${ld}_b(column * $strideB + kk);
${each.map((i) => `      c${i} += ${dot(`${ld}_a(${i}u * $strideA + kk)`, 'y')};`).join('\n')}
    }
  }
${each.map((i) => `  let s${i} = sum(c${i}, tid);`).join('\n')}
  if (inside && tid % 32u == 0u) {
${each
  .map(
    (i) =>
      `    st_out(${i}u * $strideOut + column, ${accumulate ? `ld_out(${i}u * $strideOut + column) + ` : ''}$alpha * s${i});`,
  )
  .join('\n')}
  }`,
  };
}
