/** @file Copies, sums, rows picked and put, rotations and gates: one thread an element, or four. */
import { CUBE, SLOPE } from '../../operations/geglu.js';
import { type Context, type On, pointwise, THREADS, type With } from './context.js';
import type { GpuTensor } from './tensor.js';

const bits = new DataView(new ArrayBuffer(4));

export function fill(
  context: Context,
  { out }: On<'fill'>,
  { value }: { readonly value: number },
): void {
  if (out.dtype === 'f32') bits.setFloat32(0, value);
  else bits.setInt32(0, value);
  pointwise(context, {
    name: 'fill',
    rows: out.rows,
    columns: out.columns,
    matrices: { out },
    parameters: { value: { type: 'u32', value: bits.getUint32(0) } },
    body: ({ put, type }) =>
      `  ${put}_out(at_out, ${type === 'f32' ? '$value' : 'vec4u($value)'});`,
  });
}

/** Bits are copied, whatever they mean. */
export function copy(context: Context, { out, a }: On<'copy'>): void {
  const flat = out.contiguous && a.contiguous;
  const rows = flat ? 1 : out.rows;
  const columns = flat ? out.size : out.columns;
  pointwise(context, {
    name: 'copy',
    rows,
    columns,
    matrices: { out, a },
    body: ({ raw, put }) => `  ${put}_out(at_out, ${raw}_a(at_a));`,
  });
}

export function add(context: Context, { out, a, b }: On<'add'>): void {
  pointwise(context, {
    name: 'add',
    rows: 1,
    columns: out.size,
    matrices: { out, a, b },
    body: ({ ld, st }) => `  ${st}_out(at_out, ${ld}_a(at_a) + ${ld}_b(at_b));`,
  });
}

export function scale(
  context: Context,
  { out, a }: On<'scale'>,
  { scale: factor, accumulate }: With<'scale'>,
): void {
  const flat = out.contiguous && a.contiguous;
  pointwise(context, {
    name: `scale ${accumulate ? 'accumulate' : ''}`,
    rows: flat ? 1 : out.rows,
    columns: flat ? out.size : out.columns,
    matrices: { out, a },
    parameters: { factor: { type: 'f32', value: factor } },
    body: ({ ld, st, scalar }) =>
      `  ${st}_out(at_out, ${accumulate ? `${ld}_out(at_out) + ` : ''}${scalar('$factor')} * ${ld}_a(at_a));`,
  });
}

export function scaleBy(context: Context, { out, a, s }: On<'scaleBy'>): void {
  pointwise(context, {
    name: 'scaleBy',
    rows: 1,
    columns: out.size,
    matrices: { out, a },
    others: { s },
    body: () => `  st_out(at_out, ld_a(at_a) * ld_s(0u));`,
  });
}

export function embedding(context: Context, { out, table, ids }: On<'embedding'>): void {
  gather(context, out, table, ids);
}

export function gatherRows(context: Context, { out, a, rows }: On<'gatherRows'>): void {
  gather(context, out, a, rows);
}

/** out[n] = a[rows[n]]; a may be a frozen table. */
function gather(context: Context, out: GpuTensor, a: GpuTensor, rows: GpuTensor): void {
  const frozen = a.bf16;
  pointwise(context, {
    name: `gatherRows ${a.dtype} ${frozen}`,
    rows: out.rows,
    columns: out.columns,
    matrices: { out },
    others: { a, rows },
    bf16: frozen ? ['a'] : [],
    body: () => {
      const at = 'u32(ldi_rows(row)) * $width + column';
      return frozen ? `  st_out(at_out, ld_a(${at}));` : `  put_out(at_out, raw_a(${at}));`;
    },
  });
}

/** out[rows[n]] = a[n] (or +=); rows are distinct. */
export function scatterRows(
  context: Context,
  { out, a, rows }: On<'scatterRows'>,
  { accumulate }: With<'scatterRows'>,
): void {
  pointwise(context, {
    name: `scatterRows ${accumulate ? 'accumulate' : ''}`,
    rows: a.rows,
    columns: a.columns,
    matrices: { a },
    others: { out, rows },
    body: () => `  let at_out = u32(ldi_rows(row)) * $width + column;
  st_out(at_out, ${accumulate ? 'ld_out(at_out) + ' : ''}ld_a(at_a));`,
  });
}

/**
 * dTable[ids[n]] += dOut[n], in the order of n. Each token looks for the next one with its id; then
 * the first with an id walks along the chain of all of them, a thread a column.
 */
export function embeddingBackward(
  context: Context,
  { dTable, dOut, ids }: On<'embeddingBackward'>,
  { accumulate }: With<'embeddingBackward'>,
): void {
  if (!accumulate) fill(context, { out: dTable }, { value: 0 });
  const tokens = ids.size;
  const { columns } = dTable;
  if (tokens * columns === 0) return;
  context.withScratch(tokens, (next) => {
    context.runner.run(
      'embeddingBackward, chains',
      () => ({
        operands: ['next', 'ids'],
        parameters: { tokens: 'u32' },
        threads: THREADS,
        // The number of the next token, `tokens` where there is none; the upper bit where there is
        // an earlier one.
        body: `  let n = group * ${THREADS}u + tid;
  if (n >= $tokens) { return; }
  let id = ldi_ids(n);
  var after = n + 1u;
  while (after < $tokens) { if (ldi_ids(after) == id) { break; } after++; }
  var before = n;
  while (before > 0u) { if (ldi_ids(before - 1u) == id) { break; } before--; }
  put_next(n, after | select(0u, 0x80000000u, before > 0u));`,
      }),
      { next, ids },
      { tokens },
      Math.ceil(tokens / THREADS),
    );
    pointwise(context, {
      name: 'embeddingBackward',
      rows: tokens,
      columns,
      matrices: { dOut },
      others: { dTable, next, ids },
      parameters: { tokens: { type: 'u32', value: tokens } },
      body: () => `  var n = raw_next(row);
  if (n >= 0x80000000u) { return; }
  let at = u32(ldi_ids(row)) * $width + column;
  var total = ld_dTable(at) + ld_dOut(at_dOut);
  while (n < $tokens) {
    total += ld_dOut(n * $width + column);
    n = raw_next(n) & 0x7fffffffu;
  }
  st_dTable(at, total);`,
    });
  });
}

/** `share` rows after each other have one position. */
export function rope(
  context: Context,
  { out, x, positions, cosine, sine }: On<'rope'>,
  { R, half, inverse, accumulate, interleaved }: With<'rope'>,
): void {
  const pairs = x.columns / 2;
  if (x.rows * pairs === 0) return;
  const put = (at: string, value: string): string =>
    `st_out(${at}, ${accumulate ? `ld_out(${at}) + ` : ''}${value});`;
  context.runner.run(
    `rope ${inverse} ${accumulate} ${interleaved}`,
    () => ({
      operands: ['out', 'x', 'positions', 'cosine', 'sine'],
      parameters: {
        count: 'u32',
        pairs: 'u32',
        half: 'u32',
        share: 'u32',
        outStride: 'u32',
        xStride: 'u32',
      },
      threads: THREADS,
      body: `  let item = group * ${THREADS}u + tid;
  if (item >= $count) { return; }
  let row = item / $pairs;
  let pair = item % $pairs;
  let i = pair % $half;
  let head = 2u * (pair - i);
  let one = head + ${interleaved ? '2u * i' : 'i'};
  let two = head + ${interleaved ? '2u * i + 1u' : 'i + $half'};
  let angle = u32(ldi_positions(row / $share)) * $half + i;
  let c = ld_cosine(angle);
  let s = ${inverse ? '-' : ''}ld_sine(angle);
  let first = ld_x(row * $xStride + one);
  let second = ld_x(row * $xStride + two);
  ${put('row * $outStride + one', 'c * first - s * second')}
  ${put('row * $outStride + two', 'c * second + s * first')}`,
    }),
    { out, x, positions, cosine, sine },
    {
      count: x.rows * pairs,
      pairs,
      half,
      share: R,
      outStride: out.rowStride,
      xStride: x.rowStride,
    },
    Math.ceil((x.rows * pairs) / THREADS),
  );
}

export function swiglu(context: Context, { out, gateUp }: On<'swiglu'>): void {
  const { rows, columns } = out;
  pointwise(context, {
    name: 'swiglu',
    rows,
    columns,
    matrices: {
      out,
      gate: gateUp.part(0, [rows, columns], 2 * columns),
      up: gateUp.part(columns, [rows, columns], 2 * columns),
    },
    body: ({ ld, st, type }) => `  let g = ${ld}_gate(at_gate);
  ${st}_out(at_out, g / (${type}(1.0) + exp(-g)) * ${ld}_up(at_up));`,
  });
}

export function swigluBackward(
  context: Context,
  { dGateUp, dOut, gateUp }: On<'swigluBackward'>,
  { accumulate }: With<'swigluBackward'>,
): void {
  const { rows, columns } = dOut;
  const half = (t: GpuTensor, from: number): GpuTensor =>
    t.part(from, [rows, columns], 2 * columns);
  pointwise(context, {
    name: `swigluBackward ${accumulate}`,
    rows,
    columns,
    matrices: {
      dGate: half(dGateUp, 0),
      dUp: half(dGateUp, columns),
      dOut,
      gate: half(gateUp, 0),
      up: half(gateUp, columns),
    },
    body: ({ ld, st, type }) => `  let g = ${ld}_gate(at_gate);
  let d = ${ld}_dOut(at_dOut);
  let sigma = ${type}(1.0) / (${type}(1.0) + exp(-g));
  let dg = d * ${ld}_up(at_up) * sigma * (${type}(1.0) + g * (${type}(1.0) - sigma));
  ${st}_dGate(at_dGate, ${accumulate ? `${ld}_dGate(at_dGate) + ` : ''}dg);
  ${st}_dUp(at_dUp, ${accumulate ? `${ld}_dUp(at_dUp) + ` : ''}d * g * sigma);`,
  });
}

/** σ(2u) of operations/geglu.ts. The exponent is kept where f32 has its power. */
const SHARE = (type: string): string =>
  `${type}(1.0) / (${type}(1.0) + exp(min(${type}(80.0), -${SLOPE} * g * (${type}(1.0) + ${CUBE} * g * g))))`;

export function geglu(context: Context, { out, gateUp }: On<'geglu'>): void {
  const { rows, columns } = out;
  pointwise(context, {
    name: 'geglu',
    rows,
    columns,
    matrices: {
      out,
      gate: gateUp.part(0, [rows, columns], 2 * columns),
      up: gateUp.part(columns, [rows, columns], 2 * columns),
    },
    body: ({ ld, st, type }) => `  let g = ${ld}_gate(at_gate);
  ${st}_out(at_out, g * ${SHARE(type)} * ${ld}_up(at_up));`,
  });
}

export function gegluBackward(
  context: Context,
  { dGateUp, dOut, gateUp }: On<'gegluBackward'>,
  { accumulate }: With<'gegluBackward'>,
): void {
  const { rows, columns } = dOut;
  const half = (t: GpuTensor, from: number): GpuTensor =>
    t.part(from, [rows, columns], 2 * columns);
  pointwise(context, {
    name: `gegluBackward ${accumulate}`,
    rows,
    columns,
    matrices: {
      dGate: half(dGateUp, 0),
      dUp: half(dGateUp, columns),
      dOut,
      gate: half(gateUp, 0),
      up: half(gateUp, columns),
    },
    body: ({ ld, st, type }) => `  let g = ${ld}_gate(at_gate);
  let d = ${ld}_dOut(at_dOut);
  let s = ${SHARE(type)};
  let inner = ${SLOPE} * (${type}(1.0) + ${3 * CUBE} * g * g);
  let dg = d * ${ld}_up(at_up) * (s + g * s * (${type}(1.0) - s) * inner);
  ${st}_dGate(at_dGate, ${accumulate ? `${ld}_dGate(at_dGate) + ` : ''}dg);
  ${st}_dUp(at_dUp, ${accumulate ? `${ld}_dUp(at_dUp) + ` : ''}d * g * s);`,
  });
}

/** In place; the corrections for starting at zero come from the host. */
export function adamw(
  context: Context,
  { parameter, firstMoment: first, secondMoment: second, gradient, gradientScale }: On<'adamw'>,
  { lr, beta1, beta2, epsilon, weightDecay, step }: With<'adamw'>,
): void {
  const count = parameter.size;
  if (count === 0) return;
  const tensors = { parameter, first, second, gradient };
  const vector = count % 4 === 0 && Object.values(tensors).every((t) => t.offset % 4 === 0);
  const [v, type] = vector ? ['v', 'vec4f'] : ['', 'f32'];
  context.runner.run(
    `adamw${vector ? ' vector' : ''}`,
    () => ({
      operands: ['parameter', 'first', 'second', 'gradient', 'scale'],
      parameters: {
        count: 'u32',
        beta1: 'f32',
        rest1: 'f32',
        beta2: 'f32',
        rest2: 'f32',
        epsilon: 'f32',
        keep: 'f32',
        stepSize: 'f32',
        correction2: 'f32',
      },
      threads: THREADS,
      vector,
      body: `  let i = ${vector ? '4u * ' : ''}(group * ${THREADS}u + tid);
  if (i >= $count) { return; }
  let g = ld${v}_gradient(i) * ld_scale(0u);
  let m = $beta1 * ld${v}_first(i) + $rest1 * g;
  let s = $beta2 * ld${v}_second(i) + $rest2 * g * g;
  st${v}_first(i, m);
  st${v}_second(i, s);
  st${v}_parameter(i, ld${v}_parameter(i) * $keep - $stepSize * m / (sqrt(s * $correction2) + ${type}($epsilon)));`,
    }),
    { ...tensors, scale: gradientScale },
    {
      count,
      beta1,
      rest1: 1 - beta1,
      beta2,
      rest2: 1 - beta2,
      epsilon,
      keep: 1 - lr * weightDecay,
      stepSize: lr / (1 - beta1 ** step),
      correction2: 1 / (1 - beta2 ** step),
    },
    Math.ceil(count / (vector ? 4 : 1) / THREADS),
  );
}
