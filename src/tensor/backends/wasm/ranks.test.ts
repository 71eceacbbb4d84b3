/**
 * @file Ranks in real worker threads, over one memory. Workers run the built code: Node's threads
 * load JavaScript only.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { createWasmMemory, type WasmMemory } from './index.js';

const built = new URL('../../../../dist/tensor/backends/wasm/index.js', import.meta.url);

/**
 * Runs `body` (an async function's body with `backend`, `memory`, `abortRanks` and `sleep`) in a
 * worker for each rank.
 */
async function inRanks(
  memory: WasmMemory,
  body: string,
): Promise<{ value?: unknown; error?: string }[]> {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    (async () => {
      const { createWasmBackend, abortRanks } = await import(workerData.url);
      const { memory, rank } = workerData;
      const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      try {
        const backend = await createWasmBackend({ memory, rank, products: 'wasm', build: 'plain' });
        const { ranks } = backend;
        const value = await (async () => { ${body} })();
        parentPort.postMessage({ value });
      } catch (error) {
        parentPort.postMessage({ error: error.code + ': ' + error.message });
      }
    })();`;
  return Promise.all(
    Array.from(
      { length: memory.worldSize },
      (_, rank) =>
        new Promise<{ value?: unknown; error?: string }>((resolve, reject) => {
          const worker = new Worker(source, {
            eval: true,
            workerData: { url: built.href, memory, rank },
          });
          worker.on('message', (message) => {
            resolve(message);
            void worker.terminate();
          });
          worker.on('error', reject);
        }),
    ),
  );
}

const group = (worldSize: number) =>
  createWasmMemory({ worldSize, sharedBytes: 65536, localBytes: 1 << 20 });

describe('ranks', () => {
  it('are built', () => {
    expect(existsSync(fileURLToPath(built)), 'run npm run build first').toBe(true);
  });

  it('sum in rank order, the same everywhere', async () => {
    const results = await inRanks(
      group(3),
      `const out = [];
       for (let i = 0; i < 200; i++) out.push(...await ranks.sum([ranks.rank + i, 1e16 * (ranks.rank === 0) + ranks.rank]));
       return out;`,
    );
    // 1e16 + 1 rounds to 1e16; only the order ((1e16 + 1) + 2) gives 1e16 + 2.
    const expected = Array.from({ length: 200 }, (_, i) => [3 * i + 3, 1e16 + 2]).flat();
    for (const { value, error } of results) {
      expect(error).toBeUndefined();
      expect(value).toEqual(expected);
    }
  });

  it('hold one another at barriers while they change shared and read local tensors', async () => {
    const results = await inRanks(
      group(2),
      `const counter = backend.allocate('f32', [1], 'shared');
       if (ranks.rank === 0) backend.fill({ out: counter, value: 0 });
       const gradient = backend.allocate('f32', [1001]);
       let sum = 0;
       for (let i = 0; i < 300; i++) {
         await ranks.barrier();
         if (i % 2 === ranks.rank) backend.fill({ out: counter, value: (await backend.read(counter))[0] + 1 });
         backend.fill({ out: gradient, value: (ranks.rank + 1) * i });
         if (i === 150 && ranks.rank === 1) await sleep(30);
         await ranks.barrier();
         const half = backend.view(gradient, ranks.rank * 500, [ranks.rank === 0 ? 500 : 501]);
         ranks.reduce(half);
         sum += (await backend.read(half))[499];
       }
       await ranks.barrier();
       const other = backend.view(gradient, (1 - ranks.rank) * 500, [500]);
       return { count: (await backend.read(counter))[0], sum, own: (await backend.read(other))[3] };`,
    );
    const sum = (3 * 299 * 300) / 2;
    // What the other rank reduced stays as this rank wrote it.
    expect(results).toEqual([
      { value: { count: 300, sum, own: 299 } },
      { value: { count: 300, sum, own: 598 } },
    ]);
  });

  it('reduce adds in rank order', async () => {
    const results = await inRanks(
      group(3),
      `const t = backend.allocate('f32', [7]);
       backend.fill({ out: t, value: [1, 2 ** 24, -(2 ** 24)][ranks.rank] });
       await ranks.barrier();
       const mine = backend.view(t, ranks.rank * 2, [2]);
       ranks.reduce(mine);
       return [...await backend.read(mine)];`,
    );
    // (1 + 2²⁴) rounds to 2²⁴ in float32, so the sum in rank order is 0 and not 1.
    expect(results).toEqual([{ value: [0, 0] }, { value: [0, 0] }, { value: [0, 0] }]);
  });

  it('a failed rank stops the others at their barrier', async () => {
    const results = await inRanks(
      group(2),
      `if (ranks.rank === 1) { await sleep(20); abortRanks(memory); throw Object.assign(new Error('ill'), { code: 'x' }); }
       await ranks.barrier();
       return 'not reached';`,
    );
    expect(results[1]).toEqual({ error: 'x: ill' });
    expect(results[0].error).toBe(
      'state: Worker 0 stopped because another worker of the group failed; its message says why.',
    );
  });
});
