/**
 * @file What happens at the vocabulary: log-probabilities through chunks of logits, drawing a
 * token, and the losses.
 */
import { POLICY_METRICS } from '../../operations/losses.js';
import { type Context, lanesFor, type On, pointwise, THREADS, type With } from './context.js';
import { fill } from './elementwise.js';
import { reductions } from './kernel.js';
import { multiply } from './products.js';
import type { GpuTensor } from './tensor.js';

/** Logits that are held at once: 64 MB. */
const CHUNK = 1 << 24;

/** Calls `body` for chunks of rows with room for their logits. */
function chunks(
  context: Context,
  hidden: GpuTensor,
  head: GpuTensor,
  body: (from: number, rows: GpuTensor, logits: GpuTensor) => void,
): void {
  const [n, size] = [hidden.rows, head.rows];
  if (n === 0) return;
  const most = Math.max(1, Math.floor(CHUNK / size));
  const chunk = Math.min(n, most >= 64 ? most - (most % 64) : most);
  context.withScratch(chunk * size, (scratch) => {
    for (let from = 0; from < n; from += chunk) {
      const rows = Math.min(chunk, n - from);
      const part = hidden.part(from * hidden.rowStride, [rows, hidden.columns], hidden.rowStride);
      body(from, part, scratch.part(0, [rows, size]));
    }
  });
}

const FLOOR = '-3.4028234e38';

export function tokenLogProbabilities(
  context: Context,
  { hidden, head, targets, ...out }: On<'tokenLogProbabilities'>,
  { temperature }: With<'tokenLogProbabilities'>,
): void {
  chunks(context, hidden, head, (from, rows, logits) => {
    multiply(context, logits, rows, head, { transposeB: true, alpha: 1 / temperature });
    const lanes = lanesFor(head.rows, context.features);
    context.runner.run(
      `log-probabilities of a chunk ${lanes}`,
      () => ({
        operands: ['logProbabilities', 'entropy', 'logSumExp', 'logits', 'targets'],
        parameters: { from: 'u32', rows: 'u32', size: 'u32' },
        threads: THREADS,
        declarations: reductions(lanes, THREADS, context.features.subgroup),
        body: `  let block = group * ${THREADS / lanes}u + tid / ${lanes}u;
  let lane = tid % ${lanes}u;
  let inside = block < $rows;
  let end = select(0u, $size, inside);
  let row = block * $size;
  let n = $from + block;
  var most = ${FLOOR};
  for (var v = lane; v < end; v += ${lanes}u) { most = max(most, ld_logits(row + v)); }
  most = largest(most, tid);
  var total = 0.0;
  var weighted = 0.0;
  for (var v = lane; v < end; v += ${lanes}u) {
    let z = ld_logits(row + v) - most;
    let e = exp(z);
    total += e;
    weighted += e * z;
  }
  total = sum(total, tid);
  weighted = sum(weighted, tid);
  if (inside && lane == 0u) {
    let logTotal = log(total);
    st_logSumExp(n, most + logTotal);
    st_logProbabilities(n, ld_logits(row + u32(ldi_targets(n))) - most - logTotal);
    st_entropy(n, logTotal - weighted / total);
  }`,
      }),
      { ...out, logits, targets },
      { from, rows: rows.rows, size: head.rows },
      Math.ceil(rows.rows / (THREADS / lanes)),
    );
  });
}

export function tokenLogProbabilitiesBackward(
  context: Context,
  {
    dHidden,
    dHead,
    dLogProbabilities,
    logSumExp,
    hidden,
    head,
    targets,
  }: On<'tokenLogProbabilitiesBackward'>,
  { N, temperature, accumulate }: With<'tokenLogProbabilitiesBackward'>,
): void {
  if (dHead && N === 0 && !accumulate.dHead) fill(context, { out: dHead }, { value: 0 });
  chunks(context, hidden, head, (from, rows, logits) => {
    multiply(context, logits, rows, head, { transposeB: true, alpha: 1 / temperature });
    pointwise(context, {
      name: 'derivative of a chunk',
      rows: rows.rows,
      columns: head.rows,
      matrices: { logits },
      others: { d: dLogProbabilities, logSumExp, targets },
      parameters: {
        from: { type: 'u32', value: from },
        inverse: { type: 'f32', value: 1 / temperature },
      },
      body: () => `  let n = $from + row;
  let p = exp(ld_logits(at_logits) - ld_logSumExp(n));
  let hit = select(0.0, 1.0, u32(ldi_targets(n)) == column);
  st_logits(at_logits, ld_d(n) * (hit - p) * $inverse);`,
    });
    if (dHidden) {
      const part = dHidden.part(
        from * dHidden.rowStride,
        [rows.rows, dHidden.columns],
        dHidden.rowStride,
      );
      multiply(context, part, logits, head, { accumulate: accumulate.dHidden });
    }
    if (dHead)
      multiply(context, dHead, logits, rows, {
        transposeA: true,
        accumulate: accumulate.dHead || from > 0,
      });
  });
}

/**
 * Lanes share a row. Each owns a run of tokens: it adds up their probabilities, the sums are put
 * after each other in the order of the vocabulary, and the first lane finds the run that holds the
 * uniform and looks for the token in it.
 */
export function sample(
  context: Context,
  { ids, logProbabilities, logits, uniforms }: On<'sample'>,
  { temperature }: With<'sample'>,
): void {
  const { rows, columns } = logits;
  if (rows === 0) return;
  const { features } = context;
  const greedy = temperature === 0;
  const lanes = features.plain ? 1 : lanesFor(columns, features);
  const finish = `    let z = ld_logits(row + u32(id)) * $inverse;
    sti_ids(block, id);
    st_logProbabilities(block, z - most - log(total));`;
  const meet = lanes > 1 ? '  workgroupBarrier();' : '';
  const choose = greedy
    ? `  var found = 0x7fffffff;
  for (var v = first; v < end; v++) { if (ld_logits(row + v) == most) { found = i32(v); break; } }
  at[tid] = found;
${meet}
  if (inside && lane == 0u) {
    var id = 0x7fffffff;
    for (var t = 0u; t < ${lanes}u; t++) { id = min(id, at[tid + t]); }
    if (id == 0x7fffffff) { id = 0; }
${finish}
  }`
    : `  run[tid] = mine;
  at[tid] = last;
${meet}
  if (inside && lane == 0u) {
    // Where the sum rounds to less than the uniform, the last possible token is meant.
    let wanted = ld_uniforms(block) * total;
    var before = 0.0;
    var id = 0;
    for (var t = 0u; t < ${lanes}u; t++) {
      if (at[tid + t] < 0) { continue; }
      if (before + run[tid + t] > wanted) {
        var cumulative = before;
        for (var v = t * $part; v < min($size, t * $part + $part); v++) {
          let p = exp(ld_logits(row + v) * $inverse - most);
          if (p > 0.0) { id = i32(v); }
          cumulative += p;
          if (cumulative > wanted) { break; }
        }
        break;
      }
      before += run[tid + t];
      id = at[tid + t];
    }
${finish}
  }`;
  context.runner.run(
    `sample ${greedy} ${lanes}`,
    () => ({
      operands: ['ids', 'logProbabilities', 'logits', 'uniforms'].slice(0, greedy ? 3 : 4),
      parameters: { rows: 'u32', size: 'u32', part: 'u32', stride: 'u32', inverse: 'f32' },
      threads: THREADS,
      declarations: `${reductions(lanes, THREADS, features.subgroup)}
var<workgroup> run: array<f32, ${THREADS}>;
var<workgroup> at: array<i32, ${THREADS}>;`,
      body: `  let block = group * ${THREADS / lanes}u + tid / ${lanes}u;
  let lane = tid % ${lanes}u;
  let inside = block < $rows;
  let row = block * $stride;
  let first = min($size, lane * $part);
  let end = select(first, min($size, first + $part), inside);
  var most = ${FLOOR};
  for (var v = first; v < end; v++) { most = max(most, ld_logits(row + v) * $inverse); }
  most = largest(most, tid);
  var mine = 0.0;
  var last = -1;
  for (var v = first; v < end; v++) {
    let p = exp(ld_logits(row + v) * $inverse - most);
    if (p > 0.0) { last = i32(v); }
    mine += p;
  }
  let total = sum(mine, tid);
${choose}`,
    }),
    { ids, logProbabilities, logits, uniforms },
    {
      rows,
      size: columns,
      part: Math.ceil(columns / lanes),
      stride: logits.rowStride,
      inverse: greedy ? 1 : 1 / temperature,
    },
    Math.ceil(rows / (THREADS / lanes)),
  );
}

export function crossEntropyLoss(
  context: Context,
  { dLogProbabilities, loss, logProbabilities, weights }: On<'crossEntropyLoss'>,
): void {
  context.runner.run(
    'crossEntropyLoss',
    () => ({
      operands: ['d', 'loss', 'logProbabilities', 'weights'],
      parameters: { size: 'u32' },
      threads: THREADS,
      declarations: reductions(THREADS, THREADS, context.features.subgroup),
      body: `  var mine = 0.0;
  for (var n = tid; n < $size; n += ${THREADS}u) {
    let w = ld_weights(n);
    mine -= w * ld_logProbabilities(n);
    st_d(n, -w);
  }
  let total = sum(mine, tid);
  if (tid == 0u) { st_loss(0u, total); }`,
    }),
    { d: dLogProbabilities, loss, logProbabilities, weights },
    { size: logProbabilities.size },
    1,
  );
}

export function policyLoss(
  context: Context,
  {
    dLogProbabilities,
    metrics,
    logProbabilities: now,
    old,
    reference,
    advantages,
    weights,
  }: On<'policyLoss'>,
  { clipLow, clipHigh, klCoefficient }: With<'policyLoss'>,
): void {
  const names = POLICY_METRICS.map((_, i) => i);
  const tensors: Record<string, GpuTensor> = {
    d: dLogProbabilities,
    metrics,
    now,
    old,
    advantages,
    weights,
  };
  if (reference) tensors.reference = reference;
  context.runner.run(
    `policyLoss ${reference !== null}`,
    () => ({
      operands: Object.keys(tensors),
      parameters: { size: 'u32', low: 'f32', high: 'f32', beta: 'f32' },
      threads: THREADS,
      declarations: reductions(THREADS, THREADS, context.features.subgroup),
      body: `${names.map((i) => `  var s${i} = 0.0;`).join('\n')}
  for (var n = tid; n < $size; n += ${THREADS}u) {
    let logRatio = ld_now(n) - ld_old(n);
    let ratio = exp(logRatio);
    let w = ld_weights(n);
    let plain = ratio * ld_advantages(n);
    let bounded = min(max(ratio, $low), $high) * ld_advantages(n);
    let clipped = bounded < plain;
    var k3 = 0.0;
    var dk3 = 0.0;
${
  reference
    ? `    let difference = ld_reference(n) - ld_now(n);
    let e = exp(difference);
    k3 = e - difference - 1.0;
    dk3 = 1.0 - e;`
    : ''
}
    s0 += w * ($beta * k3 - select(plain, bounded, clipped));
    s1 += select(0.0, 1.0, clipped);
    s2 += w * k3;
    s3 += 1.0;
    s4 += abs(logRatio);
    st_d(n, w * ($beta * dk3 - select(plain, 0.0, clipped)));
  }
${names.map((i) => `  let t${i} = sum(s${i}, tid);`).join('\n')}
  if (tid == 0u) {
${names.map((i) => `    st_metrics(${i}u, t${i});`).join('\n')}
  }`,
    }),
    tensors,
    {
      size: now.size,
      low: 1 - clipLow,
      high: 1 + clipHigh,
      beta: klCoefficient,
    },
    1,
  );
}
