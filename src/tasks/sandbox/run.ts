/**
 * @file Runs a model's JavaScript in QuickJS, an interpreter compiled to WebAssembly: it has no
 * file, network, timer or host object to reach, because none was ever given to it.
 *
 * Two realms share one interpreter. The completion runs in the first, where it may change whatever
 * it likes. The second holds arguments, tests and the function that writes results down; values go
 * from one to the other as copies only (`membrane.ts`), and all that the second has built in is
 * frozen. Expected values of examples never enter the interpreter at all; those of written tests
 * live in a closure that nothing outside can name.
 *
 * Limits: work is counted by the interpreter (one interrupt about every 10,000 steps, also inside
 * regular expressions), so the same completion ends at the same place on every machine; the stack
 * is the interpreter's own, and memory ends where its WebAssembly memory does. Native loops that
 * count nothing end with the thread (`index.ts`). The clock stands still, and Math.random gives 0.5
 * (`globals.ts`).
 */
import variant from '@jitl/quickjs-wasmfile-release-sync';
import {
  DefaultIntrinsics,
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { canonical } from './canonical.js';
import { GLOBALS } from './globals.js';
import { createCopier } from './membrane.js';

export interface SandboxJob {
  /** The completion: a script, or an expression. */
  readonly code: string;
  /**
   * Name of the function that the script defines; null where the script is an expression that is a
   * function.
   */
  readonly entry: string | null;
  /** JSON of the arguments of each call. */
  readonly calls?: readonly string[];
  /**
   * A script that tests the function, which it knows as `candidate` and by its own name, with
   * `assert` or `console.assert`.
   */
  readonly tests?: string;
  /** Functions of the prompt that the tests may call, whatever the completion makes of them. */
  readonly helpers?: string;
}

export interface SandboxResult {
  /** Why nothing could be run. */
  readonly error?: string;
  /** Of each call: the canonical text of what came back, or what was thrown. */
  readonly calls?: readonly ({ readonly value: string } | { readonly error: string })[];
  /** Assertions that held, and why the tests did not pass. */
  readonly tests?: { readonly passed: number; readonly failure: string };
}

/** Interrupts of one completion, about a millisecond each. */
export const WORK = 1000;
/**
 * The interpreter's whole memory: what it grows to, its own 16 MB included, and stays at until its
 * thread ends.
 */
export const MEMORY_BYTES = 96 << 20;
/**
 * Its own limit. This build cannot ask how large an allocation became and counts 8 bytes for each,
 * so it bounds their number: 2 million.
 */
const ALLOCATION_BYTES = 16 << 20;
/** Of the interpreter's stack. Deep recursion needs a thread with a large stack of its own. */
export const STACK_BYTES = 256 << 10;
export const DEEP_STACK_BYTES = 4 << 20;
/** Longest completion that is looked at, and longest result, characters. */
export const MAX_CODE = 20_000;
export const MAX_OUTPUT = 20_000;

/** Joins the copiers of both realms; run in ours. */
const LINK = `((makeIn, theirProto, createCopier) => {
  const { apply } = Reflect;
  let copyIn;
  const copyOut = createCopier(theirProto, (f, args) => {
    const given = [];
    for (let i = 0; i < args.length; i++) given[i] = copyIn(args[i]);
    let result;
    try { result = apply(f, undefined, given); } catch (error) { throw copyOut(error); }
    return copyOut(result);
  });
  copyIn = makeIn(Object.prototype, (f, args) => {
    const given = [];
    for (let i = 0; i < args.length; i++) given[i] = copyOut(args[i]);
    let result;
    try { result = apply(f, undefined, given); } catch (error) { throw copyIn(error); }
    return copyIn(result);
  });
  return copyOut;
})`;

/** Freezes everything that the other realm has built in, from its global object down. */
const FREEZE = `(() => {
  const seen = new Set();
  const visit = (value) => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      const { value: inner, get, set } = Reflect.getOwnPropertyDescriptor(value, key);
      visit(inner); visit(get); visit(set);
    }
    visit(Reflect.getPrototypeOf(value));
  };
  visit(globalThis);
  for (const f of [function* () {}, async () => {}, async function* () {}, [][Symbol.iterator](), new Map().keys(), new Set().keys(),
    ''[Symbol.iterator](), ''.matchAll(/a/g)]) visit(f);
  for (const value of seen) if (value !== globalThis) Object.freeze(value);
  Object.freeze(globalThis);
})()`;

/** The tests' surroundings: assertions that count, in a closure. */
const wrapTests = (
  tests: string,
  entry: string | null,
  helpers: string,
): string => `((candidate, canonical) => {
  let passed = 0;
  let failure = '';
  const check = (holds, what) => {
    if (holds === true) { passed++; return; }
    if (failure === '') failure = what;
    throw new Error(what);
  };
  const show = (value) => { const text = canonical(value); return text.length > 30 ? text.slice(0, 30) + '…' : text; };
  const same = (exact) => (a, b) => check(Object.is(a, b) || canonical(a, exact) === canonical(b, exact), 'gives ' + show(a) + ', not ' + show(b));
  const truthy = (value) => check(!!value === true, 'an assertion does not hold');
  const differ = (exact) => (a, b) => check(!Object.is(a, b) && canonical(a, exact) !== canonical(b, exact), 'gives ' + show(a));
  const fits = (error, wanted) => {
    if (wanted === undefined || typeof wanted === 'string') return true;
    if (wanted instanceof RegExp) return wanted.test(String(error));
    if (typeof wanted === 'function') {
      if (wanted === Error || wanted.prototype instanceof Error) return error instanceof wanted;
      return wanted(error) === true;
    }
    return Object.keys(wanted).every((key) => {
      const [given, right] = [error?.[key], wanted[key]];
      return right instanceof RegExp ? right.test(String(given)) : canonical(given) === canonical(right);
    });
  };
  const throws = (f, wanted) => {
    let thrown = null;
    try { f(); } catch (error) { thrown = { error }; }
    check(thrown !== null, 'does not throw');
    check(fits(thrown.error, wanted), 'throws ' + String(thrown.error?.name ?? typeof thrown.error) + ', and another error is right');
    passed--;
  };
  const assert = Object.assign((value) => truthy(value), {
    ok: truthy, equal: same(false), strictEqual: same(true), deepEqual: same(false), deepStrictEqual: same(true),
    notEqual: differ(false), notStrictEqual: differ(true), notDeepEqual: differ(false), notDeepStrictEqual: differ(true),
    throws, doesNotThrow: (f) => { f(); check(true, ''); }, fail: (what) => check(false, String(what ?? 'fails')),
    match: (text, pattern) => check(pattern.test(text), 'does not match'),
    ifError: (value) => check(value === null || value === undefined, 'is an error'),
  });
  assert.strict = assert;
  const console = { assert: truthy, log() {}, error() {}, info() {}, warn() {} };
  const require = () => assert;
  try {
    ((${entry === null || entry === 'candidate' ? '_' : entry}) => { ${helpers}
${tests}
    })(candidate);
  } catch (error) {
    if (failure === '') failure = 'throws ' + (typeof error === 'object' && error !== null ? String(error.message) : typeof error);
  }
  if (failure === '' && passed === 0) failure = 'nothing was asserted';
  return passed + ';' + failure;
})`;

let loaded: QuickJSWASMModule | null = null;

const PAGE_BYTES = 65_536;

function load(): Promise<QuickJSWASMModule> {
  const wasmMemory = new WebAssembly.Memory({
    initial: (16 << 20) / PAGE_BYTES,
    maximum: MEMORY_BYTES / PAGE_BYTES,
  });
  return newQuickJSWASMModuleFromVariant(
    newVariant(variant as unknown as QuickJSSyncVariant, {
      wasmMemory,
      // What the interpreter has to say when it ends is in the error.
      emscriptenModule: { print: () => {}, printErr: () => {} } as never,
    }),
  );
}

/** What the interpreter of this thread holds. */
export async function memoryBytes(): Promise<number> {
  loaded ??= await load();
  return loaded.getWasmMemory().buffer.byteLength;
}

/**
 * Runs one completion. Never throws; after a fatal error of the interpreter the next completion
 * gets a new one.
 */
export async function runSandbox(
  job: SandboxJob,
  stackBytes = STACK_BYTES,
): Promise<SandboxResult> {
  if (job.code.length > MAX_CODE) return { error: `more than ${MAX_CODE} characters of code` };
  if (job.entry !== null && !/^[A-Za-z_$][\w$]*$/.test(job.entry))
    return { error: 'the entry is no name' };
  loaded ??= await load();
  try {
    return runIn(loaded, job, stackBytes);
  } catch (error) {
    loaded = null;
    return { error: `ends the interpreter: ${String((error as Error).message).slice(0, 60)}` };
  }
}

function runIn(quickjs: QuickJSWASMModule, job: SandboxJob, stackBytes: number): SandboxResult {
  const runtime = quickjs.newRuntime();
  runtime.setMemoryLimit(ALLOCATION_BYTES);
  runtime.setMaxStackSize(stackBytes);
  let work = 0;
  runtime.setInterruptHandler(() => ++work > WORK);
  const intrinsics = { ...DefaultIntrinsics, Date: true };
  const theirs = runtime.newContext({ intrinsics });
  const ours = runtime.newContext({ intrinsics });
  const handles: QuickJSHandle[] = [];
  const keep = (handle: QuickJSHandle): QuickJSHandle => {
    handles.push(handle);
    return handle;
  };
  /** The value, or what was thrown as one line. */
  const evaluate = (context: QuickJSContext, code: string): QuickJSHandle | string => {
    const result = context.evalCode(code, 'completion.js', {
      type: 'global',
      backtraceBarrier: true,
    });
    if (result.error) return messageOf(context, keep(result.error));
    return keep(result.value);
  };
  const must = (value: QuickJSHandle | string): QuickJSHandle => {
    if (typeof value === 'string') throw new Error(value);
    return value;
  };
  try {
    must(evaluate(theirs, GLOBALS));
    must(evaluate(ours, GLOBALS));
    const copier = createCopier.toString();
    const makeIn = must(evaluate(theirs, `(${copier})`));
    const theirProto = must(evaluate(theirs, 'Object.prototype'));
    const makeOut = must(evaluate(ours, `(${copier})`));
    const link = must(evaluate(ours, LINK));
    const write = must(evaluate(ours, `(${canonical.toString()})`));
    must(evaluate(ours, FREEZE));
    const call = (f: QuickJSHandle, ...args: QuickJSHandle[]): QuickJSHandle | string => {
      const result = ours.callFunction(f, ours.undefined, ...args);
      if (result.error) return messageOf(ours, keep(result.error));
      return keep(result.value);
    };
    const copyOut = must(call(link, makeIn, theirProto, makeOut));

    const { entry, code } = job;
    const found = program(entry, code);
    if (typeof found === 'string') return { error: found };
    const candidate = must(call(copyOut, found));

    /** The function that the completion defines, wherever it puts it. */
    function program(name: string | null, text: string): QuickJSHandle | string {
      const isFunction = (handle: QuickJSHandle | string): handle is QuickJSHandle =>
        typeof handle !== 'string' && theirs.typeof(handle) === 'function';
      const whole = name === null ? evaluate(theirs, `(${text}\n)`) : evaluate(theirs, text);
      if (typeof whole === 'string') return whole;
      if (isFunction(whole) && name === null) return whole;
      if (name === null) return 'is no function';
      const places = [
        name,
        `module.exports.${name}`,
        `exports.${name}`,
        'module.exports.default',
        'exports.default',
        'module.exports',
      ];
      for (const place of places) {
        const handle = evaluate(theirs, place);
        if (isFunction(handle)) return handle;
      }
      // A function by itself: `(a, b) => a + b`.
      return isFunction(whole) ? whole : `defines no function ${name}`;
    }

    const textOf = (
      context: QuickJSContext,
      value: QuickJSHandle,
    ): { value: string } | { error: string } => {
      const result = context.callFunction(write, context.undefined, value);
      if (result.error) return { error: messageOf(context, keep(result.error)) };
      const handle = keep(result.value);
      const length = context.getNumber(keep(context.getProp(handle, 'length')));
      if (length > MAX_OUTPUT) return { error: `gives more than ${MAX_OUTPUT} characters` };
      return { value: context.getString(handle) };
    };

    if (job.tests !== undefined) {
      const helped = evaluate(ours, wrapTests(job.tests, entry, job.helpers ?? ''));
      const tests =
        typeof helped === 'string' ? evaluate(ours, wrapTests(job.tests, entry, '')) : helped;
      if (typeof tests === 'string') return { error: `the tests cannot be read: ${tests}` };
      const result = ours.callFunction(tests, ours.undefined, candidate, write);
      if (result.error)
        return { tests: { passed: 0, failure: messageOf(ours, keep(result.error)) } };
      const text = ours.getString(keep(result.value));
      const at = text.indexOf(';');
      const failure = text.slice(at + 1, at + 100).replace(/\s+/g, ' ');
      // The completion could have caught the interrupt; its work is spent all the same.
      return {
        tests: {
          passed: Number(text.slice(0, at)),
          failure: work > WORK ? 'ran too long' : failure,
        },
      };
    }
    const calls = (job.calls ?? []).map((json): { value: string } | { error: string } => {
      // Arguments are values of our realm; nothing of the completion is on the way that makes them.
      const list = must(evaluate(ours, `(${json})`));
      const count = ours.getNumber(keep(ours.getProp(list, 'length')));
      const args = Array.from({ length: count }, (_, i) => keep(ours.getProp(list, i)));
      const result = ours.callFunction(candidate, ours.undefined, ...args);
      if (work > WORK) {
        keep(result.error ?? result.value);
        return { error: 'ran too long' };
      }
      if (result.error) return { error: messageOf(ours, keep(result.error)) };
      return textOf(ours, keep(result.value));
    });
    return { calls };
  } finally {
    for (const handle of handles.reverse()) if (handle.alive) handle.dispose();
    ours.dispose();
    theirs.dispose();
    runtime.dispose();
  }
}

/**
 * What was thrown, as one short line, without asking it anything that could run code: only own
 * strings are read.
 */
function messageOf(context: QuickJSContext, error: QuickJSHandle): string {
  // The completion's code may run in a getter here; its work is counted like all other, and what it
  // gives is only shown.
  let text = 'throws';
  if (context.typeof(error) === 'object') {
    const parts = ['name', 'message'].map((key) => {
      const handle = context.getProp(error, key);
      const isText = context.typeof(handle) === 'string';
      const part = isText ? context.getString(handle).slice(0, 60) : '';
      handle.dispose();
      return part;
    });
    if (parts[0] === 'InternalError' && parts[1] === 'interrupted') return 'ran too long';
    if (parts[0] === 'InternalError' && parts[1] === 'out of memory') return 'took too much memory';
    text = `throws ${parts.filter((part) => part !== '').join(': ')}`;
  }
  return text.replace(/\s+/g, ' ').slice(0, 90);
}
