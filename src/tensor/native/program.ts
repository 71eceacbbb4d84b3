/**
 * @file From descriptions of kernels to functions that JavaScript calls.
 *
 * A kernel is described once, in terms of vectors of `target.width` floats, and emitted for a target:
 * AVX2 or AVX-512. It takes one pointer, to a block of 8-byte slots that lies in the WebAssembly
 * memory: its arguments, then its local variables. Addresses are offsets into that memory, as the
 * WASM kernels have them; slot 0 holds where the memory begins. One pointer instead of a dozen
 * arguments makes a call cheap (0.12 µs) and alike on every system.
 */
import {
  Assembler,
  at,
  type Condition,
  K,
  type Label,
  low,
  type Memory,
  R12,
  R13,
  R14,
  R15,
  RBP,
  RBX,
  RCX,
  RDI,
  type Register,
  RSI,
  RSP,
  XMM,
  YMM,
  ZMM,
} from './x86.js';

export type TargetName = 'avx2' | 'avx512';

/** Vectors of a processor. */
export interface Target {
  readonly name: TargetName;
  /** Floats of a vector. */
  readonly width: 8 | 16;
  /** Vector registers. */
  readonly registers: 16 | 32;
}

export const TARGETS: Record<TargetName, Target> = {
  avx2: { name: 'avx2', width: 8, registers: 16 },
  avx512: { name: 'avx512', width: 16, registers: 32 },
};

/**
 * `address`: byte offset into the memory. `pointer`: an address of the process. `int` may be a
 * boolean.
 */
export type Kind = 'address' | 'pointer' | 'int' | 'float';
export type Parameters = Readonly<Record<string, Kind>>;

/** Slots of a block: arguments and locals; a kernel that needs more is refused when it is emitted. */
export const BLOCK_SLOTS = 64;
export const BLOCK_BYTES = 8 * BLOCK_SLOTS;

export interface Entry {
  readonly name: string;
  readonly parameters: Parameters;
  readonly offset: number;
}

/** Where the kernel finds its block. */
const BLOCK = RDI;
const SAVED = [RBX, RBP, R12, R13, R14, R15];

/** A mask over the lanes of a vector: a vector register (AVX2) or a mask register (AVX-512). */
export type Mask = Register;

export class Program {
  readonly asm = new Assembler();
  readonly entries: Entry[] = [];

  constructor(
    readonly target: Target,
    private readonly windows = process.platform === 'win32',
  ) {}

  /** Vector register `n`. */
  v(n: number): Register {
    return (this.target.width === 16 ? ZMM : YMM)[n];
  }

  /** Adds a function; one without vectors runs on any processor. */
  define<P extends Parameters>(
    name: string,
    parameters: P,
    build: (frame: Frame<keyof P & string>) => void,
    { vectors = true } = {},
  ): void {
    const { asm } = this;
    while (asm.length % 32 !== 0) asm.pad();
    const offset = asm.length;
    // Windows hands the argument over in rcx, and keeps rsi, rdi and xmm6 to xmm15 for the caller.
    const saved = this.windows ? [...SAVED, RSI, RDI] : SAVED;
    for (const register of saved) asm.push(register);
    if (this.windows && vectors) {
      asm.arithmetic('sub', RSP, 160);
      for (let i = 0; i < 10; i++) asm.vector('vmovupsStore', [at(RSP, 16 * i), XMM[6 + i]]);
    }
    if (this.windows) asm.mov(RDI, RCX);
    const frame = new Frame<keyof P & string>(this, parameters);
    build(frame);
    asm.bind(frame.exit);
    if (vectors) asm.vzeroupper();
    if (this.windows && vectors) {
      for (let i = 0; i < 10; i++) asm.vector('vmovups', [XMM[6 + i], at(RSP, 16 * i)]);
      asm.arithmetic('add', RSP, 160);
    }
    for (const register of [...saved].reverse()) asm.pop(register);
    asm.return();
    frame.routines();
    this.entries.push({ name, parameters, offset });
  }

  // ── vectors of the target's width ──────────────────────────────────────────────────────────────

  load(to: Register, from: Memory, mask?: Mask): void {
    if (!mask) this.asm.vector('vmovups', [to, from]);
    else if (mask.kind === 'k') this.asm.vector('vmovups', [to, from], { mask, zero: true });
    else this.asm.vector('vmaskmovps', [to, mask, from]);
  }

  store(to: Memory, from: Register, mask?: Mask): void {
    if (!mask) this.asm.vector('vmovupsStore', [to, from]);
    else if (mask.kind === 'k') this.asm.vector('vmovupsStore', [to, from], { mask });
    else this.asm.vector('vmaskmovpsStore', [to, mask, from]);
  }

  /** A float from memory in every lane. */
  broadcast(to: Register, from: Memory): void {
    this.asm.vector('vbroadcastss', [to, from]);
  }

  zero(v: Register): void {
    // The short form clears the whole register.
    const x = v.n < 16 ? XMM[v.n] : v;
    this.asm.vector(v.n < 16 ? 'vxorps' : 'vpxord', [x, x, x]);
  }

  /** A float constant in every lane, in memory. */
  constant(value: number): Memory {
    const [word] = new Int32Array(Float32Array.of(value).buffer);
    return this.words(word);
  }

  /** A 32-bit pattern in every lane, in memory. */
  words(word: number): Memory {
    return this.asm.constant(new Array(this.target.width).fill(word));
  }

  /**
   * A mask of the first `count` lanes; `count` (0 to the width) is lost, as is `spare`. AVX2 keeps it
   * in vector register `n`, AVX-512 in mask register 1 + (n mod 7).
   */
  mask(n: number, count: Register, spare: Register): Mask {
    const { asm } = this;
    const { width } = this.target;
    if (width === 16) {
      // The low `count` bits: a shift of ones out of a table of 17 words.
      const table = asm.constant(Array.from({ length: 17 }, (_, bits) => (1 << bits) - 1));
      asm.lea(spare, table);
      asm.mov(low(spare), at(spare, 0, count, 4));
      const mask = K[1 + (n % 7)];
      asm.kmovw(mask, low(spare));
      return mask;
    }
    this.maskAddress(count, spare);
    const mask = this.v(n);
    asm.vector('vmovups', [mask, at(count)]);
    return mask;
  }

  /** Turns `count` (0 to 8) into the address of a mask of as many of eight lanes; AVX2's own kind. */
  maskAddress(count: Register, spare: Register): void {
    const { asm } = this;
    const table = asm.constant(Array.from({ length: 16 }, (_, lane) => (lane < 8 ? -1 : 0)));
    asm.lea(spare, table);
    asm.negate(count);
    asm.lea(count, at(spare, 32, count, 4));
  }

  // ── control ────────────────────────────────────────────────────────────────────────────────────

  /** `body` again and again while the condition holds of the flags that it leaves. */
  repeatWhile(condition: Condition, body: () => void): void {
    const start = this.asm.label();
    this.asm.bind(start);
    body();
    this.asm.jump(start, condition);
  }

  /** Skips `body` when the condition holds. */
  unless(condition: Condition, body: () => void): void {
    const end = this.asm.label();
    this.asm.jump(end, condition);
    body();
    this.asm.bind(end);
  }
}

/** A function's arguments and local variables. */
export class Frame<Name extends string> {
  readonly exit: Label;
  private readonly slots = new Map<string, number>();
  private readonly later: [Label, () => void][] = [];

  constructor(
    private readonly program: Program,
    private readonly parameters: Parameters,
  ) {
    this.exit = program.asm.label();
    for (const name of Object.keys(parameters)) this.local(name);
  }

  /** A slot: an argument's, or a local variable's, which is made when it is first named. */
  local(name: string): Memory {
    let slot = this.slots.get(name);
    if (slot === undefined) {
      slot = this.slots.size + 1;
      if (slot >= BLOCK_SLOTS) throw new Error('a kernel has more variables than its block');
      this.slots.set(name, slot);
    }
    return at(BLOCK, 8 * slot);
  }

  /** An argument as JavaScript gave it: a pointer, or a sign-extended integer. */
  argument(to: Register, name: Name): void {
    const { asm } = this.program;
    if (this.parameters[name] === 'pointer') this.get(to, name);
    else if (this.parameters[name] === 'address') {
      asm.mov(low(to), this.local(name));
      asm.arithmetic('add', to, at(BLOCK));
    } else asm.movsxd(to, this.local(name));
  }

  get(to: Register, name: string): void {
    this.program.asm.mov(to, this.local(name));
  }

  set(name: string, from: Register): void {
    this.program.asm.mov(this.local(name), from);
  }

  /** Turns an argument into a pointer or a 64-bit integer, in its slot. */
  widen(spare: Register, name: Name, bytesOfOne = 1): void {
    this.argument(spare, name);
    const log = Math.log2(bytesOfOne);
    if (log > 0) this.program.asm.shift('shl', spare, log);
    this.set(name, spare);
  }

  /** Code that is put behind the function and called by its label. */
  routine(body: () => void): Label {
    const label = this.program.asm.label();
    this.later.push([label, body]);
    return label;
  }

  /** Emits the routines; those may ask for more. */
  routines(): void {
    for (const [label, body] of this.later) {
      this.program.asm.bind(label);
      body();
      this.program.asm.return();
    }
  }
}
