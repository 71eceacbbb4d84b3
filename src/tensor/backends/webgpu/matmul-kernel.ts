/**
 * @file The text of the matrix products: tiles in workgroup memory, a block of sums in each
 * thread's registers.
 *
 * A group makes one tile of the result. It walks along the inner dimension; each step puts a slice
 * of both operands into workgroup memory, four numbers of each row at a time, turned so that the
 * innermost loop reads four neighbouring rows or columns whatever way the operand is stored (Volkov
 * and Demmel 2008, "Benchmarking GPUs to tune dense linear algebra"). Batches, groups of rows
 * (mixture of experts), a split of the inner dimension, and frozen bf16 weights differ in where a
 * tile begins alone.
 *
 * Tiers: f32; f16 operands, whose products are added in f16 over one slice and in f32 from slice to
 * slice; and f16 operands through matrix units, which add in f32.
 */
import type { KernelSource } from './kernel.js';

export interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** Inner numbers a slice. */
  readonly slice: number;
  /** Rows and columns of a thread, multiples of four. */
  readonly threadRows: number;
  readonly threadColumns: number;
}

export const TILES = {
  large: { rows: 128, columns: 128, slice: 16, threadRows: 8, threadColumns: 8 },
  medium: { rows: 64, columns: 64, slice: 16, threadRows: 4, threadColumns: 4 },
  small: { rows: 32, columns: 32, slice: 16, threadRows: 4, threadColumns: 4 },
  matrix: { rows: 64, columns: 64, slice: 32, threadRows: 0, threadColumns: 0 },
  plain: { rows: 32, columns: 32, slice: 1, threadRows: 8, threadColumns: 4 },
  plainFew: { rows: 4, columns: 64, slice: 1, threadRows: 4, threadColumns: 1 },
} as const satisfies Record<string, Tile>;

export type TileName = keyof typeof TILES;

/**
 * `batch`: wid.z is a member; `split`: wid.z is a part of the inner dimension; `rows`: groups of
 * a's and out's rows; `inner`: groups of the inner dimension, wid.z is one.
 */
export type Walk = 'batch' | 'split' | 'rows' | 'inner';

export interface ProductShape {
  tile: TileName;
  walk: Walk;
  transposeA: boolean;
  transposeB: boolean;
  /**
   * What a product is added to: nothing, what `out` holds, or β times the operand `more`, which
   * lies as `out` does.
   */
  addend: 'none' | 'out' | 'more';
  vector: boolean;
  bf16: boolean;
  tier: 'f32' | 'f16' | 'matrix';
  /** Of the matrix units. */
  unit?: { m: number; n: number; k: number; subgroup: number };
}

export const nameOf = (s: ProductShape): string =>
  `matmul ${s.tile} ${s.walk} ${s.transposeA ? 'A' : 'a'}${s.transposeB ? 'B' : 'b'}${s.addend === 'none' ? '' : ` + ${s.addend}`}` +
  `${s.vector ? ' vector' : ''}${s.bf16 ? ' bf16' : ''} ${s.tier}`;

export function addendText({ addend }: ProductShape, at: string, load = 'ld'): string {
  return { none: '', out: `${load}_out(${at}) + `, more: `$beta * ${load}_more(${at}) + ` }[addend];
}

/** A 4×4 block of an operand: column j holds inner number j, over four rows of a (columns of b). */
function blockLoader(
  name: 'a' | 'b',
  alongInner: boolean,
  vector: boolean,
  scaled: string,
): string {
  const lines: string[] = [];
  for (let r = 0; r < 4; r++) {
    const [i, kk] = alongInner ? [`i + ${r}u`, 'kk'] : ['i', `kk + ${r}u`];
    const at = alongInner ? `base + (${i}) * stride + kk` : `base + (${kk}) * stride + i`;
    if (vector) lines.push(`  if (${i} < limit && ${kk} < end) { x[${r}] = ldv_${name}(${at}); }`);
    else {
      for (let c = 0; c < 4; c++) {
        const inside = alongInner
          ? `${i} < limit && kk + ${c}u < end`
          : `i + ${c}u < limit && ${kk} < end`;
        lines.push(`  if (${inside}) { x[${r}][${c}] = ld_${name}(${at} + ${c}u); }`);
      }
    }
  }
  const result = alongInner ? 'transpose(x)' : 'x';
  return `fn block_${name}(i: u32, kk: u32, base: u32, stride: u32, limit: u32, end: u32) -> mat4x4f {
  var x: mat4x4f;
${lines.join('\n')}
  return ${scaled}${result};
}`;
}

/**
 * Where a tile begins: row0, column0, rows, first, end (of the inner dimension), and the operands'
 * bases.
 * @param alone each thread looks for itself, and none waits
 */
export function walkText(walk: Walk, tile: Tile, alone: boolean): string {
  const place = alone ? '  var walk: array<u32, 3>;\n' : '';
  const ifFirst = alone ? '' : 'if (tid == 0u)';
  const found = (i: number): string => (alone ? `walk[${i}]` : `workgroupUniformLoad(&walk[${i}])`);
  const plain = `${walk === 'inner' ? place : ''}  let row0 = wid.y * ${tile.rows}u;
  let column0 = wid.x * ${tile.columns}u;
  let rows = $m;`;
  switch (walk) {
    case 'batch':
      return `${plain}
  let first = 0u;
  let end = $k;
  let baseA = wid.z * $batchA;
  let baseB = wid.z * $batchB;
  let baseOut = wid.z * $batchOut;`;
    case 'split':
      return `${plain}
  let first = wid.z * $part;
  let end = min($k, first + $part);
  let baseA = 0u;
  let baseB = 0u;
  let baseOut = wid.z * $batchOut;`;
    case 'inner':
      return `${plain}
  ${ifFirst} {
    walk[0] = u32(ldi_offsets(wid.z));
    walk[1] = u32(ldi_offsets(wid.z + 1u));
  }
  let first = ${found(0)};
  let end = ${found(1)};
  let baseA = 0u;
  let baseB = 0u;
  let baseOut = wid.z * $batchOut;`;
    case 'rows':
      // wid.y counts the tiles of all groups; the first thread finds the one that it falls into.
      return `${place}  ${ifFirst} {
    var left = wid.y;
    walk[0] = $groups;
    var begin = 0u;
    for (var g = 0u; g < $groups; g++) {
      let to = u32(ldi_offsets(g + 1u));
      let tiles = (to - begin + ${tile.rows - 1}u) / ${tile.rows}u;
      if (left < tiles) {
        walk[0] = g;
        walk[1] = begin + left * ${tile.rows}u;
        walk[2] = to;
        break;
      }
      left -= tiles;
      begin = to;
    }
  }
  let member = ${found(0)};
  if (member == $groups) { return; }
  let row0 = ${found(1)};
  let rows = ${found(2)};
  let column0 = wid.x * ${tile.columns}u;
  let first = 0u;
  let end = $k;
  let baseA = 0u;
  let baseB = member * $batchB;
  let baseOut = 0u;`;
  }
}

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** The sums in registers, and how they are written. */
function registerText(
  shape: ProductShape,
  tile: Tile,
): { threads: number; declarations: string; start: string; step: string; end: string } {
  const { vector, tier } = shape;
  const across = tile.columns / tile.threadColumns;
  const down = tile.rows / tile.threadRows;
  const threads = across * down;
  const type = tier === 'f16' ? 'vec4<f16>' : 'vec4f';
  const [aBlocks, bBlocks] = [tile.threadRows / 4, tile.threadColumns / 4];
  const [aWidth, bWidth] = [tile.rows / 4, tile.columns / 4];
  const cells = range(tile.threadRows).flatMap((i) => range(bBlocks).map((j) => ({ i, j })));
  const to = tier === 'f16' ? 'h' : 'c';
  const step = `    for (var kk = 0u; kk < ${tile.slice}u; kk++) {
${range(aBlocks)
  .map((q) => `      let a${q} = tileA[kk * ${aWidth}u + ty + ${(q * aWidth) / aBlocks}u];`)
  .join('\n')}
${range(bBlocks)
  .map((q) => `      let b${q} = tileB[kk * ${bWidth}u + tx + ${(q * bWidth) / bBlocks}u];`)
  .join('\n')}
${cells.map(({ i, j }) => `      ${to}_${i}_${j} += a${i >> 2}.${'xyzw'[i & 3]} * b${j};`).join('\n')}
    }`;
  const write = cells.map(({ i, j }) => {
    const row = `row0 + 4u * (ty + ${((i >> 2) * aWidth) / aBlocks}u) + ${i & 3}u`;
    const column = `column0 + 4u * (tx + ${(j * bWidth) / bBlocks}u)`;
    return `  put_block(${row}, ${column}, rows, baseOut, factor * c_${i}_${j});`;
  });
  const putBlock = vector
    ? `  if (column < $n) { stv_out(at, ${addendText(shape, 'at', 'ldv')}x); }`
    : range(4)
        .map(
          (c) =>
            `  if (column + ${c}u < $n) { st_out(at + ${c}u, ${addendText(shape, `at + ${c}u`)}x[${c}]); }`,
        )
        .join('\n');
  return {
    threads,
    declarations: `var<workgroup> tileA: array<${type}, ${(tile.slice * tile.rows) / 4}>;
var<workgroup> tileB: array<${type}, ${(tile.slice * tile.columns) / 4}>;
fn put_block(row: u32, column: u32, rows: u32, base: u32, x: vec4f) {
  if (row >= rows) { return; }
  let at = base + row * $strideOut + column;
${putBlock}
}
fn keep(index: u32, x: vec4f, first: bool) {
  if (first) { tileA[index] = ${type}(x); } else { tileB[index] = ${type}(x); }
}`,
    start: `  let tx = tid % ${across}u;
  let ty = tid / ${across}u;
${cells.map(({ i, j }) => `  var c_${i}_${j} = vec4f();`).join('\n')}`,
    step:
      tier === 'f16'
        ? `${cells.map(({ i, j }) => `    var h_${i}_${j} = vec4<f16>();`).join('\n')}
${step}
${cells.map(({ i, j }) => `    c_${i}_${j} += vec4f(h_${i}_${j});`).join('\n')}`
        : step,
    end: write.join('\n'),
  };
}

/** The sums in matrix units: four subgroups, each a quarter of the tile. */
function unitText(
  shape: ProductShape,
  tile: Tile,
): { threads: number; declarations: string; start: string; step: string; end: string } {
  const { unit } = shape;
  if (!unit) throw new Error('matrix units without a shape');
  const { m, n, k, subgroup } = unit;
  const threads = 4 * subgroup;
  const [halfRows, halfColumns] = [tile.rows / 2, tile.columns / 2];
  const [down, across] = [halfRows / m, halfColumns / n];
  const cells = range(down).flatMap((i) => range(across).map((j) => ({ i, j })));
  const left = `subgroup_matrix_left<f16, ${k}, ${m}>`;
  const right = `subgroup_matrix_right<f16, ${n}, ${k}>`;
  const steps = range(tile.slice / k).map((s) => {
    const lefts = range(down).map(
      (i) =>
        `    let a${s}_${i} = subgroupMatrixLoad<${left}, col_major>(&tileA, ${s * k * tile.rows}u + halfRow + ${i * m}u, ${tile.rows}u);`,
    );
    const rights = range(across).map(
      (j) =>
        `    let b${s}_${j} = subgroupMatrixLoad<${right}, row_major>(&tileB, ${s * k * tile.columns}u + halfColumn + ${j * n}u, ${tile.columns}u);`,
    );
    const sums = cells.map(
      ({ i, j }) =>
        `    c_${i}_${j} = subgroupMatrixMultiplyAccumulate(a${s}_${i}, b${s}_${j}, c_${i}_${j});`,
    );
    return [...lefts, ...rights, ...sums].join('\n');
  });
  return {
    threads,
    declarations: `var<workgroup> tileA: array<f16, ${tile.slice * tile.rows}>;
var<workgroup> tileB: array<f16, ${tile.slice * tile.columns}>;
var<workgroup> sums: array<f32, ${halfRows * halfColumns}>;
fn keep(index: u32, x: vec4f, first: bool) {
  let at = 4u * index;
  if (first) {
${range(4)
  .map((c) => `    tileA[at + ${c}u] = f16(x[${c}]);`)
  .join('\n')}
  } else {
${range(4)
  .map((c) => `    tileB[at + ${c}u] = f16(x[${c}]);`)
  .join('\n')}
  }
}`,
    start: `  let halfRow = (subgroup >> 1u) * ${halfRows}u;
  let halfColumn = (subgroup & 1u) * ${halfColumns}u;
${cells.map(({ i, j }) => `  var c_${i}_${j}: subgroup_matrix_result<f32, ${n}, ${m}>;`).join('\n')}`,
    step: steps.join('\n'),
    // A quarter after the other: workgroup memory is what limits how many groups a GPU holds at
    // once.
    end: `  for (var q = 0u; q < 4u; q++) {
    if (subgroup == q) {
${cells
  .map(
    ({ i, j }) =>
      `      subgroupMatrixStore<row_major>(&sums, ${i * m * halfColumns + j * n}u, c_${i}_${j}, ${halfColumns}u);`,
  )
  .join('\n')}
    }
    workgroupBarrier();
    for (var e = tid; e < ${halfRows * halfColumns}u; e += ${threads}u) {
      let row = row0 + (q >> 1u) * ${halfRows}u + e / ${halfColumns}u;
      let column = column0 + (q & 1u) * ${halfColumns}u + e % ${halfColumns}u;
      if (row < rows && column < $n) {
        let at = baseOut + row * $strideOut + column;
        st_out(at, ${addendText(shape, 'at')}factor * sums[e]);
      }
    }
    workgroupBarrier();
  }`,
  };
}

export const PARAMETERS = {
  m: 'u32',
  n: 'u32',
  k: 'u32',
  strideA: 'u32',
  strideB: 'u32',
  strideOut: 'u32',
  batchA: 'u32',
  batchB: 'u32',
  batchOut: 'u32',
  part: 'u32',
  groups: 'u32',
  alpha: 'f32',
  beta: 'f32',
} as const;

export const operandsOf = ({ walk, addend, tier }: ProductShape): string[] => [
  'out',
  'a',
  'b',
  ...(walk === 'rows' || walk === 'inner' ? ['offsets'] : []),
  ...(tier === 'f32' ? [] : ['scales']),
  ...(addend === 'more' ? ['more'] : []),
];

export function productSource(shape: ProductShape): KernelSource {
  const { walk, transposeA, transposeB, vector, bf16, tier } = shape;
  const tile = TILES[shape.tile];
  const { threads, declarations, start, step, end } =
    tier === 'matrix' ? unitText(shape, tile) : registerText(shape, tile);
  const half = tier !== 'f32';
  const [scaleA, scaleB] = half ? ['ld_scales(0u) * ', 'ld_scales(1u) * '] : ['', ''];
  const grouped = walk === 'rows' || walk === 'inner';
  // Neighbouring threads take neighbouring blocks along the direction in which the operand is
  // stored.
  const aBlocks = (tile.slice / 4) * (tile.rows / 4);
  const bBlocks = (tile.slice / 4) * (tile.columns / 4);
  const place = (alongInner: boolean, wide: number): string =>
    alongInner
      ? `let kb = b % ${tile.slice / 4}u; let ib = b / ${tile.slice / 4}u;`
      : `let ib = b % ${wide / 4}u; let kb = b / ${wide / 4}u;`;
  const store = (wide: number, first: boolean): string =>
    range(4)
      .map((r) => `        keep((4u * kb + ${r}u) * ${wide / 4}u + ib, x[${r}], ${first});`)
      .join('\n');
  return {
    operands: operandsOf(shape),
    parameters: PARAMETERS,
    threads,
    vector,
    bf16: bf16 ? ['b'] : [],
    enable:
      tier === 'matrix'
        ? ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix']
        : half
          ? ['f16']
          : [],
    declarations: `${declarations}
${blockLoader('a', !transposeA, vector, scaleA)}
${blockLoader('b', transposeB, vector, scaleB)}
${grouped ? 'var<workgroup> walk: array<u32, 3>;' : ''}`,
    body: `${walkText(walk, tile, false)}
  let factor = $alpha${half ? ' / (ld_scales(0u) * ld_scales(1u))' : ''};
${start}
  for (var k0 = first; k0 < end; k0 += ${tile.slice}u) {
    for (var block = tid; block < ${aBlocks + bBlocks}u; block += ${threads}u) {
      if (block < ${aBlocks}u) {
        let b = block;
        ${place(!transposeA, tile.rows)}
        let x = block_a(row0 + 4u * ib, k0 + 4u * kb, baseA, $strideA, rows, end);
${store(tile.rows, true)}
      } else {
        let b = block - ${aBlocks}u;
        ${place(transposeB, tile.columns)}
        let x = block_b(column0 + 4u * ib, k0 + 4u * kb, baseB, $strideB, $n, end);
${store(tile.columns, false)}
      }
    }
    workgroupBarrier();
${step}
    workgroupBarrier();
  }
${end}`,
  };
}
