/**
 * @file The native kernels of this process: emitted once for its processor, bound to a memory by
 * every thread.
 */
import { createHash } from 'node:crypto';
import type { Form } from '../forms.js';
import { defineDots } from './dots.js';
import { defineBlockDots, defineExpand } from './frozen.js';
import { defineGemmBlock } from './gemm.js';
import { addressOf, loadKoffi } from './koffi.js';
import { install, type NativeFunction } from './pages.js';
import { detectTargets } from './processor.js';
import {
  BLOCK_BYTES,
  type Entry,
  Program,
  TARGETS,
  type Target,
  type TargetName,
} from './program.js';
import {
  defineLogSums,
  defineLogSumsBackward,
  defineSoftmax,
  defineSoftmaxBackward,
  defineSwiglu,
  defineSwigluBackward,
} from './rows.js';

const DEFINITIONS = {
  gemmBlock: defineGemmBlock,
  dots: defineDots,
  softmax: defineSoftmax,
  softmaxBackward: defineSoftmaxBackward,
  logSums: defineLogSums,
  logSumsBackward: defineLogSumsBackward,
  swiglu: defineSwiglu,
  swigluBackward: defineSwigluBackward,
} as const;
export type KernelName = keyof typeof DEFINITIONS;

/** Arguments in the order of a kernel's parameters; addresses are offsets into the memory. */
export type Kernel = (...values: number[]) => void;

export interface NativeKernels {
  readonly target: Target;
  readonly functions: Readonly<Record<KernelName, Kernel>>;
  /** The kernels for a form of frozen weights, emitted when they are asked for first. */
  forForm(form: Form): FormKernels;
  /** Where an array's numbers lie in the process. */
  addressOf(bytes: Uint8Array): number;
}

/** Kernels of frozen.ts. */
export type FormKernels = Readonly<Record<'dots' | 'expand', Kernel>>;

export interface Emitted {
  readonly code: Uint8Array;
  readonly entries: readonly Entry[];
  /** First digits of the code's SHA-256: other code, other bits. */
  readonly id: string;
}

const emitted = new Map<TargetName, Emitted>();

/** The machine code of a target, and where its functions begin. */
export function emitKernels(name: TargetName): Emitted {
  const before = emitted.get(name);
  if (before) return before;
  const program = new Program(TARGETS[name]);
  for (const define of Object.values(DEFINITIONS)) define(program);
  const code = program.asm.finish();
  const id = createHash('sha256').update(code).digest('hex').slice(0, 12);
  const result = { code, entries: program.entries, id };
  emitted.set(name, result);
  return result;
}

/** How a fingerprint names a target's kernels. */
export const nativeName = (name: TargetName): string => `native ${name} ${emitKernels(name).id}`;

interface Installed {
  entries: readonly Entry[];
  functions: readonly NativeFunction[];
}

/** What this thread has mapped already. */
const installed = new Map<string, Installed>();

function installOnce(name: string, emit: () => Omit<Emitted, 'id'>): Installed | null {
  const before = installed.get(name);
  if (before) return before;
  const koffi = loadKoffi();
  if (koffi === null) return null;
  const { code, entries } = emit();
  const functions = install(
    koffi,
    code,
    entries.map(({ offset }) => offset),
  );
  if (functions === null) return null;
  const result = { entries, functions };
  installed.set(name, result);
  return result;
}

/** A form's kernels give the bits of `dots` on the expanded matrix, so no fingerprint has them. */
function emitForm(name: TargetName, form: Form): Omit<Emitted, 'id'> {
  const program = new Program(TARGETS[name]);
  defineBlockDots(program, form);
  defineExpand(program, form);
  return { code: program.asm.finish(), entries: program.entries };
}

let detected: ReadonlySet<TargetName> | null | undefined;

/** What this process could run; null where koffi is missing or new code is forbidden. */
export function supportedTargets(): ReadonlySet<TargetName> | null {
  if (detected === undefined) {
    const koffi = loadKoffi();
    detected = koffi === null ? null : detectTargets(koffi);
  }
  return detected;
}

/**
 * The kernels of a target on a memory, for this thread; null where there are none.
 * @param block offset of `BLOCK_BYTES` in the buffer that nothing else uses
 */
export function bindKernels(
  name: TargetName,
  buffer: ArrayBufferLike,
  block: number,
): NativeKernels | null {
  const koffi = loadKoffi();
  const ready = installOnce(name, () => emitKernels(name));
  if (koffi === null || ready === null || !supportedTargets()?.has(name)) return null;
  // A buffer does not move while it is there.
  const begins = new WeakMap<ArrayBufferLike, number>();
  const base = addressOf(koffi, buffer);
  new BigUint64Array(buffer, block, 1)[0] = BigInt(base);
  const integers = new Int32Array(buffer, block, BLOCK_BYTES / 4);
  const floats = new Float32Array(buffer, block, BLOCK_BYTES / 4);
  const bound = (what: Installed): Record<string, Kernel> =>
    Object.fromEntries(
      what.entries.map((entry, i) => [entry.name, bind(entry, what.functions[i])]),
    );
  const bind = (entry: Entry, run: NativeFunction): Kernel => {
    const kinds = Object.values(entry.parameters);
    const at = base + block;
    const kernel: Kernel = (...values) => {
      for (let n = 0; n < kinds.length; n++) {
        const [kind, value] = [kinds[n], values[n]];
        if (kind === 'float') floats[2 * n + 2] = value;
        else integers[2 * n + 2] = value;
        if (kind === 'pointer') integers[2 * n + 3] = value / 2 ** 32;
      }
      run(at);
    };
    return kernel;
  };
  const forms = new Map<Form, FormKernels>();
  return {
    target: TARGETS[name],
    functions: bound(ready) as Record<KernelName, Kernel>,
    forForm(form) {
      let own = forms.get(form);
      if (own === undefined) {
        const made = installOnce(`${name} ${form}`, () => emitForm(name, form));
        if (made === null) throw new Error('this system took some machine code, and then no more');
        own = bound(made) as FormKernels;
        forms.set(form, own);
      }
      return own;
    },
    addressOf(bytes) {
      let begin = begins.get(bytes.buffer);
      if (begin === undefined) {
        begin = addressOf(koffi, bytes.buffer);
        begins.set(bytes.buffer, begin);
      }
      return begin + bytes.byteOffset;
    },
  };
}
