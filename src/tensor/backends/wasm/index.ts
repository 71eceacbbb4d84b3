/**
 * @file The CPU backend: SIMD kernels in WebAssembly over one memory that all ranks share, and our
 * machine code, or the system's BLAS, for matrix products.
 *
 * A method checks shapes and calls one kernel with addresses; it is done when it returns, so `sync`
 * has nothing to wait for.
 */
import { UserError } from '../../../base/errors.js';
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
  RouteOptions,
  Tensor,
} from '../../backend.js';
import { POLICY_METRICS } from '../../backend.js';
import { composeMuon } from '../../operations/muon.js';
import {
  ATTENTION_SCRATCH_BYTES,
  type AttentionContext,
  type AttentionForwardArguments,
  attentionBackward,
  attentionCached,
  attentionForward,
  type Strided,
} from './attention.js';
import { createGemm, GEMM_SCRATCH_BYTES, type Gemm, planGemm } from './gemm.js';
import { type IndependentRows, independentRows } from './independent-rows.js';
import type { KernelExports } from './kernels.js';
import type { Build, Kernels } from './load.js';
import {
  createWasmMemory,
  layoutOf,
  Stacks,
  type WasmMemory,
  type WasmMemoryOptions,
} from './memory.js';
import type { GemmChoice, Products } from './product-choice.js';
import { batchedMatmul, frozenRows, groupedMatmul, matmul } from './products.js';
import { WasmRanks } from './ranks.js';
import { f32, f32Strided, i32, mismatch, WasmTensor } from './tensor.js';
import { tokenLogProbabilities, tokenLogProbabilitiesBackward } from './vocabulary.js';

export { hasRelaxedSimd } from './features.js';
export type { Build, Kernels } from './load.js';
export { createWasmMemory, type WasmMemory, type WasmMemoryOptions } from './memory.js';
export type { GemmChoice, Products } from './product-choice.js';
export { productsOf } from './product-choice.js';
export { abortRanks } from './ranks.js';

export interface WasmBackendOptions extends WasmMemoryOptions {
  /**
   * The group's memory, from `createWasmMemory`; without it the backend makes its own, from the
   * sizes given here.
   */
  memory?: WasmMemory;
  /** Default 0. */
  rank?: number;
  /** Default `auto`: relaxed SIMD where the engine has it. */
  build?: Build;
  /** What may multiply matrices. Default `auto`. */
  products?: Products;
  /**
   * What the main thread found with `probeGemm`, so that all ranks compute alike; without it this
   * thread looks for itself.
   */
  choice?: GemmChoice;
  /** Compiled kernels, for hosts without files (a browser) or to spare workers the compilation. */
  kernels?: Kernels;
}

/**
 * Decides what multiplies matrices, by measurement. The main thread asks before any worker starts,
 * and tells them all.
 */
export async function probeGemm(
  options: Pick<WasmBackendOptions, 'products' | 'build' | 'kernels'> = {},
): Promise<GemmChoice> {
  const kernels = options.kernels ?? (await import('./load.js')).loadKernels(options.build);
  return planGemm(kernels, options.products);
}

/** @throws UserError when memory, kernels or options are not to be had. */
export async function createWasmBackend(options: WasmBackendOptions = {}): Promise<Backend> {
  const kernels = options.kernels ?? (await import('./load.js')).loadKernels(options.build);
  const memory = options.memory ?? createWasmMemory(options);
  const rank = options.rank ?? 0;
  if (!Number.isInteger(rank) || rank < 0 || rank >= memory.worldSize) {
    throw new UserError(
      'usage',
      `rank is ${rank}; it must be an integer from 0 to ${memory.worldSize - 1}.`,
    );
  }
  const abort = (): never => {
    throw new Error('A WASM kernel aborted.');
  };
  const { exports } = new WebAssembly.Instance(kernels.module, {
    env: { memory: memory.memory, abort },
  });
  const gemm = await createGemm({
    exports,
    memory: memory.memory,
    scratch: layoutOf(memory, rank).gemmScratch,
    scratchBytes: GEMM_SCRATCH_BYTES,
    products: options.products,
    relaxed: kernels.relaxed,
    choice: options.choice,
  });
  return new WasmBackend(memory, rank, exports, kernels, gemm);
}

const strided = (t: WasmTensor): Strided => ({ address: t.address, stride: t.rowStride });

/**
 * Checks the parts of latent attention's keys and values; sizes of a head's key, of its shared
 * part, and of its value.
 */
function headsOf(method: string, k: Tensor, v: Tensor, up: Tensor, shared: Tensor, heads: number) {
  const tk = f32(method, k);
  const tv = f32(method, v);
  const tu = f32(method, up);
  const ts = f32Strided(method, shared);
  const dr = ts.columns;
  const dn = tk.columns / heads - dr;
  const dv = tv.columns / heads;
  const { rows } = tu;
  if (
    !Number.isInteger(dn) ||
    !Number.isInteger(dv) ||
    dn < 0 ||
    tu.columns !== heads * (dn + dv) ||
    tk.rows !== rows ||
    tv.rows !== rows ||
    ts.rows !== rows
  ) {
    throw mismatch(method, `shapes do not fit ${heads} heads`, { k, v, up, shared });
  }
  return { address: { k: tk.address, v: tv.address, up: tu.address }, rows, dn, dr, dv };
}

class WasmBackend implements Backend {
  readonly name = 'wasm';
  readonly onHost = true;
  readonly fingerprint: string;
  readonly ranks: WasmRanks;
  readonly gemm: Gemm;
  readonly kernels: KernelExports;
  readonly memoryObject: WebAssembly.Memory;
  private readonly stacks: Stacks;
  private readonly attentionContext: AttentionContext;
  private readonly f32s: Float32Array;
  private readonly i32s: Int32Array;
  private readonly productContext;
  private readonly products: IndependentRows;
  private readonly vocabularyContext;
  private readonly withScratch: (bytes: number, body: (address: number) => void) => void;

  constructor(
    memory: WasmMemory,
    rank: number,
    exports: WebAssembly.Exports,
    kernels: Kernels,
    gemm: Gemm,
  ) {
    const layout = layoutOf(memory, rank);
    this.fingerprint = `wasm ${kernels.relaxed ? 'relaxed' : 'plain'} ${kernels.id}, ${gemm.name}`;
    this.ranks = new WasmRanks(memory, rank, exports);
    this.gemm = gemm;
    this.kernels = exports as unknown as KernelExports;
    this.memoryObject = memory.memory;
    this.stacks = new Stacks(memory, layout);
    this.f32s = new Float32Array(memory.memory.buffer);
    this.i32s = new Int32Array(memory.memory.buffer);
    this.attentionContext = {
      exports,
      memory: memory.memory,
      gemm,
      scratch: layout.attentionScratch,
      scratchBytes: ATTENTION_SCRATCH_BYTES,
    };
    this.withScratch = (bytes, body) => {
      const { local } = this.stacks;
      const { used } = local;
      const address = local.push(bytes);
      try {
        body(address);
      } finally {
        local.used = used;
      }
    };
    const { withScratch } = this;
    this.products = independentRows(gemm, memory.memory, withScratch);
    this.productContext = {
      gemm: this.products.gemm,
      memory: memory.memory,
      expandBf16: this.kernels.expandBf16,
      withScratch,
    };
    this.vocabularyContext = { ...this.productContext, kernels: this.kernels };
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────

  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement: Placement = 'local'): Tensor {
    let size = 1;
    for (const dimension of shape) size *= dimension;
    if (!Number.isInteger(size) || size < 0)
      throw new Error(`allocate: [${shape.join(', ')}] is no shape.`);
    const stack = placement === 'local' ? this.stacks.local : this.stacks.shared;
    const columns = shape.length === 0 ? 1 : shape[shape.length - 1];
    return new WasmTensor(dtype, shape, columns, placement, stack.push(size * 4));
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
    return new WasmTensor('bf16', shape, shape[1], 'local', 0, bits);
  }

  view(tensor: Tensor, offset: number, shape: readonly number[], rowStride?: number): Tensor {
    const t = tensor as WasmTensor;
    const columns = shape.length === 0 ? 1 : shape[shape.length - 1];
    const bits = t.bits ? t.bits.subarray(offset) : null;
    const view = new WasmTensor(
      t.dtype,
      shape,
      rowStride ?? columns,
      t.placement,
      bits ? 0 : t.address + 4 * offset,
      bits,
    );
    if (
      offset < 0 ||
      (view.size > 0 && offset + view.extent > t.extent) ||
      view.rowStride < columns
    ) {
      throw mismatch('view', `offset ${offset} does not fit`, { tensor, view });
    }
    return view;
  }

  write(tensor: Tensor, data: HostArray | readonly number[]): void {
    const t = tensor as WasmTensor;
    if (t.dtype === 'bf16' || !t.contiguous || data.length > t.size) {
      throw mismatch('write', `${data.length} numbers do not fit`, { tensor });
    }
    (t.dtype === 'f32' ? this.f32s : this.i32s).set(data, t.address / 4);
  }

  async read(tensor: Tensor): Promise<HostArray> {
    const t = tensor as WasmTensor;
    if (t.dtype === 'bf16' || !t.contiguous)
      throw mismatch('read', 'wants a contiguous f32 or i32 tensor', { tensor });
    const from = t.address / 4;
    return (t.dtype === 'f32' ? this.f32s : this.i32s).slice(from, from + t.size);
  }

  independentRows(on: boolean): void {
    this.products.switch(on);
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}

  // ── elementwise ────────────────────────────────────────────────────────────────────────────────

  fill(out: Tensor, value: number): void {
    const o = out as WasmTensor;
    if (o.dtype === 'bf16' || !o.contiguous)
      throw mismatch('fill', 'wants a contiguous f32 or i32 tensor', { out });
    if (o.dtype === 'f32') this.kernels.fill(o.address, o.size, value);
    else this.kernels.fillInteger(o.address, o.size, value);
  }

  copy(out: Tensor, a: Tensor): void {
    const o = out as WasmTensor;
    const x = a as WasmTensor;
    if (o.dtype !== x.dtype || o.dtype === 'bf16')
      throw mismatch('copy', 'kinds of numbers differ', { out, a });
    if (o.contiguous && x.contiguous && o.size === x.size) {
      this.kernels.copyRows(o.address, 0, x.address, 0, 1, o.size);
      return;
    }
    if (o.rows !== x.rows || o.columns !== x.columns)
      throw mismatch('copy', 'shapes differ', { out, a });
    this.kernels.copyRows(o.address, o.rowStride, x.address, x.rowStride, o.rows, o.columns);
  }

  add(out: Tensor, a: Tensor, b: Tensor): void {
    const o = f32('add', out);
    const x = f32('add', a);
    const y = f32('add', b);
    if (o.size !== x.size || o.size !== y.size)
      throw mismatch('add', 'shapes differ', { out, a, b });
    this.kernels.add(o.address, x.address, y.address, o.size);
  }

  scale(out: Tensor, a: Tensor, scale: number, accumulate: boolean): void {
    const o = f32Strided('scale', out);
    const x = f32Strided('scale', a);
    if (o.contiguous && x.contiguous && o.size === x.size) {
      this.kernels.scaleRows(o.address, 0, x.address, 0, 1, o.size, scale, accumulate);
      return;
    }
    if (o.rows !== x.rows || o.columns !== x.columns)
      throw mismatch('scale', 'shapes differ', { out, a });
    this.kernels.scaleRows(
      o.address,
      o.rowStride,
      x.address,
      x.rowStride,
      o.rows,
      o.columns,
      scale,
      accumulate,
    );
  }

  scaleBy(out: Tensor, a: Tensor, s: Tensor): void {
    const o = f32('scaleBy', out);
    const x = f32('scaleBy', a);
    const factor = f32('scaleBy', s);
    if (o.size !== x.size || factor.size !== 1)
      throw mismatch('scaleBy', 'shapes differ', { out, a, s });
    this.kernels.scaleRows(
      o.address,
      0,
      x.address,
      0,
      1,
      o.size,
      this.f32s[factor.address / 4],
      false,
    );
  }

  // ── matrix products ────────────────────────────────────────────────────────────────────────────

  matmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void {
    matmul(this.productContext, out, a, b, options);
  }

  batchedMatmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void {
    batchedMatmul(this.productContext, out, a, b, options);
  }

  groupedMatmul(
    out: Tensor,
    a: Tensor,
    b: Tensor,
    offsets: Tensor,
    kind: GroupedKind,
    accumulate: boolean,
  ): void {
    groupedMatmul(this.productContext, out, a, b, offsets, kind, accumulate);
  }

  // ── the decoder's operations ───────────────────────────────────────────────────────────────────

  rmsNorm(out: Tensor, inverseRms: Tensor, x: Tensor, weight: Tensor, epsilon: number): void {
    const o = f32Strided('rmsNorm', out);
    const v = f32Strided('rmsNorm', x);
    const r = f32('rmsNorm', inverseRms);
    const w = f32('rmsNorm', weight);
    const d = w.size;
    const blocks = d === 0 ? 0 : v.columns / d;
    if (
      o.rows !== v.rows ||
      o.columns !== v.columns ||
      !Number.isInteger(blocks) ||
      r.size !== v.rows * blocks
    ) {
      throw mismatch('rmsNorm', 'shapes do not fit', { out, inverseRms, x, weight });
    }
    this.kernels.rmsNorm(
      o.address,
      o.rowStride,
      r.address,
      v.address,
      v.rowStride,
      w.address,
      v.rows,
      blocks,
      d,
      epsilon,
    );
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
    const gx = dx && f32Strided(method, dx);
    const gw = dWeight && f32(method, dWeight);
    const g = f32(method, dOut);
    const v = f32Strided(method, x);
    const w = f32(method, weight);
    const r = f32(method, inverseRms);
    const d = w.size;
    const blocks = d === 0 ? 0 : v.columns / d;
    if (
      g.rows !== v.rows ||
      g.columns !== v.columns ||
      !Number.isInteger(blocks) ||
      r.size !== v.rows * blocks ||
      (gx && (gx.rows !== v.rows || gx.columns !== v.columns)) ||
      (gw && gw.size !== d)
    ) {
      throw mismatch(method, 'shapes do not fit', { dx, dWeight, dOut, x, weight, inverseRms });
    }
    if (gw && !accumulate.dWeight) this.kernels.fill(gw.address, d, 0);
    this.kernels.rmsNormBackward(
      gx ? gx.address : 0,
      gx ? gx.rowStride : 0,
      gw ? gw.address : 0,
      g.address,
      v.address,
      v.rowStride,
      w.address,
      r.address,
      v.rows,
      blocks,
      d,
      accumulate.dx,
    );
  }

  rope(
    out: Tensor,
    x: Tensor,
    positions: Tensor,
    cosine: Tensor,
    sine: Tensor,
    options: { inverse: boolean; accumulate: boolean; interleaved?: boolean },
  ): void {
    const o = f32Strided('rope', out);
    const v = f32Strided('rope', x);
    const p = i32('rope', positions);
    const c = f32('rope', cosine);
    const s = f32('rope', sine);
    const half = c.columns;
    const heads = half === 0 ? 0 : v.columns / (2 * half);
    const repeat = v.rows === 0 ? 1 : v.rows / p.size;
    if (
      o.rows !== v.rows ||
      o.columns !== v.columns ||
      !Number.isInteger(repeat) ||
      s.columns !== half ||
      s.rows !== c.rows ||
      !Number.isInteger(heads)
    ) {
      throw mismatch('rope', 'shapes do not fit', { out, x, positions, cosine, sine });
    }
    this.kernels.rope(
      o.address,
      o.rowStride,
      v.address,
      v.rowStride,
      p.address,
      c.address,
      s.address,
      v.rows,
      repeat,
      heads,
      half,
      options.inverse,
      options.accumulate,
      options.interleaved === true,
    );
  }

  swiglu(out: Tensor, gateUp: Tensor): void {
    const o = f32('swiglu', out);
    const g = f32('swiglu', gateUp);
    if (g.rows !== o.rows || g.columns !== 2 * o.columns)
      throw mismatch('swiglu', 'shapes do not fit', { out, gateUp });
    this.kernels.swiglu(o.address, g.address, o.rows, o.columns);
  }

  swigluBackward(dGateUp: Tensor, dOut: Tensor, gateUp: Tensor, accumulate: boolean): void {
    const d = f32('swigluBackward', dGateUp);
    const o = f32('swigluBackward', dOut);
    const g = f32('swigluBackward', gateUp);
    if (
      g.rows !== o.rows ||
      g.columns !== 2 * o.columns ||
      d.rows !== g.rows ||
      d.columns !== g.columns
    ) {
      throw mismatch('swigluBackward', 'shapes do not fit', { dGateUp, dOut, gateUp });
    }
    const { local } = this.stacks;
    const { used } = local;
    const powers = local.push(4 * o.columns);
    this.kernels.swigluBackward(
      d.address,
      o.address,
      g.address,
      o.rows,
      o.columns,
      accumulate,
      powers,
    );
    local.used = used;
  }

  embedding(out: Tensor, table: Tensor, ids: Tensor): void {
    if (table.dtype !== 'bf16') {
      this.gather('embedding', out, table, ids);
      return;
    }
    const o = f32('embedding', out);
    const n = i32('embedding', ids);
    const t = table as WasmTensor;
    if (o.rows !== n.size || o.columns !== t.columns)
      throw mismatch('embedding', 'shapes do not fit', { out, table, ids });
    frozenRows(
      this.productContext,
      o,
      t,
      this.i32s.subarray(n.address / 4, n.address / 4 + n.size),
    );
  }

  gatherRows(out: Tensor, a: Tensor, rows: Tensor): void {
    this.gather('gatherRows', out, a, rows);
  }

  private gather(method: string, out: Tensor, table: Tensor, ids: Tensor): void {
    const o = f32(method, out);
    const t = f32(method, table);
    const n = i32(method, ids);
    if (o.rows !== n.size || o.columns !== t.columns)
      throw mismatch(method, 'shapes do not fit', { out, table, ids });
    this.kernels.gatherRows(o.address, t.address, n.address, o.rows, o.columns);
  }

  embeddingBackward(dTable: Tensor, dOut: Tensor, ids: Tensor, accumulate: boolean): void {
    const t = f32('embeddingBackward', dTable);
    const d = f32('embeddingBackward', dOut);
    const n = i32('embeddingBackward', ids);
    if (d.rows !== n.size || d.columns !== t.columns)
      throw mismatch('embeddingBackward', 'shapes do not fit', { dTable, dOut, ids });
    if (!accumulate) this.kernels.fill(t.address, t.size, 0);
    this.kernels.scatterRows(t.address, d.address, d.columns, n.address, d.rows, d.columns, true);
  }

  scatterRows(out: Tensor, a: Tensor, rows: Tensor, accumulate: boolean): void {
    const o = f32('scatterRows', out);
    const v = f32Strided('scatterRows', a);
    const n = i32('scatterRows', rows);
    if (v.rows !== n.size || v.columns !== o.columns)
      throw mismatch('scatterRows', 'shapes do not fit', { out, a, rows });
    this.kernels.scatterRows(
      o.address,
      v.address,
      v.rowStride,
      n.address,
      v.rows,
      v.columns,
      accumulate,
    );
  }

  // ── attention ──────────────────────────────────────────────────────────────────────────────────

  /** Checks shapes and gathers what forward and derivative share. */
  private attentionArguments(
    method: string,
    out: Tensor,
    logSumExp: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    options: AttentionOptions,
  ): AttentionForwardArguments {
    const o = f32(method, out);
    const l = f32(method, logSumExp);
    const tq = f32Strided(method, q);
    const tk = f32Strided(method, k);
    const tv = f32Strided(method, v);
    const s = i32(method, segments);
    const { heads, kvHeads, scale } = options;
    const keyDim = tq.columns / heads;
    const valueDim = tv.columns / kvHeads;
    const rows = tq.rows;
    if (
      !Number.isInteger(keyDim) ||
      !Number.isInteger(valueDim) ||
      heads % kvHeads !== 0 ||
      tk.columns !== kvHeads * keyDim ||
      o.columns !== heads * valueDim ||
      tk.rows !== rows ||
      tv.rows !== rows ||
      o.rows !== rows ||
      l.size !== rows * heads ||
      s.size < 1 ||
      this.i32s[s.address / 4 + s.size - 1] !== rows
    ) {
      throw mismatch(method, `shapes do not fit ${heads} heads, ${kvHeads} kv heads`, {
        out,
        logSumExp,
        q,
        k,
        v,
        segments,
      });
    }
    return {
      heads,
      kvHeads,
      keyDim,
      valueDim,
      scale,
      out: strided(o),
      logSumExp: l.address,
      q: strided(tq),
      k: strided(tk),
      v: strided(tv),
      segments: s.address,
      sequences: s.size - 1,
    };
  }

  attention(
    out: Tensor,
    logSumExp: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    options: AttentionOptions,
  ): void {
    attentionForward(
      this.attentionContext,
      this.attentionArguments('attention', out, logSumExp, q, k, v, segments, options),
    );
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
    const forward = this.attentionArguments(method, out, logSumExp, q, k, v, segments, options);
    const g = f32(method, dOut);
    const dq = f32Strided(method, d.q);
    const dk = f32Strided(method, d.k);
    const dv = f32Strided(method, d.v);
    const like = (a: WasmTensor, b: Tensor): boolean =>
      a.rows === (b as WasmTensor).rows && a.columns === (b as WasmTensor).columns;
    if (!like(g, out) || !like(dq, q) || !like(dk, k) || !like(dv, v)) {
      throw mismatch(method, 'derivatives differ in shape', { dq, dk, dv, dOut, out, q, k, v });
    }
    attentionBackward(this.attentionContext, {
      ...forward,
      dOut: strided(g),
      dq: strided(dq),
      dk: strided(dk),
      dv: strided(dv),
      accumulate,
    });
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
    const o = f32Strided(method, out);
    const tq = f32Strided(method, q);
    const tk = f32Strided(method, keys);
    const tv = f32Strided(method, values);
    const prefixStart = i32(method, tables.prefixStart);
    const prefixLength = i32(method, tables.prefixLength);
    const ownStart = i32(method, tables.ownStart);
    const ownLength = i32(method, tables.ownLength);
    const { heads, kvHeads, scale } = options;
    const keyDim = tq.columns / heads;
    const valueDim = tv.columns / kvHeads;
    const batch = tq.rows;
    if (
      !Number.isInteger(keyDim) ||
      !Number.isInteger(valueDim) ||
      heads % kvHeads !== 0 ||
      tk.columns !== kvHeads * keyDim ||
      o.columns !== heads * valueDim ||
      o.rows !== batch ||
      tk.rows !== tv.rows ||
      prefixStart.size !== batch ||
      prefixLength.size !== batch ||
      ownStart.size !== batch ||
      ownLength.size !== batch
    ) {
      throw mismatch(method, `shapes do not fit ${heads} heads, ${kvHeads} kv heads`, {
        out,
        q,
        keys,
        values,
        ...tables,
      });
    }
    attentionCached(this.attentionContext, {
      heads,
      kvHeads,
      keyDim,
      valueDim,
      scale,
      out: strided(o),
      q: strided(tq),
      keys: strided(tk),
      values: strided(tv),
      prefixStart: prefixStart.address,
      prefixLength: prefixLength.address,
      ownStart: ownStart.address,
      ownLength: ownLength.address,
      batch,
    });
  }

  // ── latent attention and the mixture of experts ────────────────────────────────────────────────

  joinHeads(k: Tensor, v: Tensor, up: Tensor, shared: Tensor, heads: number): void {
    const { address, rows, dn, dr, dv } = headsOf('joinHeads', k, v, up, shared, heads);
    const s = f32Strided('joinHeads', shared);
    this.kernels.joinHeads(
      address.k,
      address.v,
      address.up,
      s.address,
      s.rowStride,
      rows,
      heads,
      dn,
      dr,
      dv,
    );
  }

  joinHeadsBackward(
    dUp: Tensor,
    dShared: Tensor,
    dk: Tensor,
    dv: Tensor,
    heads: number,
    accumulate: { dUp: boolean; dShared: boolean },
  ): void {
    const sizes = headsOf('joinHeadsBackward', dk, dv, dUp, dShared, heads);
    const { address, rows, dn, dr } = sizes;
    const s = f32Strided('joinHeadsBackward', dShared);
    this.kernels.joinHeadsBackward(
      address.up,
      s.address,
      s.rowStride,
      address.k,
      address.v,
      rows,
      heads,
      dn,
      dr,
      sizes.dv,
      accumulate.dUp,
      accumulate.dShared,
    );
  }

  route(
    experts: Tensor,
    weights: Tensor,
    scores: Tensor,
    logits: Tensor,
    bias: Tensor,
    options: RouteOptions,
  ): void {
    const e = i32('route', experts);
    const w = f32('route', weights);
    const s = f32('route', scores);
    const l = f32('route', logits);
    const b = f32('route', bias);
    const { groups, topGroups, normalize, scale } = options;
    if (
      e.rows !== l.rows ||
      w.size !== e.size ||
      s.size !== l.size ||
      b.size !== l.columns ||
      l.columns % groups !== 0 ||
      topGroups > groups ||
      e.columns > (topGroups * l.columns) / groups
    ) {
      throw mismatch('route', `shapes do not fit ${topGroups} of ${groups} groups`, {
        experts,
        weights,
        scores,
        logits,
        bias,
      });
    }
    this.withScratch(4 * (l.columns + groups), (scratch) =>
      this.kernels.route(
        e.address,
        w.address,
        s.address,
        l.address,
        b.address,
        l.rows,
        l.columns,
        e.columns,
        groups,
        topGroups,
        normalize,
        scale,
        scratch,
      ),
    );
  }

  routeBackward(
    dLogits: Tensor,
    dWeights: Tensor,
    experts: Tensor,
    scores: Tensor,
    options: RouteOptions,
    accumulate: boolean,
  ): void {
    const d = f32('routeBackward', dLogits);
    const w = f32('routeBackward', dWeights);
    const e = i32('routeBackward', experts);
    const s = f32('routeBackward', scores);
    if (d.size !== s.size || w.size !== e.size || e.rows !== s.rows) {
      throw mismatch('routeBackward', 'shapes do not fit', { dLogits, dWeights, experts, scores });
    }
    const { normalize, scale } = options;
    const [rows, width] = [s.rows, s.columns];
    this.kernels.routeBackward(
      d.address,
      w.address,
      e.address,
      s.address,
      rows,
      width,
      e.columns,
      normalize,
      scale,
      accumulate,
    );
  }

  balanceLoss(
    dLogits: Tensor,
    loss: Tensor,
    scores: Tensor,
    experts: Tensor,
    segments: Tensor,
    coefficient: number,
  ): void {
    const method = 'balanceLoss';
    const d = f32(method, dLogits);
    const o = f32(method, loss);
    const s = f32(method, scores);
    const e = i32(method, experts);
    const g = i32(method, segments);
    if (
      d.size !== s.size ||
      o.size !== 1 ||
      e.rows !== s.rows ||
      g.size < 1 ||
      this.i32s[g.address / 4 + g.size - 1] !== s.rows
    ) {
      throw mismatch(method, 'shapes do not fit', { dLogits, loss, scores, experts, segments });
    }
    this.withScratch(4 * s.columns, (shares) => {
      this.f32s[o.address / 4] += this.kernels.balanceLoss(
        d.address,
        s.address,
        e.address,
        g.address,
        g.size - 1,
        s.columns,
        e.columns,
        coefficient,
        shares,
      );
    });
  }

  sortByExpert(
    offsets: Tensor,
    tokens: Tensor,
    slots: Tensor,
    load: Tensor | null,
    experts: Tensor,
  ): void {
    const method = 'sortByExpert';
    const o = i32(method, offsets);
    const t = i32(method, tokens);
    const s = i32(method, slots);
    const l = load && f32(method, load);
    const e = i32(method, experts);
    if (o.size < 1 || t.size !== e.size || s.size !== e.size || (l && l.size !== o.size - 1)) {
      throw mismatch(method, 'shapes do not fit', { offsets, tokens, slots, load, experts });
    }
    const count = o.size - 1;
    this.withScratch(4 * count, (next) =>
      this.kernels.sortByExpert(
        o.address,
        t.address,
        s.address,
        l ? l.address : 0,
        e.address,
        e.size,
        count,
        e.columns,
        next,
      ),
    );
  }

  combineRows(
    out: Tensor,
    y: Tensor,
    slots: Tensor,
    weights: Tensor | null,
    accumulate: boolean,
  ): void {
    const o = f32('combineRows', out);
    const v = f32('combineRows', y);
    const s = i32('combineRows', slots);
    const w = weights && f32('combineRows', weights);
    if (
      s.rows !== o.rows ||
      v.columns !== o.columns ||
      v.rows !== s.size ||
      (w && w.size !== s.size)
    ) {
      throw mismatch('combineRows', 'shapes do not fit', { out, y, slots, weights });
    }
    const weightsAt = w ? w.address : 0;
    this.kernels.combineRows(
      o.address,
      v.address,
      s.address,
      weightsAt,
      o.rows,
      o.columns,
      s.columns,
      accumulate,
    );
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
    const d = f32(method, dY);
    const dw = f32(method, dWeights);
    const g = f32(method, dOut);
    const v = f32(method, y);
    const s = i32(method, slots);
    const w = f32(method, weights);
    const [rows, columns] = [g.rows, g.columns];
    if (
      d.size !== v.size ||
      v.columns !== columns ||
      v.rows !== s.size ||
      s.rows !== rows ||
      dw.size !== s.size ||
      w.size !== s.size
    ) {
      throw mismatch(method, 'shapes do not fit', { dY, dWeights, dOut, y, slots, weights });
    }
    this.kernels.combineRowsBackward(
      d.address,
      dw.address,
      g.address,
      v.address,
      s.address,
      w.address,
      rows,
      columns,
      s.columns,
    );
  }

  quantizeFp8(out: Tensor, a: Tensor, block: { rows: number; columns: number }): void {
    const o = f32('quantizeFp8', out);
    const v = f32('quantizeFp8', a);
    if (o.rows !== v.rows || o.columns !== v.columns)
      throw mismatch('quantizeFp8', 'shapes differ', { out, a });
    this.kernels.quantizeFp8(o.address, v.address, v.rows, v.columns, block.rows, block.columns);
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
    const context = this.vocabularyContext;
    tokenLogProbabilities(
      context,
      logProbabilities,
      entropy,
      logSumExp,
      hidden,
      head,
      targets,
      temperature,
    );
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
    const context = this.vocabularyContext;
    const wanted = accumulate;
    tokenLogProbabilitiesBackward(
      context,
      dHidden,
      dHead,
      dLogProbabilities,
      logSumExp,
      hidden,
      head,
      targets,
      temperature,
      wanted,
    );
  }

  sample(
    ids: Tensor,
    logProbabilities: Tensor,
    logits: Tensor,
    uniforms: Tensor,
    temperature: number,
  ): void {
    const n = i32('sample', ids);
    const p = f32('sample', logProbabilities);
    const l = f32('sample', logits);
    const u = f32('sample', uniforms);
    if (
      n.size !== l.rows ||
      p.size !== l.rows ||
      u.size !== l.rows ||
      (l.columns === 0 && l.rows > 0)
    ) {
      throw mismatch('sample', 'shapes do not fit', { ids, logProbabilities, logits, uniforms });
    }
    const { local } = this.stacks;
    const { used } = local;
    const powers = local.push(4 * l.columns);
    const inverse = temperature === 0 ? 0 : 1 / temperature;
    this.kernels.sample(
      n.address,
      p.address,
      l.address,
      u.address,
      l.rows,
      l.columns,
      inverse,
      powers,
    );
    local.used = used;
  }

  // ── losses ─────────────────────────────────────────────────────────────────────────────────────

  crossEntropyLoss(
    dLogProbabilities: Tensor,
    loss: Tensor,
    logProbabilities: Tensor,
    weights: Tensor,
  ): void {
    const d = f32('crossEntropyLoss', dLogProbabilities);
    const o = f32('crossEntropyLoss', loss);
    const p = f32('crossEntropyLoss', logProbabilities);
    const w = f32('crossEntropyLoss', weights);
    if (o.size !== 1 || d.size !== p.size || w.size !== p.size) {
      throw mismatch('crossEntropyLoss', 'shapes differ', {
        dLogProbabilities,
        loss,
        logProbabilities,
        weights,
      });
    }
    this.kernels.crossEntropyLoss(d.address, o.address, p.address, w.address, p.size);
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
    const d = f32(method, dLogProbabilities);
    const m = f32(method, metrics);
    const p = f32(method, logProbabilities);
    const o = f32(method, old);
    const r = reference && f32(method, reference);
    const a = f32(method, advantages);
    const w = f32(method, weights);
    const n = p.size;
    if (
      m.size !== POLICY_METRICS.length ||
      d.size !== n ||
      o.size !== n ||
      (r && r.size !== n) ||
      a.size !== n ||
      w.size !== n
    ) {
      throw mismatch(method, 'shapes differ', {
        dLogProbabilities,
        metrics,
        logProbabilities,
        old,
        reference,
        advantages,
        weights,
      });
    }
    if (!r && options.klCoefficient !== 0)
      throw new Error('policyLoss: klCoefficient is not 0, but there is no reference.');
    this.kernels.policyLoss(
      d.address,
      m.address,
      p.address,
      o.address,
      r ? r.address : 0,
      a.address,
      w.address,
      n,
      options.clipLow,
      options.clipHigh,
      options.klCoefficient,
    );
  }

  // ── optimizers ─────────────────────────────────────────────────────────────────────────────────

  sumSquares(out: Tensor, x: Tensor, accumulate: boolean): void {
    const o = f32('sumSquares', out);
    const v = f32('sumSquares', x);
    if (o.size !== 1) throw mismatch('sumSquares', 'wants out [1]', { out, x });
    const sum = this.kernels.sumSquares(v.address, v.size);
    this.f32s[o.address / 4] = accumulate ? this.f32s[o.address / 4] + sum : sum;
  }

  clipScale(out: Tensor, sumSquares: Tensor, maxNorm: number): void {
    const o = f32('clipScale', out);
    const s = f32('clipScale', sumSquares);
    if (o.size !== 1) throw mismatch('clipScale', 'wants out [1]', { out, sumSquares });
    let sum = 0;
    for (let i = 0; i < s.size; i++) sum += this.f32s[s.address / 4 + i];
    const scale =
      maxNorm === Infinity
        ? Number.isNaN(sum)
          ? Number.NaN
          : 1
        : Math.min(1, maxNorm / (Math.sqrt(sum) + 1e-6));
    this.f32s[o.address / 4] = scale;
  }

  inverseNorm(out: Tensor, sumSquares: Tensor, epsilon: number): void {
    const o = f32('inverseNorm', out);
    const s = f32('inverseNorm', sumSquares);
    if (o.size !== 1 || s.size !== 1)
      throw mismatch('inverseNorm', 'wants [1] and [1]', { out, sumSquares });
    this.f32s[o.address / 4] = 1 / (Math.sqrt(this.f32s[s.address / 4]) + epsilon);
  }

  adamw(
    parameter: Tensor,
    firstMoment: Tensor,
    secondMoment: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: AdamWOptions,
  ): void {
    const p = f32('adamw', parameter);
    const m = f32('adamw', firstMoment);
    const v = f32('adamw', secondMoment);
    const g = f32('adamw', gradient);
    const s = f32('adamw', gradientScale);
    if (m.size !== p.size || v.size !== p.size || g.size !== p.size || s.size !== 1) {
      throw mismatch('adamw', 'shapes differ', {
        parameter,
        firstMoment,
        secondMoment,
        gradient,
        gradientScale,
      });
    }
    const { lr, beta1, beta2, epsilon, weightDecay, step } = options;
    this.kernels.adamw(
      p.address,
      m.address,
      v.address,
      g.address,
      p.size,
      this.f32s[s.address / 4],
      beta1,
      1 - beta1,
      beta2,
      1 - beta2,
      1 - lr * weightDecay,
      lr / (1 - beta1 ** step),
      1 / Math.sqrt(1 - beta2 ** step),
      epsilon,
    );
  }

  muon(
    parameter: Tensor,
    momentum: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: MuonOptions,
  ): void {
    composeMuon(this, parameter, momentum, gradient, gradientScale, options);
  }
}
