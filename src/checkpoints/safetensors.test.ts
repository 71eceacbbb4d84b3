import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import {
  FLOAT8_E4M3,
  firstNotFinite,
  fromBfloat16,
  fromFloat16,
  toBfloat16,
  toFloat16,
} from './numbers.js';
import { type NamedTensor, openSafetensors, parseSafetensors } from './safetensors.js';
import { encodeSafetensors, writeSafetensors } from './safetensors-writer.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-safetensors-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file's bytes from header text and data, as a stranger would make it. */
function fileOf(header: string | object, dataBytes: number, declared?: bigint): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = Buffer.alloc(8 + json.length + dataBytes);
  bytes.writeBigUInt64LE(declared ?? BigInt(json.length));
  json.copy(bytes, 8);
  return bytes;
}

const f32 = (shape: unknown, begin: unknown, end: unknown): object => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

describe('16-bit numbers', () => {
  it('rounds to BF16 to nearest, ties to even', () => {
    // 1 + 2⁻⁸ lies midway between 1 (0x3f80) and 1 + 2⁻⁷ (0x3f81): to the even one. 1 + 3·2⁻⁸ lies
    // midway above 0x3f81.
    const values = [
      1,
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      1 + 2 ** -8 + 2 ** -20,
      -1,
      0,
      -0,
      3.4028234663852886e38,
      Number.POSITIVE_INFINITY,
    ];
    const expected = [0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xbf80, 0, 0x8000, 0x7f80, 0x7f80];
    expect([...toBfloat16(Float32Array.from(values))]).toEqual(expected);
    const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xffffffff).buffer);
    expect([...fromBfloat16(toBfloat16(nan))]).toEqual([Number.NaN, Number.NaN]);
  });

  it('expands every finite BF16 to itself', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter(
      (x) => (x & 0x7f80) !== 0x7f80,
    );
    expect(toBfloat16(fromBfloat16(bits))).toEqual(bits);
  });

  it('expands F16 exactly', () => {
    const bits = Uint16Array.of(
      0x3c00,
      0xc000,
      0x7bff,
      0x0400,
      0x03ff,
      0x0001,
      0x8000,
      0x7c00,
      0xfc00,
      0x7e00,
      0x3555,
    );
    const values = [
      1,
      -2,
      65504,
      2 ** -14,
      1023 * 2 ** -24,
      2 ** -24,
      -0,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      0.333251953125,
    ];
    expect([...fromFloat16(bits)]).toEqual(values);
  });

  it('rounds to F16 to nearest, ties to even, and every F16 to itself', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter(
      (x) => (x & 0x7fff) <= 0x7c00,
    );
    expect(toFloat16(fromFloat16(bits))).toEqual(bits);
    // 1 + 2⁻¹¹ is midway between 1 and 1 + 2⁻¹⁰; 2⁻²⁵ midway between 0 and the smallest; 65520
    // midway to infinity.
    const values = [
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      1 + 2 ** -11 + 2 ** -23,
      2 ** -25,
      3 * 2 ** -25,
      -1e-9,
      65519,
      65520,
      -1e9,
    ];
    expect([...toFloat16(Float32Array.from(values))]).toEqual([
      0x3c00, 0x3c02, 0x3c01, 0, 2, 0x8000, 0x7bff, 0x7c00, 0xfc00,
    ]);
    expect(fromFloat16(toFloat16(Float32Array.of(Number.NaN)))[0]).toBeNaN();
  });

  it('knows every F8_E4M3', () => {
    expect([0, 1, 7, 8, 0x38, 0x7e].map((x) => FLOAT8_E4M3[x])).toEqual([
      0,
      2 ** -9,
      7 * 2 ** -9,
      2 ** -6,
      1,
      448,
    ]);
    expect([FLOAT8_E4M3[0xb8], FLOAT8_E4M3[0x7f], FLOAT8_E4M3[0xff]]).toEqual([
      -1,
      Number.NaN,
      Number.NaN,
    ]);
  });

  it('finds the first number that is none', () => {
    expect(firstNotFinite(Float32Array.of(1, -3e38, 3e38))).toBe(-1);
    expect(firstNotFinite(Float32Array.of(1, Number.NEGATIVE_INFINITY, Number.NaN))).toBe(1);
  });
});

describe('round trip', () => {
  const random = new Random(1, 'safetensors');
  const numbers = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => random.normal());
  const tensors: NamedTensor[] = [
    { name: 'model.embed_tokens.weight', shape: [7, 5], data: numbers(35) },
    { name: '0', shape: [], data: numbers(1) },
    { name: 'empty', shape: [3, 0], data: numbers(0) },
    { name: 'né "quoted" \n', shape: [2, 1, 3], data: numbers(6) },
  ];

  it('gives the same bits in F32, with names, order, shapes and metadata', () => {
    const path = join(folder, 'f32.safetensors');
    const written = writeSafetensors(path, tensors, { metadata: { format: 'pt' } });
    expect(written.bytes).toBe(statSync(path).size);
    // The header is padded so that data starts at a multiple of eight.
    expect(readFileSync(path).readBigUInt64LE() % 8n).toBe(0n);
    const file = openSafetensors(path);
    expect([...file.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
    expect(Object.fromEntries(file.metadata)).toEqual({ format: 'pt' });
    for (const tensor of tensors) expect(file.read(tensor.name)).toEqual(tensor);
    expect(() => file.read('missing')).toThrow('has no tensor "missing"');
    file.close();
    file.close();
  });

  it('rounds to BF16, from pieces as from a whole', () => {
    const pieces = tensors.map(({ name, shape, data }) => ({
      name,
      shape,
      data: [data.subarray(0, 1), data.subarray(1)],
    }));
    const whole = Buffer.concat([...encodeSafetensors(tensors, 'BF16')]);
    expect(Buffer.concat([...encodeSafetensors(pieces, 'BF16')]).equals(whole)).toBe(true);
    const file = parseSafetensors(whole);
    for (const { name, data } of tensors) {
      const bits = new Uint16Array(data.length);
      file.readBytes(name, 0, new Uint8Array(bits.buffer));
      expect(bits).toEqual(toBfloat16(data));
      expect(file.read(name).data).toEqual(fromBfloat16(toBfloat16(data)));
    }
  });

  it('gives a file without tensors', () => {
    const file = parseSafetensors(Buffer.concat([...encodeSafetensors([])]));
    expect(file.tensors.size).toBe(0);
  });

  it('refuses to write what it could not read', () => {
    const wrong = [{ name: 'a', shape: [3], data: new Float32Array(2) }];
    expect(() => [...encodeSafetensors(wrong)]).toThrow(
      'a has 2 numbers, but its shape [3] holds 3',
    );
    const twice = [1, 2].map(() => ({ name: 'a', shape: [1], data: new Float32Array(1) }));
    expect(() => [...encodeSafetensors(twice)]).toThrow('used twice');
  });

  it('reads a header that is not padded, and types it does not convert only by name', () => {
    const header = { b: { dtype: 'I64', shape: [1], data_offsets: [0, 8] }, a: f32([1], 8, 12) };
    const file = parseSafetensors(fileOf(header, 12));
    expect([...file.read('a').data]).toEqual([0]);
    expect(() => file.read('b')).toThrow(
      'tensor "b" is of type I64; F32, F16 and BF16 can be read',
    );
  });
});

describe('hostile files', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['no length', new Uint8Array(7), /it has 7 bytes/],
    [
      'a header beyond the file',
      fileOf('{}', 0, 100n),
      /header claims 100 bytes, but the file has 10/,
    ],
    ['a header over the limit', fileOf('{}', 0, 100_000_001n), /more than 100000000/],
    ['a header of 2^64 − 1', fileOf('{}', 0, 2n ** 64n - 1n), /more than 100000000/],
    ['no JSON', fileOf('{"a":', 0), /not valid JSON/],
    [
      'text that is not UTF-8',
      Buffer.concat([fileOf('', 0, 1n), Buffer.from([0xff])]),
      /not valid JSON/,
    ],
    ['a list', fileOf('[]', 0), /not a JSON object/],
    ['null', fileOf('null', 0), /not a JSON object/],
    ['deep nesting', fileOf(`{"a":${'['.repeat(1e6)}`, 0), /nested too deeply/],
    ['a tensor without description', fileOf({ a: 1 }, 0), /"a" has no description/],
    [
      'an unknown type',
      fileOf({ a: { dtype: 'F33', shape: [0], data_offsets: [0, 0] } }, 0),
      /unknown type "F33"/,
    ],
    [
      'a type from the prototype',
      fileOf({ a: { dtype: 'toString', shape: [0], data_offsets: [0, 0] } }, 0),
      /unknown type/,
    ],
    ['a negative dimension', fileOf({ a: f32([-1], 0, 4) }, 4), /impossible shape \[-1\]/],
    ['a fraction', fileOf({ a: f32([0.5, 2], 0, 4) }, 4), /impossible shape/],
    ['a shape of text', fileOf({ a: f32('4', 0, 4) }, 4), /impossible shape "4"/],
    ['too many dimensions', fileOf({ a: f32(Array(33).fill(1), 0, 4) }, 4), /impossible shape/],
    ['a huge shape', fileOf({ a: f32([2 ** 30, 2 ** 30], 0, 4) }, 4), /not the 4 bytes/],
    [
      'a shape past all numbers',
      fileOf({ a: f32(Array(32).fill(2 ** 52), 0, 4) }, 4),
      /not the 4 bytes/,
    ],
    [
      'one offset',
      fileOf({ a: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4),
      /impossible data_offsets/,
    ],
    ['offsets reversed', fileOf({ a: f32([1], 4, 0) }, 4), /impossible data_offsets/],
    [
      'data beyond the file',
      fileOf({ a: f32([2 ** 40], 0, 2 ** 42) }, 4),
      /ends at byte 4398046511104 of 4/,
    ],
    ['a shape smaller than its data', fileOf({ a: f32([1], 0, 8) }, 8), /not the 8 bytes/],
    ['an overlap', fileOf({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8), /"b" overlaps/],
    [
      'a gap',
      fileOf({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12),
      /gap of 4 bytes before tensor "b"/,
    ],
    ['a gap at the start', fileOf({ a: f32([1], 4, 8) }, 8), /gap of 4 bytes/],
    ['bytes at the end', fileOf({ a: f32([1], 0, 4) }, 6), /2 bytes at its end/],
    [
      'misaligned data',
      fileOf({ u: { dtype: 'U8', shape: [1], data_offsets: [0, 1] }, a: f32([1], 1, 5) }, 5),
      /not aligned for F32/,
    ],
    [
      'a name twice',
      fileOf(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
        4,
      ),
      /"a" occurs twice/,
    ],
    [
      'a field twice',
      fileOf('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /"dtype" occurs twice/,
    ],
    [
      '__proto__',
      fileOf('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /__proto__/,
    ],
    [
      'metadata that is not text',
      fileOf({ __metadata__: { a: 1 } }, 0),
      /__metadata__ "a" is not text/,
    ],
    ['metadata that is a list', fileOf({ __metadata__: [] }, 0), /__metadata__ is not an object/],
  ];
  it.each(cases)('%s', (_name, bytes, message) => {
    let caught: unknown;
    try {
      parseSafetensors(bytes, 'x.safetensors');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(UserError);
    expect(caught).toMatchObject({ code: 'data', field: 'x.safetensors' });
    expect((caught as Error).message).toMatch(message);
    expect((caught as Error).message).not.toContain('\n');
    expect((caught as Error).message.length).toBeLessThan(300);
  });

  it('says the same of files on disk, and notices one that shrinks while open', () => {
    const path = join(folder, 'shrinks.safetensors');
    expect(() => openSafetensors(path)).toThrow(`cannot read ${path}: it does not exist`);
    expect(() => openSafetensors(folder)).toThrow('it is not a file');
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 123\n';
    writeFileSync(path, pointer);
    expect(() => openSafetensors(path)).toThrow(/pointer of Git LFS.*git lfs pull/);
    writeFileSync(path, fileOf({ a: f32([1], 0, 4) }, 2));
    expect(() => openSafetensors(path)).toThrow('truncated or altered');
    writeFileSync(path, fileOf({ a: f32([1], 0, 4) }, 4));
    const file = openSafetensors(path);
    truncateSync(path, 20);
    expect(() => file.read('a')).toThrow('became shorter');
    file.close();
  });

  it('gives a sound file or a UserError for 20,000 mutations', () => {
    const good = Buffer.concat([
      ...encodeSafetensors(
        [
          { name: 'a', shape: [2, 3], data: new Float32Array(6) },
          { name: 'b', shape: [1], data: new Float32Array(1) },
        ],
        'F32',
        { format: 'pt' },
      ),
    ]);
    const header = good.subarray(8, 8 + Number(good.readBigUInt64LE())).toString();
    const data = good.subarray(8 + header.length);
    const snippets = [
      '-1',
      '1e400',
      '9007199254740993',
      '""',
      '{}',
      '[',
      ']',
      '}',
      ',',
      ':',
      '\\',
      '"',
      'null',
      '__proto__',
      '__metadata__',
      '0',
      '4',
      'BF16',
      'F16',
      'I64',
      ' ',
    ];
    const random = new Random(7, 'fuzz');
    let sound = 0;
    for (let i = 0; i < 20_000; i++) {
      let bytes: Uint8Array;
      if (i % 2 === 0) {
        // Bytes anywhere: length, header or data.
        bytes = Uint8Array.from(good);
        for (let k = random.integer(1, 3); k > 0; k--)
          bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
        if (random.chance(0.2)) bytes = bytes.subarray(0, random.integer(0, bytes.length));
      } else {
        // The header's text, with a length that fits.
        let text = header;
        for (let k = random.integer(1, 3); k > 0; k--) {
          const at = random.integer(0, text.length);
          text = text.slice(0, at) + random.pick(snippets) + text.slice(at + random.integer(0, 4));
        }
        bytes = Buffer.concat([fileOf(text, 0), data]);
      }
      try {
        const file = parseSafetensors(bytes);
        for (const name of file.tensors.keys()) {
          const { shape, data: values } = file.read(name);
          expect(values.length).toBe(shape.reduce((x, y) => x * y, 1));
        }
        sound++;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
      }
    }
    // Mutations of data and of spaces leave a sound file; most others must not.
    expect(sound).toBeGreaterThan(500);
    expect(sound).toBeLessThan(10_000);
  });
});
