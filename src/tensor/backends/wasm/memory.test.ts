import { describe, expect, it } from 'vitest';
import { UserError } from '../../../base/errors.js';
import { createWasmBackend, createWasmMemory } from './index.js';
import { layoutOf } from './memory.js';

const KIB = 1024;
const small = { sharedBytes: 64 * KIB, localBytes: 128 * KIB };

describe('layout', () => {
  it('divides the memory without overlap, regions equally long', () => {
    const memory = { worldSize: 3, sharedBytes: 192 * KIB, localBytes: 128 * KIB, helpers: 2 };
    const [a, b, c] = [0, 1, 2].map((rank) => layoutOf(memory, rank));
    expect(a.sums).toBeGreaterThan(a.control);
    expect(a.shared).toBeGreaterThanOrEqual(a.sums + 2 * 3 * 1024 * 8);
    expect(a.gemmScratch).toBeGreaterThanOrEqual(a.shared + memory.sharedBytes);
    expect(a.attentionScratch).toBeGreaterThan(a.gemmScratch);
    expect(a.local).toBeGreaterThan(a.attentionScratch);
    expect(b.gemmScratch).toBeGreaterThanOrEqual(a.local + memory.localBytes);
    expect(b.local - a.local).toBe(a.regionBytes);
    expect(c.local - b.local).toBe(a.regionBytes);
    expect(c.team).toBeGreaterThanOrEqual(c.local + memory.localBytes);
    expect(c.helpers[0]).toBeGreaterThan(c.team);
    expect(c.totalBytes - c.helpers[1]).toBe(c.helpers[1] - c.helpers[0]);
    for (const address of Object.values(a).flat()) expect(address % 64).toBe(0);
  });

  it('refuses what does not fit in 4 GiB, with the numbers', () => {
    expect(() => createWasmMemory({ worldSize: 4, localBytes: 2 ** 30 })).toThrow(
      /4 worker\(s\) with 1024 MB each and 256 MB shared need 4\d\d\d MB, but a WebAssembly memory ends at 4096 MB/,
    );
  });

  it('gives each of many ranks less by default', () => {
    const memory = createWasmMemory({ worldSize: 16 });
    expect(memory.localBytes).toBeGreaterThan(200 * 2 ** 20);
    expect(memory.localBytes).toBeLessThan(240 * 2 ** 20);
  });
});

describe('stacks', () => {
  it('reuses what was released and remembers the high-water mark', async () => {
    const backend = await createWasmBackend({ ...small, products: 'wasm' });
    const kept = backend.allocate('f32', [4]);
    const mark = backend.mark();
    const first = backend.allocate('f32', [100]);
    backend.allocate('i32', [10], 'shared');
    expect(backend.memory()).toEqual({
      localBytes: 64 + 448,
      localHighWaterBytes: 64 + 448,
      sharedBytes: 64,
      sharedHighWaterBytes: 64,
    });
    backend.release(mark);
    expect(backend.memory()).toEqual({
      localBytes: 64,
      localHighWaterBytes: 512,
      sharedBytes: 0,
      sharedHighWaterBytes: 64,
    });
    const second = backend.allocate('f32', [2]);
    expect(second.storage).toBe(first.storage);
    expect((second.storage as number) - (kept.storage as number)).toBe(64);
    expect(backend.memory().localHighWaterBytes).toBe(512);
    backend.release(mark);
    backend.release(mark);
    expect(() => backend.release({ local: 1e6, shared: 0 })).toThrow(/above the top/);
  });

  it('says what was asked for when memory is exhausted, and stays usable', async () => {
    const backend = await createWasmBackend({ ...small, products: 'wasm' });
    const ask = () => backend.allocate('f32', [1024, 256]);
    expect(ask).toThrow(UserError);
    expect(ask).toThrow('Out of local memory: 1.0 MB asked for, 0.1 MB of 0.1 MB left');
    expect(() => backend.allocate('f32', [1024, 256], 'shared')).toThrow(
      'Out of shared memory: 1.0 MB asked for',
    );
    expect(backend.memory().localBytes).toBe(0);
    backend.allocate('f32', [128 * 256]);
    expect(() => backend.allocate('f32', [1])).toThrow(/Out of local memory/);
  });

  it('methods give their scratch back, also when they fail', async () => {
    const backend = await createWasmBackend({
      localBytes: 1024 * KIB,
      sharedBytes: 0,
      products: 'wasm',
    });
    const hidden = backend.allocate('f32', [3, 8]);
    const head = backend.allocate('f32', [5, 8]);
    const targets = backend.allocate('i32', [3]);
    const [p, e, l] = [0, 1, 2].map(() => backend.allocate('f32', [3]));
    backend.write(hidden, new Array(24).fill(0.5));
    backend.write(head, new Array(40).fill(0.5));
    backend.write(targets, [0, 1, 2]);
    const before = backend.memory().localBytes;
    backend.tokenLogProbabilities({
      logProbabilities: p,
      entropy: e,
      logSumExp: l,
      hidden,
      head,
      targets,
      temperature: 1,
    });
    expect(backend.memory().localBytes).toBe(before);
    expect((await backend.read(p))[2]).toBeCloseTo(-Math.log(5), 6);
    const ids = backend.allocate('i32', [1]);
    const logits = backend.view(hidden, 0, [1, 24]);
    backend.sample({
      ids,
      logProbabilities: backend.view(p, 0, [1]),
      logits,
      uniforms: backend.view(e, 0, [1]),
      temperature: 1,
    });
    expect(backend.memory().localBytes).toBe(before + 64);
    const full = backend.memory();
    backend.allocate('f32', [(1024 * KIB - full.localBytes) / 4]);
    const used = backend.memory().localBytes;
    expect(() =>
      backend.tokenLogProbabilities({
        logProbabilities: p,
        entropy: e,
        logSumExp: l,
        hidden,
        head,
        targets,
        temperature: 1,
      }),
    ).toThrow(/Out of local memory/);
    expect(backend.memory().localBytes).toBe(used);
  });
});

describe('handles', () => {
  it('checks views against what they look at', async () => {
    const backend = await createWasmBackend({ ...small, products: 'wasm' });
    const t = backend.allocate('f32', [4, 6]);
    backend.write(
      t,
      Float64Array.from({ length: 24 }, (_, i) => i),
    );
    const column = backend.view(t, 4, [4, 2], 6);
    const out = backend.allocate('f32', [4, 2]);
    backend.copy({ out, a: column });
    expect([...(await backend.read(out))]).toEqual([4, 5, 10, 11, 16, 17, 22, 23]);
    expect(() => backend.view(t, 5, [4, 2], 6)).toThrow(/view: offset 5 does not fit/);
    expect(() => backend.view(t, 0, [25])).toThrow(/does not fit/);
    await expect(backend.read(column)).rejects.toThrow(/read: wants a contiguous/);
    expect(() => backend.write(out, new Float32Array(9))).toThrow(
      'write: 9 numbers do not fit: tensor f32 [4, 2]',
    );
  });

  it('names method and shapes when they do not fit', async () => {
    const backend = await createWasmBackend({ ...small, products: 'wasm' });
    const a = backend.allocate('f32', [2, 3]);
    const b = backend.allocate('f32', [4, 3]);
    const out = backend.allocate('f32', [2, 4]);
    backend.fill({ out: a, value: 1 });
    backend.fill({ out: b, value: 2 });
    backend.matmul({ out, a, b, transposeB: true });
    expect([...(await backend.read(out))]).toEqual(new Array(8).fill(6));
    expect(() => backend.matmul({ out, a, b })).toThrow(
      'matmul: b [K, N] has 4 rows, and K is 3: out f32 [2, 4], a f32 [2, 3], b f32 [4, 3]',
    );
    expect(() => backend.add({ out, a, b })).toThrow('add: a [n] has 6 numbers, and n is 8');
  });
});
