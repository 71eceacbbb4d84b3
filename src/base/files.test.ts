import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from './errors.js';
import { configureFaults, faultCounts } from './faults.js';
import {
  canonicalJson,
  cleanFolder,
  hashOf,
  readJson,
  recoverFolder,
  removeFolderAtomic,
  sha256File,
  writeFileAtomic,
  writeFolderAtomic,
} from './files.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-files-'));
});
afterEach(() => {
  configureFaults(undefined);
  rmSync(folder, { recursive: true, force: true });
});

/** A process id that nobody has. */
const GONE = 2 ** 22 + 12345;

describe('writeFileAtomic', () => {
  it('writes text, bytes and streams, and says what it wrote', () => {
    const path = join(folder, 'a');
    // SHA-256 of "abc", FIPS 180-2, appendix B.1.
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(writeFileAtomic(path, 'abc')).toEqual({ bytes: 3, sha256: abc });
    const stream = [new Uint8Array([97]), new Uint8Array(0), new Uint8Array([98, 99])];
    expect(writeFileAtomic(path, stream)).toEqual({ bytes: 3, sha256: abc });
    expect(sha256File(path)).toEqual({ bytes: 3, sha256: abc });
    expect(hashOf('abc')).toBe(abc);
    expect(readdirSync(folder)).toEqual(['a']);
  });

  it('keeps the old file whole on a full disk, whichever write fails, and names the file', () => {
    const path = join(folder, 'a.json');
    writeFileAtomic(path, 'old');
    for (const spec of ['enospc@1', 'enospc@2', 'enospc@file.write.torn:1']) {
      configureFaults(spec);
      let caught: unknown;
      try {
        writeFileAtomic(path, 'new content');
      } catch (error) {
        caught = error;
      }
      configureFaults(undefined);
      expect(caught).toBeInstanceOf(UserError);
      expect(caught).toMatchObject({ code: 'disk', field: path });
      expect((caught as UserError).message).toBe(
        `cannot write ${path}: the disk is full; free some space, then try again (ENOSPC)`,
      );
      expect(readFileSync(path, 'utf8')).toBe('old');
      expect(readdirSync(folder)).toEqual(['a.json']);
    }
  });

  it('passes a stream’s own error on and removes the temporary', () => {
    const failing = function* (): Generator<Uint8Array> {
      yield new Uint8Array(10);
      throw new Error('no more');
    };
    expect(() => writeFileAtomic(join(folder, 'a'), failing())).toThrow('no more');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('removes temporaries of dead processes, and only those', () => {
    writeFileSync(join(folder, `a.tmp-${GONE}`), 'half');
    writeFileSync(join(folder, `a.tmp-${process.ppid}`), 'half');
    writeFileSync(join(folder, `b.tmp-${GONE}`), 'half');
    writeFileAtomic(join(folder, 'a'), 'whole');
    expect(readdirSync(folder).sort()).toEqual(
      ['a', `a.tmp-${process.ppid}`, `b.tmp-${GONE}`].sort(),
    );
    cleanFolder(folder);
    expect(readdirSync(folder).sort()).toEqual(['a', `a.tmp-${process.ppid}`].sort());
  });

  it('passes its fault points in order', () => {
    configureFaults('count');
    writeFileAtomic(join(folder, 'a'), 'abc', 'bill');
    expect(faultCounts()).toEqual({
      total: 5,
      writes: 2,
      byName: {
        'bill.write.before': 1,
        'bill.write.torn': 1,
        'bill.write.after': 1,
        'bill.rename.before': 1,
        'bill.rename.after': 1,
      },
    });
  });
});

describe('writeFolderAtomic', () => {
  it('creates parents, replaces a folder that has files, and leaves nothing else', async () => {
    const path = join(folder, 'deep/model');
    expect(
      await writeFolderAtomic(path, (at) => writeFileSync(join(at, 'one'), '1')),
    ).toBeUndefined();
    expect(
      await writeFolderAtomic(path, async (at) => {
        mkdirSync(join(at, 'sub'));
        writeFileSync(join(at, 'sub/two'), '2');
        return 7;
      }),
    ).toBe(7);
    expect(readdirSync(join(folder, 'deep'))).toEqual(['model']);
    expect(readdirSync(path)).toEqual(['sub']);
  });

  it('keeps the old folder when the new one cannot be filled', async () => {
    const path = join(folder, 'model');
    await writeFolderAtomic(path, (at) => writeFileSync(join(at, 'one'), '1'));
    const failing = writeFolderAtomic(path, (at) => {
      writeFileSync(join(at, 'half'), '');
      throw new Error('stop');
    });
    await expect(failing).rejects.toThrow('stop');
    expect(readdirSync(folder)).toEqual(['model']);
    expect(readdirSync(path)).toEqual(['one']);
  });

  it('puts back a folder whose replacement was cut between the renames', () => {
    const path = join(folder, 'model');
    mkdirSync(`${path}.old-${GONE}`);
    writeFileSync(join(`${path}.old-${GONE}`, 'one'), '1');
    mkdirSync(`${path}.tmp-${GONE}`);
    recoverFolder(path);
    expect(readdirSync(folder)).toEqual(['model']);
    expect(readdirSync(path)).toEqual(['one']);
  });

  it('removes a folder', () => {
    mkdirSync(join(folder, 'x/y'), { recursive: true });
    removeFolderAtomic(join(folder, 'x'));
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('readJson and hashes', () => {
  it('says in one line what is wrong', () => {
    const path = join(folder, 'r.json');
    expect(() => readJson(path, 'recipe')).toThrow(`cannot read recipe ${path}: it does not exist`);
    expect(() => readJson(folder, 'recipe')).toThrow(
      `cannot read recipe ${folder}: it is a folder`,
    );
    writeFileSync(path, '{"a": \n}');
    expect(() => readJson(path, 'recipe')).toThrow(
      /^recipe .*r\.json is not valid JSON at line 2, column 1: [^\n]*$/,
    );
    writeFileSync(path, '\ufeff{"a": 1}');
    expect(readJson(path)).toEqual({ a: 1 });
  });

  it('hashes a value whatever the order of its keys, and tells different values apart', () => {
    expect(canonicalJson({ b: [1, { d: 1, c: 2 }], a: null })).toBe(
      '{"a":null,"b":[1,{"c":2,"d":1}]}',
    );
    expect(hashOf({ a: 1, b: 2 })).toBe(hashOf({ b: 2, a: 1 }));
    expect(hashOf({ a: 1, b: 2 })).not.toBe(hashOf({ a: 2, b: 1 }));
    expect(canonicalJson(JSON.parse('{"__proto__": 1}'))).toBe('{"__proto__":1}');
  });
});
