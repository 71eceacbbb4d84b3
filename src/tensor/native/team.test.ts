import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { frozenPart } from '../testing/problem.js';
import { bindKernels, supportedTargets } from './kernels.js';
import { nativeGemm, PACKED_BYTES, TILE_BYTES } from './sgemm.js';
import { startTeam, TEAM_BYTES, type TeamPlace } from './team.js';

const PAGE = 65536;
const align = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;
const SCRATCH = align(PACKED_BYTES + TILE_BYTES + 4096);

/** A memory with scratch for three threads, of which two help; and room for operands. */
function setting() {
  const bytes = 4 * PAGE + 3 * SCRATCH + (1 << 24);
  const buffer = new SharedArrayBuffer(bytes);
  const [own, ...scratch] = [0, 1, 2].map((i) => {
    const block = PAGE + i * SCRATCH;
    return { block, packed: block + 4096, tile: block + 4096 + align(PACKED_BYTES) - PAGE };
  });
  const place: TeamPlace = { buffer, target: 'avx2', control: 0, scratch };
  const kernels = bindKernels('avx2', buffer, own.block);
  if (kernels === null) throw new Error('no machine code here');
  return { buffer, place, kernels, own, operands: PAGE + 3 * SCRATCH };
}

const runnable = supportedTargets()?.has('avx2') ?? false;

describe.skipIf(!runnable)('a team', () => {
  it('computes the bits that one thread does, with pieces by helpers', async () => {
    expect(TEAM_BYTES).toBeLessThan(PAGE);
    const { buffer, place, kernels, own, operands } = setting();
    const floats = new Float32Array(buffer);
    const plain = nativeGemm(kernels, buffer, own);
    let mine = 0;
    const counted = {
      ...plain,
      sgemm: (...args: Parameters<typeof plain.sgemm>) => {
        mine++;
        plain.sgemm(...args);
      },
    };
    const team = startTeam(place, counted);
    expect(team.threads).toBe(3);
    const random = new Random('team');
    const [m, n, k] = [3, 1000, 512];
    const [a, b, c, same] = [0, 1, 2, 3].map((i) => operands + i * (1 << 22));
    for (let i = 0; i < m * k; i++) floats[a / 4 + i] = random.normal();
    for (let i = 0; i < n * k; i++) floats[b / 4 + i] = random.normal();
    plain.sgemm(false, true, m, n, k, 0.5, a, k, b, k, 0, same, n);
    const expected = floats.slice(same / 4, same / 4 + m * n);
    // Until the helpers have come and taken a piece: nine are a product's.
    for (let last = 9; last === 9; ) {
      mine = 0;
      floats.fill(0, c / 4, c / 4 + m * n);
      team.sgemm(false, true, m, n, k, 0.5, a, k, b, k, 0, c, n);
      expect(expected.findIndex((x, i) => x !== floats[c / 4 + i])).toBe(-1);
      last = mine === 1 ? 9 : mine;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (const rows of [1, 5]) {
      const { form, bytes } = frozenPart(random, 'q4_k', n, k);
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
      shared.set(bytes);
      const call = { form, address: kernels.addressOf(shared), from: 0, to: n };
      plain.frozen(call, rows, k, 1, a, k, 0, same, n);
      for (let round = 0; round < 50; round++) {
        floats.fill(0, c / 4, c / 4 + rows * n);
        team.frozen(call, rows, k, 1, a, k, 0, c, n);
        const right = floats.subarray(same / 4, same / 4 + rows * n);
        expect(right.findIndex((x, i) => x !== floats[c / 4 + i])).toBe(-1);
      }
    }
    await team.close();
  });
});
