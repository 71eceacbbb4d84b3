/**
 * @file Random instructions, as text for the GNU assembler and as calls of ours: the two must give
 * the same bytes. fixtures/make.mjs runs the first half, x86.test.ts the second.
 */
import { createHash } from 'node:crypto';
import { Random } from '../../../base/random.js';
import {
  Assembler,
  at,
  isRegister,
  K,
  type Memory,
  type Operand,
  R32,
  R64,
  type Register,
  VECTOR,
  type VectorInstruction,
  type VectorName,
  XMM,
  YMM,
  ZMM,
} from '../x86.js';

export interface RandomInstruction {
  /** Mnemonic, encoding and length: what a hash of the fixture covers. */
  group: string;
  /** Intel syntax. */
  text: string;
  emit(assembler: Assembler): void;
}

/** What binutils made of the same instructions. */
export interface Encodings {
  binutils: string;
  count: number;
  /** SHA-256 of all bytes of a group, and its first instructions in full, to find a mistake by. */
  groups: Record<string, { count: number; hash: string; samples: [text: string, bytes: string][] }>;
}

const RSP = 4;
/** `at&t` names of a byte, a word and so on, by how much memory an operand covers. */
const SIZES: Record<number, string> = {
  4: 'dword',
  8: 'qword',
  16: 'xmmword',
  32: 'ymmword',
  64: 'zmmword',
};
const R64_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const R32_NAMES = 'eax ecx edx ebx esp ebp esi edi'.split(' ');

function nameOf({ kind, n }: Register): string {
  if (kind === 'r64') return R64_NAMES[n];
  if (kind === 'r32') return n < 8 ? R32_NAMES[n] : `r${n}d`;
  return `${kind}${n}`;
}

function textOf(operand: Operand, bytes: number): string {
  if (isRegister(operand)) return nameOf(operand);
  const { base, index, scale = 1, displacement } = operand;
  const parts = [nameOf(base as Register), ...(index ? [`${nameOf(index)}*${scale}`] : [])];
  const sign = displacement < 0 ? '-' : '+';
  return `${SIZES[bytes]} ptr [${parts.join('+')}${sign}${Math.abs(displacement)}]`;
}

const BYTES = { xmm: 16, ymm: 32, zmm: 64 } as const;
type Vector = keyof typeof BYTES;
const FILES: Record<Vector, readonly Register[]> = { xmm: XMM, ymm: YMM, zmm: ZMM };

/** Instructions that end in these work on one element, and those on half a vector as given. */
const SCALAR = /^vmovs[sd]|^v(add|mul|div|sqrt)ss/;
/** The same instruction in another table entry. */
const mnemonic = (name: string): string => name.replace(/(Store|Mask)$/, '');

export function* randomInstructions(count: number, seed = 1): Generator<RandomInstruction> {
  const random = new Random(seed);
  const below = (n: number): number => Math.floor(random.uniform() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)];
  const general = (): Register => R64[below(16)];

  const memory = (unit: number): Memory => {
    const kind = below(5);
    const displacement =
      kind === 0 ? 0 : kind < 3 ? unit * (below(256) - 128) : below(1 << 20) - (1 << 19);
    if (below(3) > 0) return at(general(), displacement);
    const index = pick(R64.filter(({ n }) => n !== RSP));
    return at(general(), displacement, index, pick([1, 2, 4, 8]));
  };

  /** An operand of a kind, for an instruction on vectors of `vector` bytes. */
  const vectorInstruction = (
    name: VectorName,
    evex: boolean,
    vector: Vector,
  ): RandomInstruction => {
    const i: VectorInstruction = VECTOR[name];
    const scalar = SCALAR.test(name);
    const bytes = BYTES[vector];
    const covered =
      i.tuple === 'full'
        ? bytes
        : i.tuple === 'half'
          ? bytes / 2
          : i.tuple === 'quarter'
            ? bytes / 4
            : i.tuple;
    const mask = evex && name !== 'vcmppsMask' && below(2) === 0 ? K[1 + below(7)] : undefined;
    const file = FILES[scalar ? 'xmm' : vector];
    const register = (): Register => file[below(evex ? 32 : 16)];
    const rmKind: Vector =
      name === 'vextractf128' || name === 'vinsertf128' || name === 'vbroadcastss'
        ? 'xmm'
        : name === 'vextractf64x4' || name === 'vcvtneps2bf16'
          ? 'ymm'
          : i.tuple === 'half'
            ? ({ zmm: 'ymm', ymm: 'xmm', xmm: 'xmm' } as const)[vector]
            : i.tuple === 'quarter'
              ? 'xmm'
              : vector;
    const memoryBytes = /f128/.test(name) ? (name === 'vperm2f128' ? 32 : 16) : covered;
    const onlyMemory = /^vmask|^vmovs[sd]|^vmovupsStore/.test(name);
    const onlyRegisters = name === 'vcvtneps2bf16' || i.form === 'vmi';
    const rm = (): Operand =>
      onlyMemory || (!onlyRegisters && below(2) === 0)
        ? memory(memoryBytes)
        : FILES[scalar ? 'xmm' : name === 'vcvtneps2bf16' ? vector : rmKind][below(evex ? 32 : 16)];
    const operands: Operand[] = [...i.form.replace('i', '')].map((place) =>
      place === 'm' ? rm() : register(),
    );
    if (name === 'vcvtneps2bf16') operands[0] = YMM[below(32)];
    if (name === 'vcmppsMask') operands[0] = K[1 + below(7)];
    const immediate = i.form.endsWith('i') || i.form === 'vmi' ? below(32) : undefined;
    // A memory destination merges.
    const zero = mask !== undefined && isRegister(operands[0]) && below(2) === 0;
    const fourth = name === 'vblendvps' ? `${vector}${immediate && immediate & 15}` : immediate;
    const encoded =
      name === 'vblendvps' && immediate !== undefined ? (immediate & 15) << 4 : immediate;
    const texts = operands.map((o) => textOf(o, isRegister(o) ? 0 : memoryBytes));
    texts[0] += mask ? `{${nameOf(mask)}}${zero ? '{z}' : ''}` : '';
    const prefix = evex ? '{evex} ' : '';
    return {
      group: `${name} ${evex ? 'evex' : 'vex'} ${scalar ? 'scalar' : vector}`,
      text: `${prefix}${mnemonic(name)} ${[...texts, ...(fourth === undefined ? [] : [fourth])].join(', ')}`,
      emit: (a) => a.vector(name, operands, { immediate: encoded, mask, zero, evex }),
    };
  };

  const wide = (): Operand => (below(2) === 0 ? general() : memory(8));
  const immediate = (): number => (below(2) === 0 ? below(256) - 128 : below(1 << 30) - (1 << 29));
  const generals: (() => RandomInstruction)[] = [
    () => {
      const [to, from] = [general(), wide()];
      return plain('mov load', `mov ${nameOf(to)}, ${textOf(from, 8)}`, (a) => a.mov(to, from));
    },
    () => {
      const [to, from] = [memory(8), general()];
      return plain('mov store', `mov ${textOf(to, 8)}, ${nameOf(from)}`, (a) => a.mov(to, from));
    },
    () => {
      const [to, from] = [R32[below(16)], memory(4)];
      return plain('mov load 32', `mov ${nameOf(to)}, ${textOf(from, 4)}`, (a) => a.mov(to, from));
    },
    () => {
      const [to, value] = [general(), immediate()];
      return plain('mov immediate', `mov ${nameOf(to)}, ${value}`, (a) =>
        a.movImmediate(to, value),
      );
    },
    () => {
      const [to, from] = [general(), memory(4)];
      return plain('movsxd', `movsxd ${nameOf(to)}, ${textOf(from, 4)}`, (a) => a.movsxd(to, from));
    },
    () => {
      const [to, from] = [general(), memory(8)];
      const text = textOf(from, 8).replace('qword ptr ', '');
      return plain('lea', `lea ${nameOf(to)}, ${text}`, (a) => a.lea(to, from));
    },
    () => {
      const name = pick(['add', 'and', 'sub', 'xor', 'cmp'] as const);
      const [to, from] = [general(), below(2) === 0 ? wide() : immediate()];
      const text = typeof from === 'number' ? from : textOf(from, 8);
      return plain('arithmetic', `${name} ${nameOf(to)}, ${text}`, (a) =>
        a.arithmetic(name, to, from),
      );
    },
    () => {
      const [to, from] = [general(), wide()];
      const value = below(2) === 0 ? immediate() : undefined;
      const third = value === undefined ? '' : `, ${value}`;
      return plain('imul', `imul ${nameOf(to)}, ${textOf(from, 8)}${third}`, (a) =>
        a.imul(to, from, value),
      );
    },
    () => {
      const name = pick(['shl', 'shr', 'sar'] as const);
      const [register, bits] = [general(), 1 + below(63)];
      return plain('shift', `${name} ${nameOf(register)}, ${bits}`, (a) =>
        a.shift(name, register, bits),
      );
    },
    () => {
      const r = general();
      const name = pick(['increment', 'decrement', 'negate', 'push', 'pop'] as const);
      const short = { increment: 'inc', decrement: 'dec', negate: 'neg', push: 'push', pop: 'pop' };
      return plain('one register', `${short[name]} ${nameOf(r)}`, (a) => a[name](r));
    },
    () => {
      const [x, y] = [general(), general()];
      return plain('test', `test ${nameOf(x)}, ${nameOf(y)}`, (a) => a.test(x, y));
    },
    () => {
      const condition = pick(['z', 'nz', 'l', 'ge', 'le', 'g', 'b', 'ae', 'be', 'a'] as const);
      const [to, from] = [general(), wide()];
      return plain('cmov', `cmov${condition} ${nameOf(to)}, ${textOf(from, 8)}`, (a) =>
        a.cmov(condition, to, from),
      );
    },
    () => {
      const from = memory(8);
      const text = textOf(from, 8).replace('qword ptr ', '');
      return plain('prefetcht0', `prefetcht0 ${text}`, (a) => a.prefetch(from));
    },
    () => {
      const [to, from] = [K[below(8)], R32[below(16)]];
      return plain('kmovw', `kmovw ${nameOf(to)}, ${nameOf(from)}`, (a) => a.kmovw(to, from));
    },
    () => pick(FIXED),
  ];

  const vectors: (() => RandomInstruction)[] = [];
  for (const name of Object.keys(VECTOR) as VectorName[]) {
    const i: VectorInstruction = VECTOR[name];
    const lengths: Vector[] = SCALAR.test(name) ? ['xmm'] : ['ymm', 'zmm'];
    for (const vector of lengths) {
      const wider = vector === 'zmm';
      if (i.vex && !wider) vectors.push(() => vectorInstruction(name, false, vector));
      if (i.evex && (wider || SCALAR.test(name)))
        vectors.push(() => vectorInstruction(name, true, vector));
    }
    if (['vaddps', 'vmovups', 'vhaddps', 'vshufps', 'vmovaps', 'vmaxps'].includes(name))
      vectors.push(() => vectorInstruction(name, false, 'xmm'));
  }
  const all = [...vectors, ...generals];
  for (let n = 0; n < count; n++) yield all[n % all.length]();
}

const plain = (group: string, text: string, emit: (a: Assembler) => void): RandomInstruction => ({
  group,
  text,
  emit,
});

const FIXED: readonly RandomInstruction[] = [
  plain('fixed', 'ret', (a) => a.return()),
  plain('fixed', 'vzeroupper', (a) => a.vzeroupper()),
  plain('fixed', 'cpuid', (a) => a.cpuid()),
  plain('fixed', 'xgetbv', (a) => a.xgetbv()),
];

const SAMPLES = 5;

/** The document of the fixture, from instructions and what became of each. */
export function summarize(
  instructions: readonly RandomInstruction[],
  encode: (instruction: RandomInstruction, n: number) => Uint8Array,
): Encodings['groups'] {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  const groups: Encodings['groups'] = {};
  instructions.forEach((instruction, n) => {
    const { group, text } = instruction;
    groups[group] ??= { count: 0, hash: '', samples: [] };
    if (!hashes.has(group)) hashes.set(group, createHash('sha256'));
    const bytes = encode(instruction, n);
    hashes.get(group)?.update(text).update(bytes);
    if (groups[group].count++ < SAMPLES)
      groups[group].samples.push([text, Buffer.from(bytes).toString('hex')]);
  });
  for (const [group, hash] of hashes) groups[group].hash = hash.digest('hex').slice(0, 24);
  return groups;
}

/** One instruction's bytes by our assembler. */
export function assembleOne({ emit }: RandomInstruction): Uint8Array {
  const assembler = new Assembler();
  emit(assembler);
  return assembler.finish();
}
