import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { configureFaults, faultCounts } from '../base/faults.js';
import {
  checkDrift,
  foundationHere,
  latestSnapshot,
  listSnapshots,
  loadSnapshot,
  pruneSnapshots,
  refuseDrift,
  type SnapshotContent,
  saveSnapshot,
  snapshotName,
} from './snapshot.js';

let checkpoints: string;
beforeEach(() => {
  checkpoints = mkdtempSync(join(tmpdir(), 'reckoner-snapshot-'));
});
afterEach(() => {
  configureFaults(undefined);
  rmSync(checkpoints, { recursive: true, force: true });
});

const FOUNDATION = foundationHere({
  version: '0.1.0',
  recipeHash: 'abc',
  seed: 1,
  workers: 2,
  fingerprint: 'wasm relaxed',
});

function content(step: number): SnapshotContent {
  return {
    state: {
      ...FOUNDATION,
      step,
      stageIndex: 1,
      stageStep: 3,
      attempt: 0,
      data: { position: 17, rates: [0.1, 1e-300] },
    },
    tensors: {
      weights: [
        { name: 'model.norm.weight', shape: [3], data: Float32Array.of(step, 1e-40, -0) },
        { name: 'lm_head.weight', shape: [2, 2], data: Float32Array.of(1, Number.NaN, 3, 4) },
      ],
      optimizer: [{ name: 'first', shape: [1], data: Float32Array.of(step / 3) }],
    },
    json: { 'config.json': { model_type: 'llama' } },
  };
}

const folderOf = (step: number): string => join(checkpoints, snapshotName(step));
const save = (step: number): Promise<unknown> => saveSnapshot(folderOf(step), content(step));

describe('snapshots', () => {
  it('come back with the same bits, state and names', async () => {
    const saved = await saveSnapshot(folderOf(400), content(400));
    expect(readdirSync(checkpoints)).toEqual(['000400']);
    expect(readdirSync(folderOf(400)).sort()).toEqual([
      'config.json',
      'optimizer.safetensors',
      'snapshot.json',
      'weights.safetensors',
    ]);
    const loaded = loadSnapshot(folderOf(400));
    expect(loaded.state).toEqual(content(400).state);
    expect(loaded.read('weights')).toEqual(content(400).tensors.weights);
    expect(Object.is(loaded.read('weights')[0].data[2], -0)).toBe(true);
    expect(loaded.read('optimizer')).toEqual(content(400).tensors.optimizer);
    expect({ bytes: loaded.bytes, sha256: loaded.sha256 }).toEqual(saved);
    expect(loaded.files).toEqual(['weights', 'optimizer']);
    expect(() => loaded.read('reference')).toThrow('has no reference.safetensors');
  });

  it('have the same digest when they hold the same', async () => {
    const one = await saveSnapshot(folderOf(1), content(1));
    const again = await saveSnapshot(folderOf(1), content(1));
    expect(again).toEqual(one);
    expect((await saveSnapshot(folderOf(2), content(2))).sha256).not.toBe(one.sha256);
  });

  it('refuse a state that JSON would change', async () => {
    const broken = content(1);
    broken.state.average = { loss: Number.NaN };
    await expect(saveSnapshot(folderOf(1), broken)).rejects.toThrow('state.average.loss is NaN');
  });

  it('are refused when a byte of any file differs, is missing or too many, and the one before is used', async () => {
    await save(100);
    await save(200);
    const good = folderOf(200);
    const keep = join(checkpoints, 'copy');
    for (const name of readdirSync(good)) {
      const path = join(good, name);
      const bytes = readFileSync(path);
      const flipped = Buffer.from(bytes);
      flipped[bytes.length >> 1] ^= 1;
      const damages: [string, () => void][] = [
        ['flipped', () => writeFileSync(path, flipped)],
        ['truncated', () => truncateSync(path, bytes.length - 4)],
        ['empty', () => truncateSync(path, 0)],
        ['longer', () => writeFileSync(path, Buffer.concat([bytes, Buffer.from(' x')]))],
        ['missing', () => renameSync(path, keep)],
      ];
      for (const [damage, act] of damages) {
        act();
        expect(() => loadSnapshot(good), `${name} ${damage}`).toThrow(UserError);
        const rejected: string[] = [];
        const latest = latestSnapshot(checkpoints, (folder, message) =>
          rejected.push(`${folder}: ${message}`),
        );
        expect(latest?.state.step, `${name} ${damage}`).toBe(100);
        expect(rejected).toHaveLength(1);
        expect(rejected[0]).toContain(good);
        rmSync(keep, { force: true });
        writeFileSync(path, bytes);
      }
    }
    expect(latestSnapshot(checkpoints)?.state.step).toBe(200);
  });

  it('say which file was truncated', async () => {
    await save(1);
    truncateSync(join(folderOf(1), 'weights.safetensors'), 100);
    expect(() => loadSnapshot(folderOf(1))).toThrow(
      /000001 cannot be used: weights\.safetensors has 100 bytes instead of \d+: it was truncated or altered/,
    );
  });

  it('never lead out of their folder', async () => {
    await save(1);
    const path = join(folderOf(1), 'snapshot.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    manifest.files['../../etc'] = { bytes: 1, sha256: '' };
    writeFileSync(path, JSON.stringify(manifest));
    expect(() => loadSnapshot(folderOf(1))).toThrow('digest does not match');
  });

  it('leave the earlier one whole when the disk fills up at any write', async () => {
    await save(100);
    configureFaults('count');
    await save(200);
    const { writes } = faultCounts();
    expect(writes).toBeGreaterThan(8);
    rmSync(folderOf(200), { recursive: true });
    for (let n = 1; n <= writes; n++) {
      configureFaults(`enospc@${n}`);
      await expect(save(200)).rejects.toThrow(
        /^cannot write [^\n]*000200\/[a-z.]+: the disk is full/,
      );
      configureFaults(undefined);
      expect(readdirSync(checkpoints)).toEqual(['000100']);
    }
    expect(latestSnapshot(checkpoints)?.state.step).toBe(100);
  });

  it('are found newest first by number, past half-written and foreign folders', async () => {
    expect(latestSnapshot(join(checkpoints, 'nowhere'))).toBeNull();
    for (const step of [5, 999_999, 1_000_000]) await save(step);
    mkdirSync(join(checkpoints, '2000000.tmp-4206649'));
    mkdirSync(join(checkpoints, 'notes'));
    expect(listSnapshots(checkpoints).map(({ step }) => step)).toEqual([5, 999_999, 1_000_000]);
    expect(latestSnapshot(checkpoints)?.state.step).toBe(1_000_000);
    expect(existsSync(join(checkpoints, '2000000.tmp-4206649'))).toBe(false);
  });

  it('are pruned to the newest, and to none of a future that did not happen', async () => {
    for (const step of [1, 2, 3, 4]) await save(step);
    expect(pruneSnapshots(checkpoints, 2, 3)).toEqual([folderOf(1), folderOf(4)]);
    expect(readdirSync(checkpoints).sort()).toEqual(['000002', '000003']);
    expect(pruneSnapshots(checkpoints, 0)).toEqual([folderOf(2)]);
  });
});

describe('drift', () => {
  it('names each thing that results rest on and that differs', () => {
    expect(checkDrift(content(1).state, FOUNDATION)).toEqual([]);
    const now = { ...FOUNDATION, workers: 4, node: 'v99.0.0', recipeHash: 'def' };
    expect(checkDrift(content(1).state, now).map(({ name }) => name)).toEqual([
      'recipeHash',
      'workers',
      'node',
    ]);
    expect(() => refuseDrift(content(1).state, now, false)).toThrow(
      `the recipe was changed; workers was 2 and is 4; Node was ${process.version} and is v99.0.0. Restore what changed, or add --allow-drift`,
    );
    expect(refuseDrift(content(1).state, now, true)).toHaveLength(3);
  });
});
