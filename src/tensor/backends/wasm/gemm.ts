/**
 * @file Single-precision matrix products on the WASM memory: our machine code, the system's BLAS, or
 * the WASM kernels.
 *
 * Where there is no machine code, a good BLAS is two to three times as fast as the WASM kernel, which
 * has 128-bit vectors; a reference `libblas` is slower. So `planGemm` then measures both once, for
 * about 10 ms. The main thread decides for a whole group of ranks before they start (a library reads
 * its settings when the process loads it first), and hands its choice to `createGemm` in each: all
 * ranks compute with the same kernels.
 *
 * With a BLAS, two kinds of products still stay in WASM: tiny ones, where the call costs more than
 * the product, and up to eight rows against a large matrix (a few people chatting), which a library
 * packs first: 177 µs against 47 for 1 × 1408 × 256, 548 against 264 for 4 × 1376 × 512. The rule
 * is by size alone, so it decides alike in every run.
 */
import { UserError } from '../../../base/errors.js';
import type { FrozenRows } from '../../forms.js';
import type { NativeGemm } from '../../native/sgemm.js';
import type { Blas } from './blas.js';
import { chooseNative, type GemmChoice, type Products } from './product-choice.js';

export type { GemmChoice, Products } from './product-choice.js';

export interface Gemm {
  /**
   * What does the work, for people and fingerprints: `wasm`, `wasm-relaxed`, `openblas 0.3.21
   * SkylakeX`.
   */
  readonly name: string;
  /**
   * C[m,n] = alpha·op(A)·op(B) + beta·C, row-major; byte addresses into the memory, leading
   * dimensions in elements; beta is 0 or 1, and with beta 0 what C held is never read. m, n or k
   * may be 0.
   */
  sgemm(
    transposeA: boolean,
    transposeB: boolean,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    b: number,
    ldb: number,
    beta: number,
    c: number,
    ldc: number,
  ): void;
  /** Whether rows are computed alike whatever their number, where a product can do that itself. */
  alikeRows?(on: boolean): void;
  /** Machine code for frozen matrices. */
  frozen?: FrozenGemm;
  /** Threads that compute a product, where there is more than one. */
  threads?: number;
  close?(): Promise<void>;
  /** Kernels of other operations that stand in for the WASM kernels of the same names. */
  exports?: Readonly<Record<string, (...values: number[]) => void>>;
}

/** What machine code does with frozen matrices. */
export interface FrozenGemm {
  /**
   * C = alpha·A·Bᵀ + beta·C with the m rows of A and a part of a frozen matrix; false when the
   * product is not one that is computed so.
   */
  product(
    b: FrozenRows,
    m: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    beta: number,
    c: number,
    ldc: number,
  ): boolean;
  expand: NativeGemm['expand'];
}

/** Behind a thread's scratch there may be this much for rows of a frozen matrix as float32. */
export const FROZEN_TILE_BYTES = 1024 * 1024;

/** Scratch that one thread's products need in the memory, 64-byte aligned. */
export const GEMM_SCRATCH_BYTES = 2 * 1024 * 1024;

/**
 * The part of it that the kernel packs into (assembly/gemm.ts); above it `probeGemm` keeps its
 * operands.
 */
const GEMM_PACKED_BYTES = 1024 * 1024;

export interface GemmContext {
  /** The kernels' exports. */
  exports: WebAssembly.Exports;
  memory: WebAssembly.Memory;
  /** Byte address of this thread's scratch, and its size: at least `GEMM_SCRATCH_BYTES`. */
  scratch: number;
  scratchBytes: number;
  /** What may do the work; default `auto`. */
  products?: Products;
  /** True when the exports are the relaxed SIMD build. */
  relaxed: boolean;
  /** Runs `body` with that many bytes of the memory; without it no frozen matrix is multiplied. */
  withScratch?(bytes: number, body: (address: number) => void): void;
  /** Threads that help, by their scratch, and words for all. */
  team?: { control: number; helpers: readonly number[] };
  /** What the main thread found with `planGemm`; without it, this thread probes for itself. */
  choice?: GemmChoice;
}

type SgemmKernel = (
  transposeA: boolean,
  transposeB: boolean,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: number,
  lda: number,
  b: number,
  ldb: number,
  beta: number,
  c: number,
  ldc: number,
  scratch: number,
) => void;

/**
 * Products of at most this many multiply-adds are left to the WASM kernel: 0.1 µs there, 0.3 µs by
 * a foreign call.
 */
const TINY = 1024;

/** Up to this many rows against at least this many numbers of b likewise. */
const FEW_ROWS = 8;
const LARGE_MATRIX = 131072;

const wasmName = (context: GemmContext): string => (context.relaxed ? 'wasm-relaxed' : 'wasm');

function wasmGemm(context: GemmContext): Gemm {
  const kernel = context.exports.sgemm as unknown as SgemmKernel;
  const { scratch } = context;
  return {
    name: wasmName(context),
    sgemm: (transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) =>
      kernel(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, scratch),
  };
}

function blasGemm(context: GemmContext, blas: Blas): Gemm {
  const wasm = wasmGemm(context);
  const { sgemm } = blas;
  // A shared memory grows in place: its address stays.
  const base = blas.addressOf(context.memory.buffer);
  return {
    name: blas.name,
    sgemm: (transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) => {
      if (
        m * n * k <= TINY ||
        (m <= FEW_ROWS && n * k >= LARGE_MATRIX) ||
        // Strides of single rows may be anything here; BLAS refuses one below the row's length.
        lda < (transposeA ? m : k) ||
        ldb < (transposeB ? k : n) ||
        ldc < n
      ) {
        wasm.sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
      }
      const [opA, opB] = [transposeA ? 112 : 111, transposeB ? 112 : 111];
      sgemm(101, opA, opB, m, n, k, alpha, base + a, lda, base + b, ldb, beta, base + c, ldc);
    },
  };
}

/** Seconds of the fastest of some products of a typical size, in the kernel's own scratch. */
function measure(gemms: readonly Gemm[], context: GemmContext): number[] {
  const [m, n, k] = [96, 128, 128];
  const a = context.scratch + GEMM_PACKED_BYTES;
  const b = a + 4 * m * k;
  const c = b + 4 * n * k;
  new Float32Array(context.memory.buffer, a, m * k + n * k).fill(1);
  const best = gemms.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < 12; round++) {
    gemms.forEach((gemm, i) => {
      const start = performance.now();
      gemm.sgemm(false, true, m, n, k, 1, a, k, b, k, 0, c, n);
      best[i] = Math.min(best[i], performance.now() - start);
    });
  }
  return best;
}

/** Where the kernels' arguments lie: behind all that a product packs. */
const NATIVE_BLOCK = GEMM_SCRATCH_BYTES - 512;
const NATIVE_SUMS = NATIVE_BLOCK - 1024;

/** Offsets of what machine code needs in a scratch. */
const nativeScratch = (scratch: number, tile: number) => ({
  block: scratch + NATIVE_BLOCK,
  packed: scratch,
  tile,
});

async function nativeGemmOf(context: GemmContext, choice: GemmChoice): Promise<Gemm | null> {
  const { native: target } = choice;
  if (!target) return null;
  const { bindKernels } = await import('../../native/kernels.js');
  const { nativeExports } = await import('../../native/exports.js');
  const { fitsKernels, frozenTileBytes, nativeGemm } = await import('../../native/sgemm.js');
  const { memory, scratch, withScratch, team } = context;
  const { buffer } = memory;
  const kernels = bindKernels(target, buffer, scratch + NATIVE_BLOCK);
  if (kernels === null)
    throw new UserError(
      'state',
      'machine code could be made in one thread but not in another; use --no-native.',
    );
  const own = nativeScratch(scratch, 0);
  const native = nativeGemm(kernels, buffer, own);
  const place = team && {
    buffer,
    target,
    control: team.control,
    scratch: team.helpers.map((at) => nativeScratch(at, at + GEMM_SCRATCH_BYTES)),
  };
  const all = place ? (await import('../../native/team.js')).startTeam(place, native) : native;
  const frozen: FrozenGemm = {
    expand: native.expand,
    product({ form, rows, bytes }, m, k, alpha, a, lda, beta, c, ldc) {
      if (m <= 0 || rows <= 0 || !fitsKernels(form, k)) return false;
      const call = { form, address: kernels.addressOf(bytes), from: 0, to: rows };
      withScratch?.(frozenTileBytes(m, rows, k), (tile) => {
        own.tile = tile;
        all.frozen(call, m, k, alpha, a, lda, beta, c, ldc);
      });
      return true;
    },
  };
  return {
    name: choice.name,
    sgemm: all.sgemm,
    frozen,
    exports: nativeExports(kernels, buffer, scratch + NATIVE_SUMS),
    alikeRows(on) {
      native.alike = on;
    },
    ...('threads' in all ? { threads: all.threads, close: all.close } : {}),
  };
}

/** blas.ts needs Node, and this file must load in a browser. */
const environment = (): Record<string, string | undefined> =>
  typeof process === 'undefined' ? {} : process.env;
const openBlas = async (library?: string): Promise<Blas | null> =>
  typeof process === 'undefined' ? null : (await import('./blas.js')).openBlas(library);

/**
 * Decides what multiplies. `RECKONER_BLAS` names a library, which is then used without a measurement
 * unless our own kernels are asked for, or is `off`.
 * @throws UserError when what is asked for cannot be used.
 */
export async function probeGemm(context: GemmContext): Promise<GemmChoice> {
  const { products = 'auto' } = context;
  const own: GemmChoice = { library: null, native: null, name: wasmName(context) };
  const named = environment().RECKONER_BLAS;
  const asked = named === 'off' ? undefined : named || undefined;
  const native = asked && products === 'auto' ? null : await chooseNative(products);
  if (native) return native;
  if (products === 'wasm' || products === 'native') return own;
  const blas = named === 'off' ? null : await openBlas(asked);
  if (blas === null) {
    if (asked)
      throw new UserError(
        'usage',
        `RECKONER_BLAS=${asked} cannot be loaded or has no cblas_sgemm; give a BLAS library's path, or off.`,
      );
    if (products === 'blas')
      throw new UserError(
        'usage',
        'there is no BLAS library here to take; install OpenBLAS, or leave it to our own kernels.',
        '--blas',
      );
    return own;
  }
  const choice: GemmChoice = { library: blas.library, native: null, name: blas.name };
  if (asked || products === 'blas') return choice;
  const [withBlas, withWasm] = measure([blasGemm(context, blas), wasmGemm(context)], context);
  // Near a tie BLAS is taken, so that a noisy measurement does not change a run's library from one
  // start to the next.
  return withBlas < 1.25 * withWasm ? choice : own;
}

/**
 * `probeGemm` in a small memory of its own, for a main thread that plans what its workers will do.
 */
export async function planGemm(
  kernels: { module: WebAssembly.Module; relaxed: boolean },
  products: Products = 'auto',
): Promise<GemmChoice> {
  const pages = GEMM_SCRATCH_BYTES / 65536 + 1;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const abort = (): never => {
    throw new Error('A WASM kernel aborted.');
  };
  const { exports } = new WebAssembly.Instance(kernels.module, { env: { memory, abort } });
  return probeGemm({
    exports,
    memory,
    scratch: 65536,
    scratchBytes: GEMM_SCRATCH_BYTES,
    products,
    relaxed: kernels.relaxed,
  });
}

/**
 * Matrix products for this thread.
 * @throws UserError when another thread's choice cannot be followed here.
 */
export async function createGemm(context: GemmContext): Promise<Gemm> {
  const choice = context.choice ?? (await probeGemm(context));
  if (choice.library === null) return (await nativeGemmOf(context, choice)) ?? wasmGemm(context);
  const blas = await openBlas(choice.library);
  if (blas === null)
    throw new UserError(
      'state',
      `${choice.library} could be loaded in one thread but not in another; use --no-blas.`,
    );
  return blasGemm(context, blas);
}
