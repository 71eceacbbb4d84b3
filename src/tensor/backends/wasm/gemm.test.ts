import { describe, expect, it } from 'vitest';
import { Random } from '../../../base/random.js';
import { hasRelaxedSimd } from './features.js';
import { createGemm, GEMM_SCRATCH_BYTES, type Gemm, planGemm } from './gemm.js';
import { type Build, loadKernels } from './load.js';
import { type Products, productsOf } from './product-choice.js';

const MB = 2 ** 20;
const memory = new WebAssembly.Memory({ initial: 384, maximum: 384, shared: true });
const floats = new Float32Array(memory.buffer);
const SCRATCH = 20 * MB;

async function open(build: Build, products: Products): Promise<Gemm> {
  const { module, relaxed } = loadKernels(build);
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort: () => {} } });
  const choice = await planGemm({ module, relaxed }, products);
  return createGemm({
    exports,
    memory,
    scratch: SCRATCH,
    scratchBytes: GEMM_SCRATCH_BYTES,
    products,
    relaxed,
    choice,
  });
}

const variants: [string, Gemm][] = [['plain', await open('plain', 'wasm')]];
if (hasRelaxedSimd()) variants.push(['relaxed', await open('relaxed', 'wasm')]);
// Where the system has a BLAS this is another library's product; elsewhere it is the kernel again,
// behind the same rules.
variants.push(['portable', await open('auto', 'portable')]);
// Machine code where this processor runs it; elsewhere as above.
variants.push(['native', await open('auto', 'auto')]);

interface Product {
  transposeA: boolean;
  transposeB: boolean;
  m: number;
  n: number;
  k: number;
  alpha: number;
  beta: number;
  /** Extra elements at the end of each row, and in front of each matrix. */
  gap: number;
}

/**
 * Runs a product on random numbers; returns how far it is from float64 (in units of Σ|a·b|), and
 * writes outside C.
 */
function check(gemm: Gemm, random: Random, p: Product): { error: number; outside: number } {
  const lda = (p.transposeA ? p.m : p.k) + p.gap;
  const ldb = (p.transposeB ? p.k : p.n) + p.gap;
  const ldc = p.n + p.gap;
  const a = MB / 4 + p.gap;
  const b = a + lda * (p.transposeA ? p.k : p.m) + p.gap;
  const c = b + ldb * (p.transposeB ? p.n : p.k) + 16;
  const end = c + ldc * p.m + 64;
  expect(end * 4).toBeLessThan(SCRATCH);
  for (let i = a; i < end; i++) floats[i] = 2 * random.uniform() - 1;
  // What C held must not matter when beta is 0.
  if (p.beta === 0) floats.fill(Number.NaN, c, end);
  const before = floats.slice(c - 16, end);
  gemm.sgemm(
    p.transposeA,
    p.transposeB,
    p.m,
    p.n,
    p.k,
    p.alpha,
    a * 4,
    lda,
    b * 4,
    ldb,
    p.beta,
    c * 4,
    ldc,
  );
  const after = floats.slice(c - 16, end);
  let error = 0;
  for (let i = 0; i < p.m; i++) {
    for (let j = 0; j < p.n; j++) {
      let sum = 0;
      let absolute = 0;
      for (let q = 0; q < p.k; q++) {
        const x =
          floats[a + (p.transposeA ? q * lda + i : i * lda + q)] *
          floats[b + (p.transposeB ? j * ldb + q : q * ldb + j)];
        sum += x;
        absolute += Math.abs(x);
      }
      const at = 16 + i * ldc + j;
      const wanted = p.alpha * sum + (p.beta === 0 ? 0 : before[at]);
      const difference = Math.abs(after[at] - wanted) / (absolute + Math.abs(wanted) + 1e-3);
      error = Math.max(error, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
      after[at] = before[at];
    }
  }
  return { error, outside: after.findIndex((x, i) => !Object.is(x, before[i])) };
}

describe.each(variants)('matrix product, %s', (_name, gemm) => {
  it('agrees with float64 for odd sizes, strides and transposes, and writes nowhere else', () => {
    const random = new Random(1);
    const below = (n: number): number => Math.floor(random.uniform() * n);
    const limits = [3, 10, 50];
    for (let i = 0; i < 600; i++) {
      const product: Product = {
        transposeA: i % 2 === 1,
        transposeB: i % 4 > 1,
        m: below(limits[below(3)]),
        n: below(limits[below(3)]),
        k: below(limits[below(3)] + 20),
        alpha: random.uniform() < 0.5 ? 1 : -0.37,
        beta: below(2),
        gap: below(5),
      };
      const { error, outside } = check(gemm, random, product);
      expect(error, JSON.stringify(product)).toBeLessThan(2e-6);
      expect(outside, JSON.stringify(product)).toBe(-1);
    }
  });

  it.each([
    { m: 37, n: 520, k: 330 },
    { m: 13, n: 1030, k: 65 },
    { m: 131, n: 100, k: 700 },
    { m: 1, n: 600, k: 513 },
    { m: 600, n: 1, k: 321 },
  ])('agrees across the blocks of packing: $m × $n × $k', ({ m, n, k }) => {
    const random = new Random(2);
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        for (const beta of [0, 1]) {
          const { error, outside } = check(gemm, random, {
            transposeA,
            transposeB,
            m,
            n,
            k,
            alpha: 1,
            beta,
            gap: 3,
          });
          expect(error).toBeLessThan(2e-6);
          expect(outside).toBe(-1);
        }
      }
    }
  });

  it('gives zeros for an empty inner dimension, and leaves C when adding', () => {
    const c = 2 * MB;
    floats.fill(7, c / 4, c / 4 + 12);
    gemm.sgemm(false, false, 2, 3, 0, 1, MB, 1, MB, 3, 1, c, 4);
    expect([...floats.subarray(c / 4, c / 4 + 8)]).toEqual([7, 7, 7, 7, 7, 7, 7, 7]);
    gemm.sgemm(false, false, 2, 3, 0, 1, MB, 1, MB, 3, 0, c, 4);
    expect([...floats.subarray(c / 4, c / 4 + 8)]).toEqual([0, 0, 0, 7, 0, 0, 0, 7]);
    gemm.sgemm(false, true, 0, 3, 5, 1, MB, 5, MB, 5, 0, c, 3);
    gemm.sgemm(true, true, 3, 0, 5, 1, MB, 3, MB, 5, 0, c, 4);
    expect(floats[c / 4 + 3]).toBe(7);
  });

  it('accepts the stride of a single row, whatever it is', () => {
    const a = MB;
    floats.set([1, 2, 3], a / 4);
    gemm.sgemm(false, true, 1, 1, 3, 1, a, 0, a, 0, 0, 2 * MB, 0);
    expect(floats[(2 * MB) / 4]).toBe(14);
  });

  it('gives the same bits again', () => {
    const run = (): Float32Array => {
      check(gemm, new Random(3), {
        transposeA: false,
        transposeB: true,
        m: 33,
        n: 70,
        k: 350,
        alpha: 1,
        beta: 0,
        gap: 0,
      });
      const c = MB / 4 + 33 * 350 + 70 * 350 + 16;
      return floats.slice(c, c + 33 * 70);
    };
    expect(run()).toEqual(run());
  });
});

describe('the choice', () => {
  it('is the WASM kernel without BLAS, by option and by environment', async () => {
    const { module, relaxed } = loadKernels('plain');
    const wasm = { library: null, native: null, name: 'wasm' };
    expect(await planGemm({ module, relaxed }, 'wasm')).toEqual(wasm);
    process.env.RECKONER_BLAS = 'off';
    expect(await planGemm({ module, relaxed }, 'portable')).toEqual(wasm);
    process.env.RECKONER_BLAS = '/nowhere/libblas.so';
    await expect(planGemm({ module, relaxed })).rejects.toThrow(
      /RECKONER_BLAS=\/nowhere\/libblas.so cannot be loaded/,
    );
    delete process.env.RECKONER_BLAS;
  });

  it('is machine code by default, unless it is switched off or this processor has none', async () => {
    const { module, relaxed } = loadKernels('plain');
    const choice = await planGemm({ module, relaxed });
    const own = await planGemm({ module, relaxed }, 'native');
    expect(own).toEqual(choice.native ? choice : { library: null, native: null, name: 'wasm' });
    process.env.RECKONER_NATIVE = 'off';
    expect((await planGemm({ module, relaxed }, 'native')).name).toBe('wasm');
    process.env.RECKONER_NATIVE = 'mmx';
    await expect(planGemm({ module, relaxed })).rejects.toThrow(/RECKONER_NATIVE=mmx is unknown/);
    delete process.env.RECKONER_NATIVE;
  });

  it('is asked for again by its kind', () => {
    expect(productsOf({ library: null, native: 'avx2', name: 'native avx2 0123' })).toBe('native');
    expect(productsOf({ library: null, native: null, name: 'wasm-relaxed' })).toBe('wasm');
    expect(productsOf({ library: 'libopenblas.so.0', name: 'openblas 0.3.21' })).toBe('blas');
  });

  it('of another thread is followed, or refused when that cannot be', async () => {
    const { module, relaxed } = loadKernels('plain');
    const { exports } = new WebAssembly.Instance(module, { env: { memory, abort: () => {} } });
    const context = {
      exports,
      memory,
      scratch: SCRATCH,
      scratchBytes: GEMM_SCRATCH_BYTES,
      relaxed,
    };
    expect((await createGemm({ ...context, choice: { library: null, name: 'wasm' } })).name).toBe(
      'wasm',
    );
    await expect(
      createGemm({ ...context, choice: { library: '/nowhere/libblas.so', name: 'x' } }),
    ).rejects.toThrow(/--no-blas/);
  });
});
