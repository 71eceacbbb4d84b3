/**
 * @file An assembler for x86-64: general registers, AVX2 and FMA (VEX), AVX-512 (EVEX).
 *
 * It knows the instructions that our kernels need, as a table: opcode map, mandatory prefix, opcode,
 * form of the operands. Encodings follow Intel's Software Developer's Manual, volume 2, chapter 2,
 * and are the ones that the GNU assembler picks, byte for byte (x86.test.ts compares 10,000).
 */

export type RegisterKind = 'r32' | 'r64' | 'xmm' | 'ymm' | 'zmm' | 'k';

export interface Register {
  readonly kind: RegisterKind;
  readonly n: number;
}

/** A place in the code that jumps and constants refer to; `at` is its offset once it is bound. */
export interface Label {
  at: number;
}

/** [base + index·scale + displacement], or a constant of the code's own at `label`. */
export interface Memory {
  readonly base?: Register;
  readonly index?: Register;
  readonly scale?: 1 | 2 | 4 | 8;
  readonly displacement: number;
  readonly label?: Label;
}

export type Operand = Register | Memory;

export interface VectorOptions {
  /** The last, 8-bit operand. */
  immediate?: number;
  /** AVX-512: lanes that are written; the others keep their value, or become 0 with `zero`. */
  mask?: Register;
  zero?: boolean;
  /** Forces the EVEX encoding where both exist. */
  evex?: boolean;
}

const registers = (kind: RegisterKind, count: number): readonly Register[] =>
  Array.from({ length: count }, (_, n) => ({ kind, n }));

export const R64 = registers('r64', 16);
export const R32 = registers('r32', 16);
export const XMM = registers('xmm', 32);
export const YMM = registers('ymm', 32);
export const ZMM = registers('zmm', 32);
export const K = registers('k', 8);
export const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15] = R64;

export const isRegister = (x: Operand): x is Register => 'kind' in x;
/** The low half of a 64-bit register. */
export const low = (r: Register): Register => R32[r.n];

export const at = (
  base: Register,
  displacement = 0,
  index?: Register,
  scale?: 1 | 2 | 4 | 8,
): Memory => ({ base, displacement, index, scale });

/**
 * How operands go into an instruction: `rvm` is (register, vvvv, register or memory) and so on, `i`
 * an immediate; `vmi` has an opcode extension in the register's place.
 */
export type Form = 'rm' | 'mr' | 'rvm' | 'mvr' | 'rmi' | 'mri' | 'rvmi' | 'vmi';

/**
 * What a memory operand covers, which scales an EVEX displacement: the whole vector, a half, a
 * quarter, or one element.
 */
export type Tuple = 'full' | 'half' | 'quarter' | 4 | 8 | 16 | 32;

export interface VectorInstruction {
  map: 1 | 2 | 3;
  /** Mandatory prefix: 0 none, 1 66, 2 F3, 3 F2. */
  prefix: 0 | 1 | 2 | 3;
  opcode: number;
  form: Form;
  tuple: Tuple;
  /** VEX.W and EVEX.W. */
  w: { vex: 0 | 1; evex: 0 | 1 };
  /** Opcode extension of `vmi`. */
  extension: number;
  /** Which encodings there are. */
  vex: boolean;
  evex: boolean;
  /** The opcode of the same move the other way round. */
  reverse?: number;
}

type Extra = Partial<Omit<VectorInstruction, 'map' | 'prefix' | 'opcode' | 'form'>>;
const entry = (
  map: 1 | 2 | 3,
  prefix: 0 | 1 | 2 | 3,
  opcode: number,
  form: Form,
  extra: Extra = {},
): VectorInstruction => ({
  map,
  prefix,
  opcode,
  form,
  tuple: 'full',
  w: { vex: 0, evex: 0 },
  extension: 0,
  vex: true,
  evex: true,
  ...extra,
});
const W1 = { w: { vex: 1, evex: 1 } } as const;
/** Float64 instructions whose VEX form ignores W. */
const EVEX_W1 = { w: { vex: 0, evex: 1 } } as const;
const VEX_ONLY = { evex: false } as const;
const EVEX_ONLY = { vex: false } as const;

/** Every vector instruction that kernels may use. */
export const VECTOR = {
  vmovups: entry(1, 0, 0x10, 'rm', { reverse: 0x11 }),
  vmovupsStore: entry(1, 0, 0x11, 'mr'),
  vmovaps: entry(1, 0, 0x28, 'rm', { reverse: 0x29 }),
  vmovss: entry(1, 2, 0x10, 'rm', { tuple: 4 }),
  vmovssStore: entry(1, 2, 0x11, 'mr', { tuple: 4 }),
  vmovsd: entry(1, 3, 0x10, 'rm', { tuple: 8, ...EVEX_W1 }),
  vmovsdStore: entry(1, 3, 0x11, 'mr', { tuple: 8, ...EVEX_W1 }),
  vbroadcastss: entry(2, 1, 0x18, 'rm', { tuple: 4 }),
  vmaskmovps: entry(2, 1, 0x2c, 'rvm', VEX_ONLY),
  vmaskmovpsStore: entry(2, 1, 0x2e, 'mvr', VEX_ONLY),
  vaddps: entry(1, 0, 0x58, 'rvm'),
  vmulps: entry(1, 0, 0x59, 'rvm'),
  vsubps: entry(1, 0, 0x5c, 'rvm'),
  vminps: entry(1, 0, 0x5d, 'rvm'),
  vdivps: entry(1, 0, 0x5e, 'rvm'),
  vmaxps: entry(1, 0, 0x5f, 'rvm'),
  vsqrtps: entry(1, 0, 0x51, 'rm'),
  vaddpd: entry(1, 1, 0x58, 'rvm', EVEX_W1),
  vmulpd: entry(1, 1, 0x59, 'rvm', EVEX_W1),
  vaddss: entry(1, 2, 0x58, 'rvm', { tuple: 4 }),
  vmulss: entry(1, 2, 0x59, 'rvm', { tuple: 4 }),
  vdivss: entry(1, 2, 0x5e, 'rvm', { tuple: 4 }),
  vsqrtss: entry(1, 2, 0x51, 'rvm', { tuple: 4 }),
  vfmadd213ps: entry(2, 1, 0xa8, 'rvm'),
  vfmadd231ps: entry(2, 1, 0xb8, 'rvm'),
  vfnmadd231ps: entry(2, 1, 0xbc, 'rvm'),
  vfmadd231pd: entry(2, 1, 0xb8, 'rvm', W1),
  vandps: entry(1, 0, 0x54, 'rvm'),
  vandnps: entry(1, 0, 0x55, 'rvm'),
  vxorps: entry(1, 0, 0x57, 'rvm'),
  vpxord: entry(1, 1, 0xef, 'rvm', EVEX_ONLY),
  vpaddd: entry(1, 1, 0xfe, 'rvm'),
  vpsubb: entry(1, 1, 0xf8, 'rvm'),
  vpslld: entry(1, 1, 0x72, 'vmi', { extension: 6 }),
  vpsrld: entry(1, 1, 0x72, 'vmi', { extension: 2 }),
  vcvtps2pd: entry(1, 0, 0x5a, 'rm', { tuple: 'half' }),
  vcvtdq2ps: entry(1, 0, 0x5b, 'rm'),
  vpmovzxwd: entry(2, 1, 0x33, 'rm', { tuple: 'half' }),
  vpmovsxbd: entry(2, 1, 0x21, 'rm', { tuple: 'quarter' }),
  vpmovzxbd: entry(2, 1, 0x31, 'rm', { tuple: 'quarter' }),
  vpsrlvd: entry(2, 1, 0x45, 'rvm'),
  vcvtph2ps: entry(2, 1, 0x13, 'rm', { tuple: 'half' }),
  vcmpps: entry(1, 0, 0xc2, 'rvmi', VEX_ONLY),
  vcmppsMask: entry(1, 0, 0xc2, 'rvmi', EVEX_ONLY),
  vblendvps: entry(3, 1, 0x4a, 'rvmi', VEX_ONLY),
  vunpcklps: entry(1, 0, 0x14, 'rvm'),
  vunpckhps: entry(1, 0, 0x15, 'rvm'),
  vshufps: entry(1, 0, 0xc6, 'rvmi'),
  vhaddps: entry(1, 3, 0x7c, 'rvm', VEX_ONLY),
  vpermilps: entry(3, 1, 0x04, 'rmi'),
  vperm2f128: entry(3, 1, 0x06, 'rvmi', VEX_ONLY),
  vinsertf128: entry(3, 1, 0x18, 'rvmi', VEX_ONLY),
  vextractf128: entry(3, 1, 0x19, 'mri', VEX_ONLY),
  vshuff32x4: entry(3, 1, 0x23, 'rvmi', EVEX_ONLY),
  vextractf64x4: entry(3, 1, 0x1b, 'mri', { ...EVEX_ONLY, ...W1, tuple: 32 }),
  vpmaddubsw: entry(2, 1, 0x04, 'rvm'),
  vpmaddwd: entry(1, 1, 0xf5, 'rvm'),
  vpdpbusd: entry(2, 1, 0x50, 'rvm', EVEX_ONLY),
  vdpbf16ps: entry(2, 2, 0x52, 'rvm', EVEX_ONLY),
  vcvtneps2bf16: entry(2, 2, 0x72, 'rm', EVEX_ONLY),
} satisfies Record<string, VectorInstruction>;

export type VectorName = keyof typeof VECTOR;

export type Condition = 'z' | 'nz' | 'l' | 'ge' | 'le' | 'g' | 'b' | 'ae' | 'be' | 'a';
const CONDITIONS: Record<Condition, number> = {
  b: 2,
  ae: 3,
  z: 4,
  nz: 5,
  be: 6,
  a: 7,
  l: 12,
  ge: 13,
  le: 14,
  g: 15,
};

/** [opcode with the register as destination, extension with an immediate]. */
const ARITHMETIC = {
  add: [0x03, 0],
  and: [0x23, 4],
  sub: [0x2b, 5],
  xor: [0x33, 6],
  cmp: [0x3b, 7],
};
const SHIFTS = { shl: 4, shr: 5, sar: 7 };

const fits8 = (x: number): boolean => x >= -128 && x <= 127;
const LENGTH = { xmm: 0, ymm: 1, zmm: 2 } as const;
const bytesOf = (kind: RegisterKind): number => (kind === 'zmm' ? 64 : kind === 'ymm' ? 32 : 16);

/** Collects code; `finish` gives its bytes, with constants behind them. */
export class Assembler {
  private bytes = new Uint8Array(65536);
  private size = 0;
  private readonly fixups: { label: Label; at: number; end: number }[] = [];
  private readonly constants = new Map<string, { label: Label; words: readonly number[] }>();

  get length(): number {
    return this.size;
  }

  private byte(x: number): void {
    if (this.size === this.bytes.length) {
      const longer = new Uint8Array(2 * this.size);
      longer.set(this.bytes);
      this.bytes = longer;
    }
    this.bytes[this.size++] = x;
  }

  private emit(...bytes: number[]): void {
    for (const b of bytes) this.byte(b);
  }

  private emit32(x: number): void {
    for (let bits = 0; bits < 32; bits += 8) this.byte(x >> bits);
  }

  /** One byte that is never run. */
  pad(): void {
    this.emit(0xcc);
  }

  label(): Label {
    return { at: -1 };
  }

  bind(label: Label): void {
    label.at = this.size;
  }

  /** A constant of 32-bit words, aligned to 64 bytes, behind the code. */
  constant(words: readonly number[]): Memory {
    const key = words.join();
    let known = this.constants.get(key);
    if (!known) {
      known = { label: this.label(), words };
      this.constants.set(key, known);
    }
    return { displacement: 0, label: known.label };
  }

  /**
   * ModR/M, SIB and displacement. `scale` divides an 8-bit displacement (EVEX); `after` bytes follow
   * in the instruction.
   */
  private modrm(reg: number, rm: Operand, scale: number, after: number): void {
    const r = (reg & 7) << 3;
    if (isRegister(rm)) {
      this.emit(0xc0 | r | (rm.n & 7));
      return;
    }
    const { base, index, displacement: d } = rm;
    if (base === undefined) {
      if (!rm.label) throw new Error('a memory operand has neither a base nor a label');
      this.emit(r | 5);
      this.fixups.push({ label: rm.label, at: this.length, end: this.length + 4 + after });
      this.emit32(d);
      return;
    }
    const short = d % scale === 0 && fits8(d / scale);
    const mod = d === 0 && (base.n & 7) !== 5 ? 0 : short ? 1 : 2;
    if (index || (base.n & 7) === 4) {
      if (index?.n === 4) throw new Error('rsp is no index');
      const log = Math.log2(rm.scale ?? 1);
      this.emit((mod << 6) | r | 4);
      this.emit((log << 6) | (((index?.n ?? 4) & 7) << 3) | (base.n & 7));
    } else this.emit((mod << 6) | r | (base.n & 7));
    if (mod === 1) this.emit(d / scale);
    else if (mod === 2) this.emit32(d);
  }

  /** A vector instruction; operands in Intel's order, the destination first. */
  vector(name: VectorName, operands: readonly Operand[], options: VectorOptions = {}): void {
    const i: VectorInstruction = VECTOR[name];
    const { immediate, mask, zero = false, evex = false } = options;
    const places: Partial<Record<'r' | 'v' | 'm', Operand>> = {};
    const form = i.form.replace('i', '');
    for (let p = 0; p < form.length; p++) places[form[p] as 'r' | 'v' | 'm'] = operands[p];
    const rm = places.m as Operand;
    let reg = (places.r as Register | undefined)?.n ?? i.extension;
    const v = (places.v as Register | undefined)?.n ?? 0;
    const all = operands.filter(isRegister);
    if ((i.form === 'vmi' || name === 'vcvtneps2bf16') && !isRegister(rm))
      throw new Error(`${name} is used on registers alone`);
    const size = all.reduce((most, o) => Math.max(most, o.kind in LENGTH ? bytesOf(o.kind) : 0), 0);
    const length = size === 64 ? 2 : size === 32 ? 1 : 0;
    const after = i.form.endsWith('i') || i.form === 'vmi' ? 1 : 0;
    const high = all.some((o) => o.n > 15);
    if (evex || size === 64 || high || mask || !i.vex) {
      if (!i.evex) throw new Error(`${name} has no EVEX form`);
      this.evex(i, reg, v, rm, length, mask, zero);
      const full = 16 << length;
      const { tuple } = i;
      const covered =
        tuple === 'full'
          ? full
          : tuple === 'half'
            ? full / 2
            : tuple === 'quarter'
              ? full / 4
              : tuple;
      this.modrm(reg, rm, covered, after);
    } else {
      let [m, { opcode }] = [rm, i];
      // A move between registers, the high one second, is shorter the other way round.
      if (i.reverse !== undefined && isRegister(m) && m.n > 7 && reg < 8) {
        [reg, m, opcode] = [m.n, { kind: m.kind, n: reg }, i.reverse];
      }
      this.vex(i, opcode, reg, v, m, length);
      this.modrm(reg, m, 1, after);
    }
    if (after) this.emit(immediate ?? 0);
  }

  private vex(
    i: VectorInstruction,
    opcode: number,
    reg: number,
    v: number,
    rm: Operand,
    length: number,
  ): void {
    const r = reg > 7 ? 0 : 1;
    const x = !isRegister(rm) && rm.index && rm.index.n > 7 ? 0 : 1;
    const b = (isRegister(rm) ? rm.n : (rm.base?.n ?? 0)) > 7 ? 0 : 1;
    const tail = ((~v & 15) << 3) | (length << 2) | i.prefix;
    if (x && b && i.map === 1 && !i.w.vex) this.emit(0xc5, (r << 7) | tail);
    else this.emit(0xc4, (r << 7) | (x << 6) | (b << 5) | i.map, (i.w.vex << 7) | tail);
    this.emit(opcode);
  }

  private evex(
    i: VectorInstruction,
    reg: number,
    v: number,
    rm: Operand,
    length: number,
    mask: Register | undefined,
    zero: boolean,
  ): void {
    const not = (value: number, bit: number): number => ((value >> bit) & 1) ^ 1;
    const base = isRegister(rm) ? rm.n : (rm.base?.n ?? 0);
    const x = isRegister(rm) ? not(rm.n, 4) : not(rm.index?.n ?? 0, 3);
    this.emit(
      0x62,
      (not(reg, 3) << 7) | (x << 6) | (not(base, 3) << 5) | (not(reg, 4) << 4) | i.map,
      (i.w.evex << 7) | ((~v & 15) << 3) | 4 | i.prefix,
      ((zero ? 1 : 0) << 7) | (length << 5) | (not(v, 4) << 3) | (mask?.n ?? 0),
      i.opcode,
    );
  }

  /** REX, opcode bytes, operands of a general instruction. */
  private general(opcode: readonly number[], reg: Register | number, rm: Operand, after = 0): void {
    const r = typeof reg === 'number' ? reg : reg.n;
    const wide =
      (typeof reg !== 'number' && reg.kind === 'r64') || (isRegister(rm) && rm.kind === 'r64');
    const b = (isRegister(rm) ? rm.n : (rm.base?.n ?? 0)) > 7 ? 1 : 0;
    const x = !isRegister(rm) && (rm.index?.n ?? 0) > 7 ? 2 : 0;
    const rex = (wide ? 8 : 0) | (r > 7 ? 4 : 0) | x | b;
    if (rex) this.emit(0x40 | rex);
    this.emit(...opcode);
    this.modrm(r, rm, 1, after);
  }

  /** A 64- or 32-bit load, store or copy. */
  mov(to: Operand, from: Operand): void {
    if (isRegister(from)) this.general([0x89], from, to);
    else this.general([0x8b], to as Register, from);
  }

  /** A sign-extended 32-bit number. */
  movImmediate(to: Register, value: number): void {
    this.general([0xc7], 0, to);
    this.emit32(value);
  }

  /** Sign-extends a 32-bit number in memory. */
  movsxd(to: Register, from: Operand): void {
    this.general([0x63], to, from);
  }

  lea(to: Register, from: Memory): void {
    this.general([0x8d], to, from);
  }

  arithmetic(name: keyof typeof ARITHMETIC, to: Register, from: Operand | number): void {
    const [opcode, extension] = ARITHMETIC[name];
    if (typeof from !== 'number') {
      if (isRegister(from)) this.general([opcode - 2], from, to);
      else this.general([opcode], to, from);
    } else if (fits8(from)) {
      this.general([0x83], extension, to, 1);
      this.emit(from);
    } else {
      if (to.n === 0) {
        if (to.kind === 'r64') this.emit(0x48);
        this.emit(opcode + 2);
      } else this.general([0x81], extension, to, 4);
      this.emit32(from);
    }
  }

  imul(to: Register, from: Operand, immediate?: number): void {
    if (immediate === undefined) this.general([0x0f, 0xaf], to, from);
    else if (fits8(immediate)) {
      this.general([0x6b], to, from, 1);
      this.emit(immediate);
    } else {
      this.general([0x69], to, from, 4);
      this.emit32(immediate);
    }
  }

  shift(name: keyof typeof SHIFTS, register: Register, bits: number): void {
    if (bits === 1) this.general([0xd1], SHIFTS[name], register);
    else {
      this.general([0xc1], SHIFTS[name], register, 1);
      this.emit(bits);
    }
  }

  increment(register: Register): void {
    this.general([0xff], 0, register);
  }

  decrement(register: Register): void {
    this.general([0xff], 1, register);
  }

  negate(register: Register): void {
    this.general([0xf7], 3, register);
  }

  test(a: Register, b: Register): void {
    this.general([0x85], b, a);
  }

  /** `to` becomes `from` when the condition holds. */
  cmov(condition: Condition, to: Register, from: Operand): void {
    this.general([0x0f, 0x40 | CONDITIONS[condition]], to, from);
  }

  prefetch(from: Memory): void {
    this.general([0x0f, 0x18], 1, from);
  }

  push(register: Register): void {
    if (register.n > 7) this.emit(0x41);
    this.emit(0x50 | (register.n & 7));
  }

  pop(register: Register): void {
    if (register.n > 7) this.emit(0x41);
    this.emit(0x58 | (register.n & 7));
  }

  /** A mask register from a 32-bit one. */
  kmovw(to: Register, from: Register): void {
    if (from.n > 7) this.emit(0xc4, 0xc1, 0x78, 0x92);
    else this.emit(0xc5, 0xf8, 0x92);
    this.emit(0xc0 | (to.n << 3) | (from.n & 7));
  }

  jump(label: Label, condition?: Condition): void {
    if (condition) this.emit(0x0f, 0x80 | CONDITIONS[condition]);
    else this.emit(0xe9);
    this.relative(label);
  }

  call(label: Label): void {
    this.emit(0xe8);
    this.relative(label);
  }

  private relative(label: Label): void {
    this.fixups.push({ label, at: this.length, end: this.length + 4 });
    this.emit32(0);
  }

  return(): void {
    this.emit(0xc3);
  }

  vzeroupper(): void {
    this.emit(0xc5, 0xf8, 0x77);
  }

  cpuid(): void {
    this.emit(0x0f, 0xa2);
  }

  /** Reads the extended control register ecx into edx:eax: what the system saves of a thread. */
  xgetbv(): void {
    this.emit(0x0f, 0x01, 0xd0);
  }

  finish(): Uint8Array {
    for (const { label, words } of this.constants.values()) {
      while (this.length % 64 !== 0) this.pad();
      this.bind(label);
      for (const word of words) this.emit32(word);
    }
    const code = this.bytes.slice(0, this.size);
    const view = new DataView(code.buffer);
    for (const { label, at: place, end } of this.fixups) {
      if (label.at < 0) throw new Error('a label was never bound');
      view.setInt32(place, view.getInt32(place, true) + label.at - end, true);
    }
    return code;
  }
}
