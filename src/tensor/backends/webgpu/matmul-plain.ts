/**
 * @file The text of the matrix products without workgroup memory: each thread reads what it needs,
 * neighbouring threads neighbouring columns, and no barrier is met. See `Features.plain`.
 */
import type { KernelSource } from './kernel.js';
import {
  addendText,
  operandsOf,
  PARAMETERS,
  type ProductShape,
  range,
  TILES,
  walkText,
} from './matmul-kernel.js';

/**
 * Each thread alone: some rows, and of each some columns that lie as far apart as the group is
 * wide.
 */
export function plainSource(shape: ProductShape): KernelSource {
  const { walk, transposeA, transposeB, bf16 } = shape;
  const tile = TILES[shape.tile];
  const across = tile.columns / tile.threadColumns;
  const [rows, columns] = [range(tile.threadRows), range(tile.threadColumns)];
  const cells = rows.flatMap((i) => columns.map((j) => ({ i, j })));
  // What lies outside reads the last row or column again, and is not written.
  return {
    operands: operandsOf(shape),
    parameters: PARAMETERS,
    threads: across * (tile.rows / tile.threadRows),
    bf16: bf16 ? ['b'] : [],
    body: `${walkText(walk, tile, true)}
  let column = column0 + tid % ${across}u;
  let row = row0 + tid / ${across}u * ${tile.threadRows}u;
${rows.map((i) => `  var a${i} = baseA + min(row + ${i}u, rows - 1u)${transposeA ? ' + first * $strideA' : ' * $strideA + first'};`).join('\n')}
${columns.map((j) => `  var b${j} = baseB + min(column + ${j * across}u, $n - 1u)${transposeB ? ' * $strideB + first' : ' + first * $strideB'};`).join('\n')}
${cells.map(({ i, j }) => `  var c_${i}_${j} = 0.0;`).join('\n')}
  for (var kk = first; kk < end; kk++) {
${columns.map((j) => `    let y${j} = ld_b(b${j});\n    b${j} += ${transposeB ? '1u' : '$strideB'};`).join('\n')}
${rows
  .map(
    (i) => `    let x${i} = ld_a(a${i});
    a${i} += ${transposeA ? '$strideA' : '1u'};
${columns.map((j) => `    c_${i}_${j} += x${i} * y${j};`).join('\n')}`,
  )
  .join('\n')}
  }
${cells
  .map(
    ({ i, j }) => `  if (row + ${i}u < rows && column + ${j * across}u < $n) {
    let at = baseOut + (row + ${i}u) * $strideOut + column + ${j * across}u;
    st_out(at, ${addendText(shape, 'at')}$alpha * c_${i}_${j});
  }`,
  )
  .join('\n')}`,
  };
}
