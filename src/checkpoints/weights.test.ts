import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FLOAT8_E4M3, fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './numbers.js';
import { writeSafetensors } from './safetensors-writer.js';
import { openTensors } from './weights.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-weights-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Stored {
  dtype: string;
  shape: number[];
  data: ArrayBufferView;
}

/** A safetensors file of any types. */
function write(path: string, tensors: Record<string, Stored>): void {
  const header: Record<string, object> = {};
  let at = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const data = Object.values(tensors).map((t) =>
    Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength),
  );
  writeFileSync(path, Buffer.concat([length, json, ...data]));
}

const single = (tensors: Record<string, Stored>): void =>
  write(join(root, 'model.safetensors'), tensors);
const f32 = (values: number[]): Stored => ({
  dtype: 'F32',
  shape: [values.length],
  data: Float32Array.from(values),
});

describe('the tensors of a folder', () => {
  it('come as float32 whatever they are stored as, and in their form', () => {
    const values = Float32Array.of(1, -2.5, 0.1, 65504);
    single({
      a: { dtype: 'F32', shape: [2, 2], data: values },
      b: { dtype: 'F16', shape: [4], data: toFloat16(values) },
      c: { dtype: 'BF16', shape: [4], data: toBfloat16(values) },
    });
    const reader = openTensors(root);
    expect(reader.names).toEqual(['a', 'b', 'c']);
    expect([reader.dtype('b'), reader.shape('a'), reader.has('d')]).toEqual(['F16', [2, 2], false]);
    expect(reader.read('a')).toEqual({ name: 'a', shape: [2, 2], data: values });
    expect(reader.read('b').data).toEqual(fromFloat16(toFloat16(values)));
    expect(reader.read('c').data).toEqual(fromBfloat16(toBfloat16(values)));
    expect(['a', 'b', 'c'].map((name) => reader.form(name))).toEqual(['f32', 'f16', 'bf16']);
    const rows = (name: string, bytes: number): Uint8Array => {
      const target = new Uint8Array(new SharedArrayBuffer(bytes));
      reader.readRows(name, target);
      return target.slice();
    };
    expect(new Float32Array(rows('a', 16).buffer)).toEqual(values);
    expect(new Uint16Array(rows('b', 8).buffer)).toEqual(toFloat16(values));
    expect(new Uint16Array(rows('c', 8).buffer)).toEqual(toBfloat16(values));
    reader.close();
  });

  it('come in pieces that make up the whole', () => {
    const size = (1 << 20) + 12345;
    const values = Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(i)));
    single({
      a: { dtype: 'F32', shape: [size], data: values },
      b: { dtype: 'BF16', shape: [size], data: toBfloat16(values) },
    });
    const reader = openTensors(root);
    expect([...reader.pieces('a')].map((piece) => piece.length)).toEqual([1 << 20, 12345]);
    const same = (a: Float32Array, b: Float32Array): boolean =>
      Buffer.from(a.buffer).equals(Buffer.from(b.buffer));
    expect(same(reader.read('a').data, values)).toBe(true);
    expect(same(reader.read('b').data, fromBfloat16(toBfloat16(values)))).toBe(true);
    reader.close();
  });

  it('are unscaled from blocks of FP8, also where the last block is cut, and the scales are no tensors', () => {
    const [rows, columns] = [130, 257];
    const bits = Uint8Array.from({ length: rows * columns }, (_, i) => (i * 31) % 0x7f);
    const scales = Float32Array.of(1, 2, 0.5, 4, 8, 0.25);
    single({
      'w.weight_scale_inv': { dtype: 'F32', shape: [2, 3], data: scales },
      'w.weight': { dtype: 'F8_E4M3', shape: [rows, columns], data: bits },
    });
    const reader = openTensors(root);
    expect(reader.names).toEqual(['w.weight']);
    const { data } = reader.read('w.weight');
    for (const [row, column] of [
      [0, 0],
      [127, 127],
      [127, 128],
      [128, 0],
      [129, 256],
      [5, 256],
    ] as const) {
      const i = row * columns + column;
      expect(data[i]).toBe(
        FLOAT8_E4M3[bits[i]] * scales[Math.floor(row / 128) * 3 + Math.floor(column / 128)],
      );
    }
    expect(reader.form('w.weight')).toBeNull();
    reader.close();
  });

  it('of FP8 without scales, with wrong ones, or of no readable type are refused', () => {
    const eight: Stored = { dtype: 'F8_E4M3', shape: [2, 2], data: new Uint8Array(4) };
    single({
      none: eight,
      wrong_scale_inv: { dtype: 'F32', shape: [2, 1], data: new Float32Array(2) },
      wrong: eight,
      vector_scale_inv: { dtype: 'F32', shape: [1], data: new Float32Array(1) },
      vector: { ...eight, shape: [4] },
      integers: { dtype: 'I8', shape: [4], data: new Uint8Array(4) },
    });
    const reader = openTensors(root);
    expect(() => reader.read('none')).toThrow(
      '"none" is F8_E4M3, and there is no "none_scale_inv" to scale it by',
    );
    expect(() => reader.read('wrong')).toThrow('its scales are [2,1] and not [1,1]');
    expect(() => reader.read('vector')).toThrow('its shape [4] is no matrix');
    expect(() => reader.read('integers')).toThrow(
      'is of type I8; F32, F16, BF16 and block-scaled F8_E4M3 can be read',
    );
    expect(() => reader.read('missing')).toThrow(
      'has no tensor "missing"; is config.json of another model?',
    );
    reader.close();
  });

  it('that are not finite are refused, with the place', () => {
    single({
      a: f32([1, Number.NaN]),
      b: { dtype: 'BF16', shape: [3], data: Uint16Array.of(0, 0x3f80, 0xff80) },
      c: { dtype: 'F8_E4M3', shape: [1, 2], data: Uint8Array.of(0, 0xff) },
      c_scale_inv: { dtype: 'F32', shape: [1, 1], data: Float32Array.of(1) },
    });
    const reader = openTensors(root);
    expect(() => reader.read('a')).toThrow(
      'tensor "a" has NaN or infinity at element 1; the file is damaged',
    );
    expect(() => reader.readRows('a', new Uint8Array(8))).toThrow('at element 1');
    expect(() => reader.readRows('b', new Uint8Array(6))).toThrow(
      'tensor "b" has NaN or infinity at element 2',
    );
    expect(() => reader.read('b')).toThrow('at element 2');
    expect(() => reader.read('c')).toThrow('at element 1');
    reader.close();
  });
});

describe('a folder of several files', () => {
  const index = (map: unknown): void =>
    writeFileSync(join(root, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  beforeEach(() => {
    for (const name of ['a', 'b']) write(join(root, `${name}.safetensors`), { [name]: f32([1]) });
  });

  it('is one set of tensors', () => {
    index({ a: 'a.safetensors', b: 'b.safetensors' });
    const reader = openTensors(root);
    expect(reader.names).toEqual(['a', 'b']);
    expect([...reader.read('b').data]).toEqual([1]);
    reader.close();
  });

  it('is refused where index and files disagree', () => {
    index({ a: 'b.safetensors', b: 'a.safetensors' });
    expect(() => openTensors(root)).toThrow('says that "a" is in b.safetensors, and it is not');
    index({ x: 'a.safetensors' });
    expect(() => openTensors(root)).toThrow('says that "x" is in a.safetensors');
    copyFileSync(join(root, 'a.safetensors'), join(root, 'c.safetensors'));
    index({ a: 'a.safetensors', c: 'c.safetensors' });
    expect(() => openTensors(root)).toThrow(
      /c\.safetensors has tensor "a", and so has .*a\.safetensors/,
    );
    index({ a: 'gone.safetensors' });
    expect(() => openTensors(root)).toThrow('gone.safetensors: it does not exist');
  });

  it('takes names of files beside the index alone', () => {
    for (const name of [
      '../b.safetensors',
      '/etc/passwd',
      '..\\b.safetensors',
      'b.bin',
      '.safetensors/..',
      'a\0.safetensors',
      1,
      null,
    ]) {
      index({ a: name });
      expect(() => openTensors(root)).toThrow('not a safetensors file beside it');
    }
    for (const map of [null, [], 'x', undefined]) {
      index(map);
      expect(() => openTensors(root)).toThrow('has no weight_map');
    }
    writeFileSync(join(root, 'model.safetensors.index.json'), `{"weight_map":${'['.repeat(1e6)}`);
    expect(() => openTensors(root)).toThrow('is nested more than 64 deep');
    writeFileSync(
      join(root, 'model.safetensors.index.json'),
      '{"weight_map":{"a":"a.safetensors","a":"b.safetensors"}}',
    );
    expect(() => openTensors(root)).toThrow('has the key "a" twice');
    writeFileSync(join(root, 'model.safetensors.index.json'), Buffer.from([0x7b, 0xff, 0x7d]));
    expect(() => openTensors(root)).toThrow('it is not UTF-8 text');
  });

  it('follows no link out of the folder, but the links of the hub’s cache', () => {
    const outside = join(root, 'outside');
    mkdirSync(outside);
    writeSafetensors(join(outside, 'x'), [{ name: 'a', shape: [1], data: Float32Array.of(3) }]);
    const folder = join(root, 'model');
    mkdirSync(folder);
    symlinkSync(join(outside, 'x'), join(folder, 'model.safetensors'));
    expect(() => openTensors(folder)).toThrow(/is a link to .*outside the folder/);
    const cached = join(root, 'models--x', 'snapshots', 'abc');
    mkdirSync(cached, { recursive: true });
    mkdirSync(join(root, 'models--x', 'blobs'));
    copyFileSync(join(outside, 'x'), join(root, 'models--x', 'blobs', 'hash'));
    symlinkSync('../../blobs/hash', join(cached, 'model.safetensors'));
    const reader = openTensors(cached);
    expect([...reader.read('a').data]).toEqual([3]);
    reader.close();
  });
});
