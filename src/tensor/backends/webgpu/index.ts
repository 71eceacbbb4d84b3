/**
 * @file The GPU backend: WGSL kernels through WebGPU, in a browser and, through Dawn, in Node.
 *
 * A method checks shapes and encodes one or a few dispatches; nothing is known to be done before
 * `read` or `sync`. Memory is the contract's stack over a few large buffers (memory.ts), kernels
 * are text completed for a shape class (kernel.ts), calls go out in few submissions (runner.ts).
 * One rank: a GPU is parallel inside.
 */
import type {
  AdamWOptions,
  AttentionOptions,
  Backend,
  CachedAttentionTables,
  GroupedKind,
  HostArray,
  Mark,
  MatmulOptions,
  MemoryUse,
  MuonOptions,
  Placement,
  PolicyLossOptions,
  Ranks,
  RouteOptions,
  Tensor,
} from '../../backend.js';
import { POLICY_METRICS } from '../../backend.js';
import { describeAdapter, requireAdapter } from './adapter.js';
import * as tiled from './attention.js';
import * as plain from './attention-plain.js';
import { type Context, type Features, THREADS } from './context.js';
import {
  featuresOf,
  openDevice,
  threadsLieInOrder,
  type WebGpuBackendOptions,
  webGpuFingerprint,
} from './device.js';
import * as elementwise from './elementwise.js';
import * as experts from './experts.js';
import type { GpuDevice } from './gpu.js';
import { Slabs, Stacks } from './memory.js';
import { muon } from './muon.js';
import * as norm from './norm.js';
import * as products from './products.js';
import { Runner } from './runner.js';
import {
  f32,
  f32OrFrozen,
  f32Strided,
  GpuTensor,
  i32,
  mismatch,
  mustFit,
  type Slab,
} from './tensor.js';
import * as vocabulary from './vocabulary.js';

export {
  type AdapterDescription,
  describeAdapter,
  findAdapter,
  findAdapters,
  INSTALL_HINT,
  openGpu,
  requireAdapter,
} from './adapter.js';
export {
  PRECISIONS,
  type Precision,
  type WebGpuBackendOptions,
  webGpuFingerprint,
} from './device.js';
export type { GpuAdapter } from './gpu.js';

/** @throws UserError when there is no WebGPU, no adapter, or no device */
export async function createWebGpuBackend(options: WebGpuBackendOptions = {}): Promise<Backend> {
  const adapter = options.adapter ?? (await requireAdapter());
  const features = featuresOf(adapter, options);
  const device = await openDevice(adapter, features);
  const fingerprint = webGpuFingerprint(adapter, options);
  const backend = new WebGpuBackend(
    device,
    describeAdapter(adapter).name,
    fingerprint,
    features,
    options.maxBytes,
  );
  await backend.settle();
  return backend;
}

/** One rank: there is nobody to wait for. */
const ONE_RANK: Ranks = {
  rank: 0,
  worldSize: 1,
  barrier: async () => {},
  sum: async (values) => [...values],
  reduce: (tensor) => void f32('ranks.reduce', tensor),
};

class WebGpuBackend implements Backend {
  readonly name = 'webgpu';
  readonly onHost = false;
  readonly ranks = ONE_RANK;
  private readonly slabs: Slabs;
  private readonly stacks: Stacks;
  private context: Context;
  private readonly runner: Runner;
  private readonly attentions: typeof tiled;
  /** Frozen matrices that are on the device already, by the numbers that they came from. */
  private readonly frozen = new WeakMap<Uint16Array, Slab>();

  constructor(
    device: GpuDevice,
    deviceName: string,
    readonly fingerprint: string,
    features: Features,
    maxBytes = Number.POSITIVE_INFINITY,
  ) {
    this.runner = new Runner(device, deviceName);
    this.attentions = features.plain ? plain : tiled;
    const largest = Math.min(
      device.limits.maxBufferSize,
      device.limits.maxStorageBufferBindingSize,
    );
    this.slabs = new Slabs(device, largest - (largest % 256), maxBytes);
    this.stacks = new Stacks(this.slabs);
    this.context = {
      runner: this.runner,
      features,
      withScratch: (numbers, body) => {
        const mark = this.mark();
        body(this.allocate('f32', [numbers]) as GpuTensor);
        this.release(mark);
      },
    };
  }

  /** Looks whether threads shuffle as the kernels want; otherwise they do without. */
  async settle(): Promise<void> {
    const { features } = this.context;
    if (features.subgroup === 0) return;
    const mark = this.mark();
    const out = this.allocate('i32', [THREADS]) as GpuTensor;
    const inOrder = await threadsLieInOrder(this.runner, out, features.subgroup);
    this.release(mark);
    if (!inOrder) this.context = { ...this.context, features: { ...features, subgroup: 0 } };
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────

  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement: Placement = 'local'): Tensor {
    let size = 1;
    for (const dimension of shape) size *= dimension;
    if (!Number.isInteger(size) || size < 0)
      throw new Error(`allocate: [${shape.join(', ')}] is no shape.`);
    const { slab, address } = this.stacks[placement].push(4 * size);
    return new GpuTensor(
      dtype,
      [...shape],
      shape.length === 0 ? 1 : shape[shape.length - 1],
      placement,
      slab,
      address / 4,
    );
  }

  mark(): Mark {
    return this.stacks.mark();
  }

  release(mark: Mark): void {
    this.stacks.release(mark);
  }

  memory(): MemoryUse {
    return this.stacks.use();
  }

  freeze(bits: Uint16Array, shape: readonly [number, number]): Tensor {
    if (bits.length !== shape[0] * shape[1])
      throw new Error(`freeze: ${bits.length} numbers for [${shape.join(', ')}].`);
    let slab = this.frozen.get(bits);
    if (!slab) {
      const bytes = Math.max(256, Math.ceil((2 * bits.length) / 256) * 256);
      slab = this.slabs.make(bytes, 'frozen');
      const even = bits.length - (bits.length % 2);
      this.runner.write(slab.buffer, 0, new Uint8Array(bits.buffer, bits.byteOffset, 2 * even));
      if (even < bits.length)
        this.runner.write(
          slab.buffer,
          2 * even,
          new Uint8Array(new Uint16Array([bits[even], 0]).buffer),
        );
      this.frozen.set(bits, slab);
    }
    return new GpuTensor('bf16', shape, shape[1], 'local', slab, 0);
  }

  view(tensor: Tensor, offset: number, shape: readonly number[], rowStride?: number): Tensor {
    const t = tensor as GpuTensor;
    const stride = rowStride ?? (shape.length === 0 ? 1 : shape[shape.length - 1]);
    const view = new GpuTensor(t.dtype, shape, stride, t.placement, t.slab, t.offset + offset);
    if (offset < 0 || (view.size > 0 && offset + view.extent > t.extent) || stride < view.columns) {
      throw mismatch('view', `offset ${offset} does not fit`, { tensor, view });
    }
    return view;
  }

  write(tensor: Tensor, data: HostArray | readonly number[]): void {
    const t = tensor as GpuTensor;
    if (t.dtype === 'bf16' || !t.contiguous || data.length > t.size) {
      throw mismatch('write', `${data.length} numbers do not fit`, { tensor });
    }
    const Type = t.dtype === 'f32' ? Float32Array : Int32Array;
    const typed = data instanceof Type ? data : Type.from(data as ArrayLike<number>);
    this.runner.write(
      t.slab.buffer,
      4 * t.offset,
      new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength),
    );
  }

  async read(tensor: Tensor): Promise<HostArray> {
    const t = tensor as GpuTensor;
    if (t.dtype === 'bf16' || !t.contiguous)
      throw mismatch('read', 'wants a contiguous f32 or i32 tensor', { tensor });
    const data =
      t.size === 0
        ? new ArrayBuffer(0)
        : await this.runner.read(t.slab.buffer, 4 * t.offset, 4 * t.size);
    return t.dtype === 'f32' ? new Float32Array(data) : new Int32Array(data);
  }

  sync(): Promise<void> {
    return this.runner.sync();
  }

  async close(): Promise<void> {
    this.slabs.destroy();
    this.runner.close();
  }

  // ── elementwise ────────────────────────────────────────────────────────────────────────────────

  fill(out: Tensor, value: number): void {
    const o = out as GpuTensor;
    if (o.dtype === 'bf16' || !o.contiguous)
      throw mismatch('fill', 'wants a contiguous f32 or i32 tensor', { out });
    elementwise.fill(this.context, o, value);
  }

  copy(out: Tensor, a: Tensor): void {
    const [o, x] = [out as GpuTensor, a as GpuTensor];
    if (o.dtype !== x.dtype || o.dtype === 'bf16')
      throw mismatch('copy', 'kinds of numbers differ', { out, a });
    mustFit('copy', sameShape(o, x), { out, a });
    elementwise.copy(this.context, o, x);
  }

  add(out: Tensor, a: Tensor, b: Tensor): void {
    const [o, x, y] = [f32('add', out), f32('add', a), f32('add', b)];
    mustFit('add', o.size === x.size && o.size === y.size, { out, a, b });
    elementwise.add(this.context, o, x, y);
  }

  scale(out: Tensor, a: Tensor, scale: number, accumulate: boolean): void {
    const [o, x] = [f32Strided('scale', out), f32Strided('scale', a)];
    mustFit('scale', sameShape(o, x), { out, a });
    elementwise.scale(this.context, o, x, scale, accumulate);
  }

  scaleBy(out: Tensor, a: Tensor, s: Tensor): void {
    const [o, x, factor] = [f32('scaleBy', out), f32('scaleBy', a), f32('scaleBy', s)];
    mustFit('scaleBy', o.size === x.size && factor.size === 1, { out, a, s });
    elementwise.scaleBy(this.context, o, x, factor);
  }

  // ── matrix products ────────────────────────────────────────────────────────────────────────────

  matmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void {
    const y = b.dtype === 'bf16' ? (b as GpuTensor) : f32Strided('matmul', b);
    products.matmul(this.context, f32Strided('matmul', out), f32Strided('matmul', a), y, options);
  }

  batchedMatmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void {
    const method = 'batchedMatmul';
    products.batchedMatmul(this.context, f32(method, out), f32(method, a), f32(method, b), options);
  }

  groupedMatmul(
    out: Tensor,
    a: Tensor,
    b: Tensor,
    offsets: Tensor,
    kind: GroupedKind,
    accumulate: boolean,
  ): void {
    const method = 'groupedMatmul';
    const [o, x, y, starts] = [
      f32(method, out),
      f32(method, a),
      f32(method, b),
      i32(method, offsets),
    ];
    products.groupedMatmul(this.context, o, x, y, starts, kind, accumulate);
  }

  // ── the decoder's operations ───────────────────────────────────────────────────────────────────

  rmsNorm(out: Tensor, inverseRms: Tensor, x: Tensor, weight: Tensor, epsilon: number): void {
    const method = 'rmsNorm';
    const [o, r, v, w] = [
      f32Strided(method, out),
      f32(method, inverseRms),
      f32Strided(method, x),
      f32(method, weight),
    ];
    mustFit(
      method,
      sameMatrix(o, v) && v.columns % w.size === 0 && r.size === (v.rows * v.columns) / w.size,
      {
        out,
        inverseRms,
        x,
        weight,
      },
    );
    norm.rmsNorm(this.context, o, r, v, w, epsilon);
  }

  rmsNormBackward(
    dx: Tensor | null,
    dWeight: Tensor | null,
    dOut: Tensor,
    x: Tensor,
    weight: Tensor,
    inverseRms: Tensor,
    accumulate: { dx: boolean; dWeight: boolean },
  ): void {
    const method = 'rmsNormBackward';
    const [gx, gw] = [dx && f32Strided(method, dx), dWeight && f32(method, dWeight)];
    const [g, v, w, r] = [
      f32(method, dOut),
      f32Strided(method, x),
      f32(method, weight),
      f32(method, inverseRms),
    ];
    const right =
      sameMatrix(g, v) &&
      (!gx || sameMatrix(gx, v)) &&
      (!gw || gw.size === w.size) &&
      r.size * w.size === v.size;
    mustFit(method, right, { dx, dWeight, dOut, x, weight, inverseRms });
    norm.rmsNormBackward(this.context, gx, gw, g, v, w, r, accumulate);
  }

  rope(
    out: Tensor,
    x: Tensor,
    positions: Tensor,
    cosine: Tensor,
    sine: Tensor,
    options: { inverse: boolean; accumulate: boolean; interleaved?: boolean },
  ): void {
    const [o, v, p] = [f32Strided('rope', out), f32Strided('rope', x), i32('rope', positions)];
    const [c, s] = [f32('rope', cosine), f32('rope', sine)];
    const right =
      sameMatrix(o, v) &&
      (p.size === 0 ? v.rows === 0 : v.rows % p.size === 0) &&
      v.columns % (2 * c.columns) === 0;
    mustFit('rope', right && sameMatrix(c, s), { out, x, positions, cosine, sine });
    elementwise.rope(this.context, o, v, p, c, s, options);
  }

  swiglu(out: Tensor, gateUp: Tensor): void {
    const [o, g] = [f32('swiglu', out), f32('swiglu', gateUp)];
    mustFit('swiglu', g.rows === o.rows && g.columns === 2 * o.columns, { out, gateUp });
    elementwise.swiglu(this.context, o, g, this.part);
  }

  swigluBackward(dGateUp: Tensor, dOut: Tensor, gateUp: Tensor, accumulate: boolean): void {
    const method = 'swigluBackward';
    const [d, o, g] = [f32(method, dGateUp), f32(method, dOut), f32(method, gateUp)];
    mustFit(method, sameMatrix(d, g) && g.rows === o.rows && g.columns === 2 * o.columns, {
      dGateUp,
      dOut,
      gateUp,
    });
    elementwise.swigluBackward(this.context, d, o, g, accumulate, this.part);
  }

  embedding(out: Tensor, table: Tensor, ids: Tensor): void {
    this.gather('embedding', out, table, ids);
  }

  embeddingBackward(dTable: Tensor, dOut: Tensor, ids: Tensor, accumulate: boolean): void {
    const method = 'embeddingBackward';
    const [t, d, n] = [f32(method, dTable), f32(method, dOut), i32(method, ids)];
    mustFit(method, d.rows === n.size && d.columns === t.columns, { dTable, dOut, ids });
    if (!accumulate) elementwise.fill(this.context, t, 0);
    elementwise.embeddingBackward(this.context, t, d, n);
  }

  gatherRows(out: Tensor, a: Tensor, rows: Tensor): void {
    this.gather('gatherRows', out, a, rows);
  }

  private gather(method: string, out: Tensor, table: Tensor, ids: Tensor): void {
    const [o, t, n] = [f32(method, out), f32OrFrozen(method, table), i32(method, ids)];
    mustFit(method, o.rows === n.size && o.columns === t.columns, { out, table, ids });
    elementwise.gatherRows(this.context, o, t, n);
  }

  scatterRows(out: Tensor, a: Tensor, rows: Tensor, accumulate: boolean): void {
    const [o, v, n] = [
      f32('scatterRows', out),
      f32Strided('scatterRows', a),
      i32('scatterRows', rows),
    ];
    mustFit('scatterRows', v.rows === n.size && v.columns === o.columns, { out, a, rows });
    elementwise.scatterRows(this.context, o, v, n, accumulate);
  }

  // ── attention ──────────────────────────────────────────────────────────────────────────────────

  attention(
    out: Tensor,
    logSumExp: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    options: AttentionOptions,
  ): void {
    const method = 'attention';
    const [o, l, s] = [f32(method, out), f32(method, logSumExp), i32(method, segments)];
    const [tq, tk, tv] = [f32Strided(method, q), f32Strided(method, k), f32Strided(method, v)];
    mustFit(method, attentionFits(o, l, tq, tk, tv, s, options), {
      out,
      logSumExp,
      q,
      k,
      v,
      segments,
    });
    this.attentions.attention(this.context, o, l, tq, tk, tv, s, options);
  }

  attentionBackward(
    d: { q: Tensor; k: Tensor; v: Tensor },
    dOut: Tensor,
    out: Tensor,
    logSumExp: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    options: AttentionOptions,
    accumulate: { q: boolean; k: boolean; v: boolean },
  ): void {
    const method = 'attentionBackward';
    const [g, o, l, s] = [
      f32(method, dOut),
      f32(method, out),
      f32(method, logSumExp),
      i32(method, segments),
    ];
    const [tq, tk, tv] = [f32Strided(method, q), f32Strided(method, k), f32Strided(method, v)];
    const gradients = {
      q: f32Strided(method, d.q),
      k: f32Strided(method, d.k),
      v: f32Strided(method, d.v),
    };
    const right =
      attentionFits(o, l, tq, tk, tv, s, options) &&
      sameMatrix(g, o) &&
      sameMatrix(gradients.q, tq) &&
      sameMatrix(gradients.k, tk) &&
      sameMatrix(gradients.v, tv);
    mustFit(method, right, { dq: d.q, dk: d.k, dv: d.v, dOut, out, logSumExp, q, k, v, segments });
    this.attentions.attentionBackward(
      this.context,
      gradients,
      g,
      o,
      l,
      tq,
      tk,
      tv,
      s,
      options,
      accumulate,
    );
  }

  attentionCached(
    out: Tensor,
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: CachedAttentionTables,
    options: AttentionOptions,
  ): void {
    const method = 'attentionCached';
    const [o, tq, tk, tv] = [out, q, keys, values].map((t) => f32Strided(method, t));
    const { heads, kvHeads } = options;
    const four = {
      prefixStart: i32(method, tables.prefixStart),
      prefixLength: i32(method, tables.prefixLength),
      ownStart: i32(method, tables.ownStart),
      ownLength: i32(method, tables.ownLength),
    };
    const right =
      heads % kvHeads === 0 &&
      o.rows === tq.rows &&
      tq.columns * kvHeads === tk.columns * heads &&
      o.columns * kvHeads === tv.columns * heads &&
      Object.values(four).every((t) => t.size === tq.rows);
    mustFit(method, right, { out, q, keys, values, ...four });
    this.attentions.attentionCached(this.context, o, tq, tk, tv, four, options);
  }

  // ── latent attention and the mixture of experts ────────────────────────────────────────────────

  joinHeads(k: Tensor, v: Tensor, up: Tensor, shared: Tensor, heads: number): void {
    const method = 'joinHeads';
    const [tk, tv, tu, ts] = [
      f32(method, k),
      f32(method, v),
      f32(method, up),
      f32Strided(method, shared),
    ];
    mustFit(method, headsFit(tk, tv, tu, ts, heads), { k, v, up, shared });
    experts.joinHeads(this.context, tk, tv, tu, ts, heads);
  }

  joinHeadsBackward(
    dUp: Tensor,
    dShared: Tensor,
    dk: Tensor,
    dv: Tensor,
    heads: number,
    accumulate: { dUp: boolean; dShared: boolean },
  ): void {
    const method = 'joinHeadsBackward';
    const [tu, ts, tk, tv] = [
      f32(method, dUp),
      f32Strided(method, dShared),
      f32(method, dk),
      f32(method, dv),
    ];
    mustFit(method, headsFit(tk, tv, tu, ts, heads), { dUp, dShared, dk, dv });
    experts.joinHeadsBackward(this.context, tu, ts, tk, tv, heads, accumulate);
  }

  route(
    chosen: Tensor,
    weights: Tensor,
    scores: Tensor,
    logits: Tensor,
    bias: Tensor,
    options: RouteOptions,
  ): void {
    const [e, w, s, z, b] = [
      i32('route', chosen),
      f32('route', weights),
      f32('route', scores),
      f32('route', logits),
      f32('route', bias),
    ];
    const right =
      sameMatrix(s, z) &&
      b.size === z.columns &&
      e.size === w.size &&
      e.rows === z.rows &&
      z.columns % options.groups === 0;
    mustFit('route', right, { experts: chosen, weights, scores, logits, bias });
    experts.route(this.context, e, w, s, z, b, options);
  }

  routeBackward(
    dLogits: Tensor,
    dWeights: Tensor,
    chosen: Tensor,
    scores: Tensor,
    options: RouteOptions,
    accumulate: boolean,
  ): void {
    const method = 'routeBackward';
    const [d, w, e, s] = [
      f32(method, dLogits),
      f32(method, dWeights),
      i32(method, chosen),
      f32(method, scores),
    ];
    mustFit(method, sameMatrix(d, s) && w.size === e.size && e.rows === s.rows, {
      dLogits,
      dWeights,
      experts: chosen,
      scores,
    });
    experts.routeBackward(this.context, d, w, e, s, options, accumulate);
  }

  balanceLoss(
    dLogits: Tensor,
    loss: Tensor,
    scores: Tensor,
    chosen: Tensor,
    segments: Tensor,
    coefficient: number,
  ): void {
    const method = 'balanceLoss';
    const [d, l, s, e, cuts] = [
      f32(method, dLogits),
      f32(method, loss),
      f32(method, scores),
      i32(method, chosen),
      i32(method, segments),
    ];
    mustFit(method, sameMatrix(d, s) && l.size === 1 && e.rows === s.rows && cuts.size > 0, {
      dLogits,
      loss,
      scores,
      experts: chosen,
      segments,
    });
    experts.balanceLoss(this.context, d, l, s, e, cuts, coefficient);
  }

  sortByExpert(
    offsets: Tensor,
    tokens: Tensor,
    slots: Tensor,
    load: Tensor | null,
    chosen: Tensor,
  ): void {
    const method = 'sortByExpert';
    const [o, t, s, e] = [
      i32(method, offsets),
      i32(method, tokens),
      i32(method, slots),
      i32(method, chosen),
    ];
    const l = load && f32(method, load);
    mustFit(method, t.size === e.size && s.size === e.size && (!l || l.size === o.size - 1), {
      offsets,
      tokens,
      slots,
      load,
      experts: chosen,
    });
    experts.sortByExpert(this.context, o, t, s, l, e);
  }

  combineRows(
    out: Tensor,
    y: Tensor,
    slots: Tensor,
    weights: Tensor | null,
    accumulate: boolean,
  ): void {
    const method = 'combineRows';
    const [o, v, s] = [f32(method, out), f32(method, y), i32(method, slots)];
    const w = weights && f32(method, weights);
    mustFit(method, o.columns === v.columns && (!w || w.size === s.size), {
      out,
      y,
      slots,
      weights,
    });
    experts.combineRows(this.context, o, v, s, w, accumulate);
  }

  combineRowsBackward(
    dY: Tensor,
    dWeights: Tensor,
    dOut: Tensor,
    y: Tensor,
    slots: Tensor,
    weights: Tensor,
  ): void {
    const method = 'combineRowsBackward';
    const [g, gw, o, v] = [
      f32(method, dY),
      f32(method, dWeights),
      f32(method, dOut),
      f32(method, y),
    ];
    const [s, w] = [i32(method, slots), f32(method, weights)];
    mustFit(
      method,
      sameMatrix(g, v) && o.columns === v.columns && gw.size === s.size && w.size === s.size,
      {
        dY,
        dWeights,
        dOut,
        y,
        slots,
        weights,
      },
    );
    experts.combineRowsBackward(this.context, g, gw, o, v, s, w);
  }

  quantizeFp8(out: Tensor, a: Tensor, block: { rows: number; columns: number }): void {
    const [o, x] = [f32('quantizeFp8', out), f32('quantizeFp8', a)];
    mustFit('quantizeFp8', sameMatrix(o, x), { out, a });
    experts.quantizeFp8(this.context, o, x, block);
  }

  // ── the vocabulary ─────────────────────────────────────────────────────────────────────────────

  tokenLogProbabilities(
    logProbabilities: Tensor,
    entropy: Tensor,
    logSumExp: Tensor,
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    temperature: number,
  ): void {
    const method = 'tokenLogProbabilities';
    const out = {
      logProbabilities: f32(method, logProbabilities),
      entropy: f32(method, entropy),
      logSumExp: f32(method, logSumExp),
    };
    const [x, w, t] = [f32(method, hidden), f32OrFrozen(method, head), i32(method, targets)];
    const right =
      x.columns === w.columns &&
      t.size === x.rows &&
      Object.values(out).every((y) => y.size === x.rows);
    mustFit(method, right, { ...out, hidden, head, targets });
    vocabulary.tokenLogProbabilities(this.context, this.part, out, x, w, t, temperature);
  }

  tokenLogProbabilitiesBackward(
    dHidden: Tensor | null,
    dHead: Tensor | null,
    dLogProbabilities: Tensor,
    logSumExp: Tensor,
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    temperature: number,
    accumulate: { dHidden: boolean; dHead: boolean },
  ): void {
    const method = 'tokenLogProbabilitiesBackward';
    const [gx, gw] = [dHidden && f32(method, dHidden), dHead && f32(method, dHead)];
    const [g, l, x, w, t] = [
      f32(method, dLogProbabilities),
      f32(method, logSumExp),
      f32(method, hidden),
      f32OrFrozen(method, head),
      i32(method, targets),
    ];
    const right =
      x.columns === w.columns &&
      [t, g, l].every((y) => y.size === x.rows) &&
      (!gx || sameMatrix(gx, x)) &&
      (!gw || sameMatrix(gw, w));
    mustFit(method, right, { dHidden, dHead, dLogProbabilities, logSumExp, hidden, head, targets });
    if (gw && x.rows === 0 && !accumulate.dHead) elementwise.fill(this.context, gw, 0);
    vocabulary.tokenLogProbabilitiesBackward(
      this.context,
      this.part,
      gx,
      gw,
      g,
      l,
      x,
      w,
      t,
      temperature,
      accumulate,
    );
  }

  sample(
    ids: Tensor,
    logProbabilities: Tensor,
    logits: Tensor,
    uniforms: Tensor,
    temperature: number,
  ): void {
    const [n, p, z, u] = [
      i32('sample', ids),
      f32('sample', logProbabilities),
      f32('sample', logits),
      f32('sample', uniforms),
    ];
    mustFit(
      'sample',
      [n, p, u].every((t) => t.size === z.rows),
      { ids, logProbabilities, logits, uniforms },
    );
    vocabulary.sample(this.context, n, p, z, u, temperature);
  }

  // ── losses ─────────────────────────────────────────────────────────────────────────────────────

  crossEntropyLoss(
    dLogProbabilities: Tensor,
    loss: Tensor,
    logProbabilities: Tensor,
    weights: Tensor,
  ): void {
    const method = 'crossEntropyLoss';
    const [d, l, p, w] = [
      f32(method, dLogProbabilities),
      f32(method, loss),
      f32(method, logProbabilities),
      f32(method, weights),
    ];
    mustFit(method, d.size === p.size && w.size === p.size && l.size === 1, {
      dLogProbabilities,
      loss,
      logProbabilities,
      weights,
    });
    vocabulary.crossEntropyLoss(this.context, d, l, p, w);
  }

  policyLoss(
    dLogProbabilities: Tensor,
    metrics: Tensor,
    logProbabilities: Tensor,
    old: Tensor,
    reference: Tensor | null,
    advantages: Tensor,
    weights: Tensor,
    options: PolicyLossOptions,
  ): void {
    const method = 'policyLoss';
    const [d, m, p, o] = [
      f32(method, dLogProbabilities),
      f32(method, metrics),
      f32(method, logProbabilities),
      f32(method, old),
    ];
    const [r, a, w] = [
      reference && f32(method, reference),
      f32(method, advantages),
      f32(method, weights),
    ];
    const right =
      [d, o, a, w, ...(r ? [r] : [])].every((t) => t.size === p.size) &&
      m.size === POLICY_METRICS.length;
    mustFit(method, right && (r !== null || options.klCoefficient === 0), {
      dLogProbabilities,
      metrics,
      logProbabilities,
      old,
      reference,
      advantages,
      weights,
    });
    vocabulary.policyLoss(this.context, d, m, p, o, r, a, w, options);
  }

  // ── optimizers ─────────────────────────────────────────────────────────────────────────────────

  sumSquares(out: Tensor, x: Tensor, accumulate: boolean): void {
    norm.sumSquares(this.context, f32('sumSquares', out), f32('sumSquares', x), accumulate);
  }

  clipScale(out: Tensor, sumSquares: Tensor, maxNorm: number): void {
    norm.clipScale(this.context, f32('clipScale', out), f32('clipScale', sumSquares), maxNorm);
  }

  inverseNorm(out: Tensor, sumSquares: Tensor, epsilon: number): void {
    norm.inverseNorm(
      this.context,
      f32('inverseNorm', out),
      f32('inverseNorm', sumSquares),
      epsilon,
    );
  }

  adamw(
    parameter: Tensor,
    firstMoment: Tensor,
    secondMoment: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: AdamWOptions,
  ): void {
    const [p, m, s, g, c] = [parameter, firstMoment, secondMoment, gradient, gradientScale].map(
      (t) => f32('adamw', t),
    );
    const right = m.size === p.size && s.size === p.size && g.size === p.size && c.size === 1;
    mustFit('adamw', right, { parameter, firstMoment, secondMoment, gradient, gradientScale });
    elementwise.adamw(this.context, p, m, s, g, c, options);
  }

  muon(
    parameter: Tensor,
    momentum: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: MuonOptions,
  ): void {
    const [p, m, g, s] = [parameter, momentum, gradient, gradientScale].map((t) => f32('muon', t));
    const right = p.shape.length >= 2 && m.size === p.size && g.size === p.size && s.size === 1;
    mustFit('muon', right, { parameter, momentum, gradient, gradientScale });
    const stack = [
      p.size / (p.shape[p.shape.length - 2] * p.columns) || 0,
      p.shape[p.shape.length - 2],
      p.columns,
    ];
    const [ps, ms, gs] = [p, m, g].map((t) => this.part(t, 0, stack));
    muon(this.context, ps, ms, gs, s, options, this.part);
  }

  /** A view that is known to fit. */
  private readonly part = (
    t: GpuTensor,
    offset: number,
    shape: readonly number[],
    rowStride?: number,
  ): GpuTensor =>
    new GpuTensor(
      t.dtype,
      shape,
      rowStride ?? shape[shape.length - 1],
      t.placement,
      t.slab,
      t.offset + offset,
    );
}

const sameMatrix = (a: GpuTensor, b: GpuTensor): boolean =>
  a.rows === b.rows && a.columns === b.columns;

/** Of one shape, or contiguous and of one size. */
const sameShape = (a: GpuTensor, b: GpuTensor): boolean =>
  sameMatrix(a, b) || (a.contiguous && b.contiguous && a.size === b.size);

function attentionFits(
  out: GpuTensor,
  logSumExp: GpuTensor,
  q: GpuTensor,
  k: GpuTensor,
  v: GpuTensor,
  segments: GpuTensor,
  { heads, kvHeads }: AttentionOptions,
): boolean {
  return (
    heads % kvHeads === 0 &&
    q.columns * kvHeads === k.columns * heads &&
    out.columns * kvHeads === v.columns * heads &&
    [k, v, out].every((t) => t.rows === q.rows) &&
    logSumExp.size === q.rows * heads &&
    segments.size > 0
  );
}

/** k [N, H·(dn + dr)], v [N, H·dv], up [N, H·(dn + dv)], shared [N, dr]. */
const headsFit = (
  k: GpuTensor,
  v: GpuTensor,
  up: GpuTensor,
  shared: GpuTensor,
  heads: number,
): boolean =>
  [v, up, shared].every((t) => t.rows === k.rows) &&
  k.columns + v.columns === up.columns + heads * shared.columns;
