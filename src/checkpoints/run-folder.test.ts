import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createRunFolder,
  findRuns,
  lockRun,
  openRunFolder,
  type RunFolder,
  resolveModel,
  resolveRun,
} from './run-folder.js';
import { foundationHere, saveSnapshot, snapshotName } from './snapshot.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-runs-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const NOW = new Date('2026-11-23T23:59:59Z');

/** A run whose recipe was written `age` seconds before now. */
function makeRun(name: string, age: number): RunFolder {
  const run = createRunFolder(root, name, NOW, 1);
  writeFileSync(run.recipe, '{}');
  utimesSync(run.recipe, 1e9 - age, 1e9 - age);
  return run;
}

async function snapshot(run: RunFolder, step: number): Promise<string> {
  const foundation = foundationHere({
    version: '0',
    recipeHash: '',
    seed: 1,
    workers: 1,
    fingerprint: '',
  });
  const folder = join(run.checkpoints, snapshotName(step));
  const state = { ...foundation, step, stageIndex: 0, stageStep: step, attempt: 0 };
  await saveSnapshot(folder, { state, tensors: { weights: [] }, json: { 'config.json': {} } });
  return folder;
}

describe('run folders', () => {
  it('that were killed before they had a recipe are removed by the next run', () => {
    const left = (name: string, age: number, ...files: string[]): string => {
      const folder = join(root, `2026-11-23-${name}`);
      mkdirSync(join(folder, 'checkpoints'), { recursive: true });
      for (const file of files) writeFileSync(join(folder, file), '{}');
      const time = NOW.getTime() / 1000 - age;
      utimesSync(folder, time, time);
      return folder;
    };
    const gone = [left('a-0000', 99), left('b-0000', 99, 'events.jsonl', 'recipe.json.tmp-1')];
    const kept = [
      left('just-0000', 5),
      left('run-0000', 99, 'recipe.json'),
      left('notes-0000', 99, 'notes.txt'),
      left('other', 99),
    ];
    const held = left('held-0000', 99);
    const lock = { pid: process.pid, host: hostname(), started: '', time: 't' };
    writeFileSync(join(held, 'run.lock'), JSON.stringify(lock));
    utimesSync(held, NOW.getTime() / 1000 - 99, NOW.getTime() / 1000 - 99);
    createRunFolder(root, 'next', NOW, 1);
    expect(gone.filter(existsSync)).toEqual([]);
    expect([...kept, held].filter((folder) => !existsSync(folder))).toEqual([]);
  });

  it('are named by day, recipe and four digits, and never collide', () => {
    const names = Array.from({ length: 50 }, () => createRunFolder(root, 'R1 Mini', NOW, 1).name);
    for (const name of names) expect(name).toMatch(/^2026-11-23-r1-mini-[0-9a-f]{4}$/);
    expect(new Set(names).size).toBe(50);
    expect(readdirSync(join(root, names[0]))).toEqual(['checkpoints']);
  });

  it('stay under their root whatever the recipe is called', () => {
    expect(createRunFolder(root, '../../etc/passwd', NOW, 1).name).toMatch(
      /^2026-11-23-etc-passwd-/,
    );
    expect(createRunFolder(root, '…', NOW, 1).name).toMatch(/^2026-11-23-run-/);
  });

  it('are opened, or refused with what to do', () => {
    const run = makeRun('a', 0);
    expect(openRunFolder(run.root)).toEqual(run);
    expect(() => openRunFolder(join(root, 'nothing'))).toThrow(/^no run at .*nothing; /);
    expect(() => openRunFolder(root)).toThrow('is not a run: it has no recipe.json');
  });

  it('are found by age, name, part of a name, path, or as the newest', () => {
    expect(findRuns(join(root, 'nowhere'))).toEqual([]);
    expect(() => resolveRun(undefined, root)).toThrow('"reckoner train" makes one');
    const old = makeRun('zebra', 20);
    const young = makeRun('ant', 10);
    createRunFolder(root, 'unborn', NOW, 1);
    expect(findRuns(root).map(({ name }) => name)).toEqual([old.name, young.name]);
    expect(resolveRun(undefined, root).name).toBe(young.name);
    expect(resolveRun('zebra', root)).toEqual(old);
    expect(resolveRun(old.name, root)).toEqual(old);
    expect(resolveRun(old.root, '/nowhere').name).toBe(old.name);
    // Of two runs that the name fits, the newest complete one; without one, the newest.
    const told: string[] = [];
    const tell = (line: string) => void told.push(line);
    expect(resolveRun('2026', root, { tell }).name).toBe(young.name);
    mkdirSync(old.model, { recursive: true });
    writeFileSync(join(old.model, 'config.json'), '{}');
    expect(resolveRun('2026', root, { tell }).name).toBe(old.name);
    expect(resolveRun('2026', root, { tell, prefer: 'unfinished' }).name).toBe(young.name);
    expect(told).toEqual([
      `2026 fits 2 runs; this is the newest one, ${young.name}`,
      `2026 fits 2 runs; this is the newest complete one, ${old.name}`,
      `2026 fits 2 runs; this is the newest unfinished one, ${young.name}`,
    ]);
    expect(resolveModel('2026', root).notes[0]).toBe(told[1]);
    expect(() => resolveRun('nothing', root)).toThrow('no run at nothing');
  });
});

describe('resolveModel', () => {
  it('prefers the finished model, then the newest sound checkpoint, and says so', async () => {
    const run = makeRun('a', 0);
    expect(() => resolveModel(run.name, root)).toThrow('no model and no usable checkpoint yet');
    const first = await snapshot(run, 10);
    const second = await snapshot(run, 20);
    expect(resolveModel(run.name, root)).toMatchObject({
      folder: second,
      kind: 'snapshot',
      step: 20,
    });
    writeFileSync(join(second, 'weights.safetensors'), 'x');
    const found = resolveModel(undefined, root);
    expect(found).toMatchObject({ folder: first, kind: 'snapshot', step: 10 });
    expect(found.notes[0]).toMatch(/000020 cannot be used: weights\.safetensors has 1 bytes/);
    expect(found.notes[1]).toBe(`${run.name} has not ended; this is its checkpoint of step 10`);
    mkdirSync(run.model);
    writeFileSync(join(run.model, 'config.json'), '{}');
    expect(resolveModel(run.root, root)).toMatchObject({
      folder: run.model,
      kind: 'model',
      notes: [],
    });
    expect(resolveModel(run.model, root)).toMatchObject({
      folder: run.model,
      kind: 'model',
      run: null,
    });
  });

  it('takes the newest run that has a model, and explains what is neither', () => {
    expect(() => resolveModel(undefined, root)).toThrow('there is no run in');
    const old = makeRun('old', 20);
    mkdirSync(old.model);
    writeFileSync(join(old.model, 'config.json'), '{}');
    makeRun('young', 10);
    expect(resolveModel(undefined, root).folder).toBe(old.model);
    expect(() => resolveModel(root, root)).toThrow(
      'neither a model (no config.json) nor a run (no recipe.json)',
    );
  });
});

describe('the lock', () => {
  const lockOf = (run: RunFolder): string => join(run.root, 'run.lock');
  const write = (run: RunFolder, lock: object): void =>
    writeFileSync(
      lockOf(run),
      JSON.stringify({ host: hostname(), started: '', time: 't', ...lock }),
    );

  it('is held by one, and given back', () => {
    const run = makeRun('a', 0);
    const release = lockRun(run);
    expect(() => lockRun(run)).toThrow(`is being written by process ${process.pid}`);
    release();
    expect(existsSync(lockOf(run))).toBe(false);
    lockRun(run)();
    expect(readdirSync(run.root).sort()).toEqual(['checkpoints', 'recipe.json']);
  });

  it('is taken over from a process that is gone, or that only shares its id, or that was torn', () => {
    const run = makeRun('a', 0);
    const stale: object[] = [{ pid: 2 ** 22 + 5 }];
    // Where the system says when a process started, an id that was given out again is recognised.
    if (existsSync('/proc/self/stat')) stale.push({ pid: process.ppid, started: 'other-boot:1' });
    for (const lock of stale) {
      write(run, lock);
      lockRun(run)();
    }
    writeFileSync(lockOf(run), '{"pid": 1');
    const release = lockRun(run);
    expect(JSON.parse(readFileSync(lockOf(run), 'utf8')).pid).toBe(process.pid);
    release();
  });

  it('of a living process or of another machine is respected', () => {
    const run = makeRun('a', 0);
    write(run, { pid: process.ppid });
    expect(() => lockRun(run)).toThrow(
      `written by process ${process.ppid} since t; stop it first, or delete ${lockOf(run)} if it is gone`,
    );
    write(run, { pid: 1, host: 'elsewhere' });
    expect(() => lockRun(run)).toThrow('by process 1 on elsewhere');
    expect(readdirSync(run.root).sort()).toEqual(['checkpoints', 'recipe.json', 'run.lock']);
  });

  it('is not removed by one who no longer holds it', () => {
    const run = makeRun('a', 0);
    const release = lockRun(run);
    write(run, { pid: process.ppid });
    release();
    expect(JSON.parse(readFileSync(lockOf(run), 'utf8')).pid).toBe(process.ppid);
  });
});
