/**
 * @file How machine code makes float32 numbers of the blocks of a frozen matrix, a vector at a
 * time: one description a form (forms.ts), for both kinds of vectors.
 *
 * A number is made exactly as `forms.ts` makes it: scale times whole number, a minimum added in the
 * same rounding (the product of a short whole number and a short scale is exact, so one rounding
 * and two give the same). A product with blocks then has the bits of the product with the expanded
 * matrix.
 */
import type { Form } from '../forms.js';
import type { Program } from './program.js';
import { type Memory, type Register, XMM, YMM } from './x86.js';

/** Where the description's code finds and leaves things. */
export interface BlockPlace {
  readonly program: Program;
  /** A byte of the block. */
  at(offset: number): Memory;
  /** A float of sixteen that `open` may leave for the groups. */
  table(index: number): Memory;
  /** Receives the numbers. */
  readonly value: Register;
  /** Kept from `scales` to the vectors of its group. */
  readonly scale: Register;
  readonly minimum: Register;
  readonly spare: Register;
  /** Kept from vector to vector of a group. */
  readonly bytes: readonly Register[];
}

/** Reads blocks of `numbers` numbers in groups that share a scale. */
export interface BlockCode {
  readonly numbers: number;
  readonly bytes: number;
  /** Numbers of a group: the vectors' width or a multiple of it. */
  readonly group: number;
  /** Before the first group. May use all registers of the place. */
  open?(place: BlockPlace): void;
  /** Before the vectors of a group. */
  scales?(place: BlockPlace, group: number): void;
  /** Puts the vector from number `from` of a group on into `value`. */
  vector(place: BlockPlace, group: number, from: number): void;
}

const EVEN = 0xa0;
const ODD = 0xf5;

/** Every second of these lanes is the half at `offset`, the others the half after it. */
function halves({ program, at }: BlockPlace, to: Register, offset: number): void {
  const { asm, target } = program;
  const narrow = target.width === 16 ? YMM[to.n] : XMM[to.n];
  asm.vector('vbroadcastss', [narrow, at(offset)]);
  asm.vector('vcvtph2ps', [to, narrow]);
}

const spread = ({ program }: BlockPlace, to: Register, from: Register, lanes: number): void =>
  program.asm.vector('vpermilps', [to, from], { immediate: lanes });

/** The scale at the block's start; and the minimum behind it, or one that is `zero` scales below. */
function scaleAndMinimum(place: BlockPlace, zero?: number): void {
  const { program, scale, minimum } = place;
  halves(place, scale, 0);
  if (zero === undefined) spread(place, minimum, scale, ODD);
  spread(place, scale, scale, EVEN);
  if (zero !== undefined) program.asm.vector('vmulps', [minimum, scale, program.constant(-zero)]);
}

/**
 * `value` becomes four bits of the bytes from `offset` on, vector number `n` of them: first the low
 * bits of all vectors of a group, which leave the bytes in registers, then the high ones.
 */
function nibbles(place: BlockPlace, offset: number, n: number, high: boolean): void {
  const { program, at, value } = place;
  const { asm, target } = program;
  const bytes = place.bytes[n];
  if (high) asm.vector('vpsrld', [value, bytes], { immediate: 4 });
  else {
    asm.vector('vpmovzxbd', [bytes, at(offset + target.width * n)]);
    asm.vector('vandps', [value, bytes, program.words(15)]);
  }
}

/** Moves a bit of each lane of `spare` to where `mask` is, and adds what the mask leaves of it. */
function addBits({ program, value, spare }: BlockPlace, left: number, mask: number): void {
  const { asm } = program;
  if (left > 0) asm.vector('vpslld', [spare, spare], { immediate: left });
  if (left < 0) asm.vector('vpsrld', [spare, spare], { immediate: -left });
  asm.vector('vandps', [spare, spare, program.words(mask)]);
  asm.vector('vpaddd', [value, value, spare]);
}

/** value·scale + minimum of whole numbers. */
function scaled({ program, value, scale, minimum }: BlockPlace): void {
  program.asm.vector('vcvtdq2ps', [value, value]);
  program.asm.vector('vfmadd213ps', [value, scale, minimum]);
}

/** value·scale of whole numbers. */
function multiplied({ program, value, scale }: BlockPlace): void {
  program.asm.vector('vcvtdq2ps', [value, value]);
  program.asm.vector('vmulps', [value, value, scale]);
}

/** Numbers of a block of a form that has none: a kernel reads no fewer. */
export const LEAST_NUMBERS = 32;

/** Plain numbers of so many bytes. */
const plain = (bytes: number, load: (place: BlockPlace, from: Memory) => void): BlockCode => ({
  numbers: LEAST_NUMBERS,
  bytes: bytes * LEAST_NUMBERS,
  group: LEAST_NUMBERS,
  vector: (place, _, from) => load(place, place.at(bytes * from)),
});

/** Adds bit n of the word at `word`, of value 16, to number n, from number `from` on. */
function addFifth(place: BlockPlace, word: number, from: number): void {
  const { program, at, spare } = place;
  const { asm, target } = program;
  asm.vector('vbroadcastss', [spare, at(word)]);
  // The first bits are moved up so that no lane moves its own up; the last are lost, and not wanted.
  const up = from === 0 ? 4 : 0;
  if (up > 0) asm.vector('vpslld', [spare, spare], { immediate: up });
  const lanes = Array.from({ length: target.width }, (_, lane) => from + lane - 4 + up);
  asm.vector('vpsrlvd', [spare, spare, asm.constant(lanes)]);
  addBits(place, 0, 16);
}

/** Blocks of 32 numbers of four bits, or of five whose fifth bits are a word at `high`. */
function fourBits(bytes: number, quants: number, zero?: number, high?: number): BlockCode {
  return {
    numbers: 32,
    bytes,
    group: 32,
    scales: (place) => scaleAndMinimum(place, zero),
    vector(place, _, from) {
      const { width } = place.program.target;
      nibbles(place, quants, (from % 16) / width, from >= 16);
      if (high !== undefined) addFifth(place, high, from);
      scaled(place);
    },
  };
}

const eight = (first: readonly number[], second: readonly number[]) => [...first, ...second];
const BYTES = [0, 8, 16, 24];
const repeat = (value: number): number[] => [value, value, value, value];

/**
 * Of a block of Q4_K or Q5_K: scales to the table's first half, minima, negated, to its second. Six
 * bits each; those of the last four parts are cut into four and two (`sixBits` in forms.ts).
 */
function openSixBits(place: BlockPlace): void {
  const { program, at, table } = place;
  const { asm } = program;
  const [value, scale, minimum, spare] = [place.value, place.scale, place.minimum, place.spare].map(
    ({ n }) => YMM[n],
  );
  asm.vector('vbroadcastss', [XMM[scale.n], at(0)]);
  asm.vector('vcvtph2ps', [scale, XMM[scale.n]]);
  const parts = [
    { word: 4, low: 0, lanes: EVEN, sign: 1, to: 0 },
    { word: 8, low: 4, lanes: ODD, sign: -1, to: 8 },
  ];
  for (const { word, low, lanes, sign, to } of parts) {
    const shifts = eight(
      BYTES,
      BYTES.map((bit) => bit + 2),
    );
    asm.vector('vbroadcastss', [value, at(word)]);
    asm.vector('vpsrlvd', [value, value, asm.constant(shifts)]);
    asm.vector('vandps', [value, value, asm.constant(eight(repeat(63), repeat(0x30)))]);
    const last = BYTES.map((bit) => bit + low);
    asm.vector('vbroadcastss', [spare, at(12)]);
    asm.vector('vpsrlvd', [spare, spare, asm.constant(eight(last, last))]);
    asm.vector('vandps', [spare, spare, asm.constant(eight(repeat(0), repeat(15)))]);
    asm.vector('vpaddd', [value, value, spare]);
    asm.vector('vcvtdq2ps', [value, value]);
    asm.vector('vpermilps', [minimum, scale], { immediate: lanes });
    asm.vector('vmulps', [value, value, minimum]);
    if (sign < 0) {
      asm.vector('vxorps', [spare, spare, spare]);
      asm.vector('vsubps', [value, spare, value]);
    }
    asm.vector('vmovupsStore', [table(to), value]);
  }
}

/** Two parts, of the low and of the high bits of 32 bytes, are a group. */
function kBlocks(bytes: number, quants: number, high?: number): BlockCode {
  const open = ({ program, scale, minimum, table }: BlockPlace, part: number): void => {
    program.broadcast(scale, table(part));
    program.broadcast(minimum, table(8 + part));
  };
  return {
    numbers: 256,
    bytes,
    group: 64,
    open: openSixBits,
    vector(place, group, from) {
      const part = 2 * group + (from >> 5);
      const [l, { width }] = [from % 32, place.program.target];
      if (l === 0) open(place, part);
      nibbles(place, quants + 32 * group, l / width, part % 2 === 1);
      if (high !== undefined) {
        place.program.asm.vector('vpmovzxbd', [place.spare, place.at(high + l)]);
        addBits(place, 4 - part, 16);
      }
      scaled(place);
    },
  };
}

/** Halves of 128 numbers in four runs of 32; runs share bytes two by two, and high bits in fours. */
const q6k: BlockCode = {
  numbers: 256,
  bytes: 210,
  group: 16,
  open(place) {
    const { program, at, table } = place;
    const { asm } = program;
    const [value, scale] = [YMM[place.value.n], YMM[place.scale.n]];
    // The scale is the block's last number: it is the second half of the word before its end.
    asm.vector('vbroadcastss', [XMM[scale.n], at(206)]);
    asm.vector('vcvtph2ps', [scale, XMM[scale.n]]);
    asm.vector('vpermilps', [scale, scale], { immediate: ODD });
    for (const half of [0, 8]) {
      asm.vector('vpmovsxbd', [value, at(192 + half)]);
      asm.vector('vcvtdq2ps', [value, value]);
      asm.vector('vmulps', [value, value, scale]);
      asm.vector('vmovupsStore', [table(half), value]);
    }
  },
  scales({ program, scale, table, at, bytes, spare }, group) {
    // Sixteen numbers are put together as bytes.
    const { asm } = program;
    const [half, run, l] = [group >> 3, (group >> 1) & 3, 16 * (group & 1)];
    const [four, two] = [XMM[bytes[0].n], XMM[spare.n]];
    const repeated = (byte: number) => program.words(byte * 0x01010101);
    asm.vector('vmovups', [four, at(64 * half + 32 * (run & 1) + l)]);
    if (run >= 2) asm.vector('vpsrld', [four, four], { immediate: 4 });
    asm.vector('vandps', [four, four, repeated(15)]);
    asm.vector('vmovups', [two, at(128 + 32 * half + l)]);
    if (run < 2) asm.vector('vpslld', [two, two], { immediate: 4 - 2 * run });
    if (run > 2) asm.vector('vpsrld', [two, two], { immediate: 2 });
    asm.vector('vandps', [two, two, repeated(0x30)]);
    asm.vector('vpaddd', [four, four, two]);
    asm.vector('vpsubb', [four, four, repeated(32)]);
    program.broadcast(scale, table(group));
  },
  vector(place, _, from) {
    const { program, value, bytes } = place;
    const four = XMM[bytes[0].n];
    if (from > 0) program.asm.vector('vpermilps', [four, four], { immediate: 0x4e });
    program.asm.vector('vpmovsxbd', [value, four]);
    multiplied(place);
  },
};

/** The code of each form, for a program's vectors. */
export function blockCode(program: Program, form: Form): BlockCode {
  const codes: Record<Form, () => BlockCode> = {
    f32: () => plain(4, ({ value }, from) => program.load(value, from)),
    f16: () => plain(2, ({ value }, from) => program.asm.vector('vcvtph2ps', [value, from])),
    bf16: () =>
      plain(2, ({ value }, from) => {
        program.asm.vector('vpmovzxwd', [value, from]);
        program.asm.vector('vpslld', [value, value], { immediate: 16 });
      }),
    q8_0: () => ({
      numbers: 32,
      bytes: 34,
      group: 32,
      scales(place) {
        halves(place, place.scale, 0);
        spread(place, place.scale, place.scale, EVEN);
      },
      vector(place, _, from) {
        program.asm.vector('vpmovsxbd', [place.value, place.at(2 + from)]);
        multiplied(place);
      },
    }),
    q4_0: () => fourBits(18, 2, 8),
    q4_1: () => fourBits(20, 4),
    q5_0: () => fourBits(22, 6, 16, 2),
    q5_1: () => fourBits(24, 8, undefined, 4),
    q4_k: () => kBlocks(144, 16),
    q5_k: () => kBlocks(176, 48, 16),
    q6_k: () => q6k,
  };
  return codes[form]();
}
