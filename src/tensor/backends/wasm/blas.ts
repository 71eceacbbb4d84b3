/**
 * @file The system's BLAS through koffi, on the WASM memory itself.
 *
 * `cblas_sgemm` is one interface with many libraries behind it. They are tried in the order below;
 * `RECKONER_BLAS` names another library, or `off`. The library gets raw addresses, so nothing is
 * copied; a call costs about 0.2 µs more than one into the WASM kernels.
 *
 * Each worker thread calls it with one BLAS thread: parallelism is over data, and one thread keeps
 * sums in one order. That setting, and which kernel the library picks, come from environment
 * variables that it reads when it is loaded, so the main thread loads it first (`openBlas`); the
 * workers then share what is loaded.
 *
 * OpenBLAS picks its kernels from a table of processor models, and takes one that is newer than
 * itself, or hidden by a hypervisor, for a Prescott of 2004: SSE3, 30 GFLOP/s where 105 are to be
 * had. Then it is loaded again with the model said outright (`OPENBLAS_CORETYPE`), from what the
 * processor says it can do.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { addressOf, type Koffi, type Library, loadKoffi } from '../../native/koffi.js';

/** A loaded library. Addresses are of this process, as numbers. */
export interface Blas {
  /** Library, version and kernel: `openblas 0.3.21 SkylakeX`. */
  readonly name: string;
  /** What to load in another thread of this process. */
  readonly library: string;
  /** `cblas_sgemm`: row-major = 101; as stored = 111, transposed = 112. */
  readonly sgemm: (
    order: number,
    transposeA: number,
    transposeB: number,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    b: number,
    ldb: number,
    beta: number,
    c: number,
    ldc: number,
  ) => void;
  /** Address of the first byte of `buffer`. */
  addressOf(buffer: ArrayBufferLike): number;
}

const CANDIDATES: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: [
    'libopenblas.so.0',
    'libopenblas.so',
    'libmkl_rt.so.2',
    'libmkl_rt.so.1',
    'libmkl_rt.so',
    'libblis.so.4',
    'libblis.so',
    'libcblas.so.3',
    'libblas.so.3',
  ],
  darwin: [
    '/System/Library/Frameworks/Accelerate.framework/Accelerate',
    '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
    '/usr/local/opt/openblas/lib/libopenblas.dylib',
  ],
  win32: ['libopenblas.dll', 'openblas.dll', 'mkl_rt.2.dll', 'mkl_rt.dll'],
};

/** One thread, and sums in the same order in every run. A variable that the user has set stays. */
const ENVIRONMENT: Record<string, string> = {
  OPENBLAS_NUM_THREADS: '1',
  BLIS_NUM_THREADS: '1',
  VECLIB_MAXIMUM_THREADS: '1',
  MKL_NUM_THREADS: '1',
  MKL_THREADING_LAYER: 'SEQUENTIAL',
  MKL_CBWR: 'AUTO,STRICT',
};

/** OpenBLAS's names for x86 processors without AVX, and for one that it does not know. */
const OUTDATED_CORES =
  /^(unknown|generic|katmai|coppermine|northwood|prescott|banias|core2|penryn|dunnington|nehalem|atom|athlon|opteron.*|barcelona|bobcat)$/i;

/** Calls a function of the library when it has it. */
function attempt<T>(library: Library, prototype: string, ...args: unknown[]): T | undefined {
  try {
    return library.func(prototype)(...args) as T;
  } catch {
    return undefined;
  }
}

/**
 * Sets variables while `body` runs. In the main thread, Node writes them to the process's real
 * environment.
 */
function withEnvironment<T>(variables: Record<string, string>, body: () => T): T {
  const mine = isMainThread
    ? Object.entries(variables).filter(([name]) => process.env[name] === undefined)
    : [];
  for (const [name, value] of mine) process.env[name] = value;
  try {
    return body();
  } finally {
    for (const [name] of mine) delete process.env[name];
  }
}

/**
 * Libraries that this thread has opened. Koffi closes a library that nobody refers to; the next
 * thread to open it would then initialise it again, without the environment that only the main
 * thread can set.
 */
const kept: Library[] = [];

/**
 * The OpenBLAS kernel for what this processor can do; null when Linux does not say, or there is
 * nothing better.
 */
function coreType(): string | null {
  let flags: Set<string>;
  try {
    flags = new Set(
      /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].trim().split(/\s+/),
    );
  } catch {
    return null;
  }
  if (['avx512f', 'avx512cd', 'avx512bw', 'avx512dq', 'avx512vl'].every((flag) => flags.has(flag)))
    return 'SkylakeX';
  return flags.has('avx2') && flags.has('fma') ? 'Haswell' : null;
}

function openFirst(
  lib: Koffi,
  candidates: readonly string[],
): { library: Library; path: string } | null {
  for (const path of candidates) {
    try {
      const library = lib.load(path);
      library.func('void cblas_sgemm()');
      return { library, path };
    } catch {
      // Not installed, or a BLAS without the C interface: the next one.
    }
  }
  return null;
}

function describe(library: Library, path: string): string {
  const openblas = attempt<string>(library, 'const char *openblas_get_config()');
  if (openblas !== undefined) {
    const version = /\d+(\.\d+)+/.exec(openblas)?.[0] ?? '';
    return `openblas ${version} ${attempt<string>(library, 'const char *openblas_get_corename()') ?? ''}`.trim();
  }
  const blis = attempt<string>(library, 'const char *bli_info_get_version_str()');
  if (blis !== undefined)
    return `blis ${blis} ${attempt<string>(library, 'const char *bli_arch_string(int)', attempt(library, 'int bli_arch_query_id()')) ?? ''}`.trim();
  const text = Buffer.alloc(200);
  if (
    attempt(library, 'void mkl_get_version_string(_Out_ uint8_t *, int)', text, text.length) !==
      undefined ||
    text[0] !== 0
  ) {
    const version = text.toString('latin1').split('\0')[0];
    return `mkl ${/Version\s+([\d.]+)/.exec(version)?.[1] ?? version} ${/for (.*?) (applications|architecture)/.exec(version)?.[1] ?? ''}`.trim();
  }
  // Accelerate comes with the system and has no version of its own.
  return path.includes('Accelerate') ? `accelerate, Darwin ${release()}` : `blas ${path}`;
}

/**
 * Opens a BLAS with one thread; null when there is none. The main thread of a process calls it
 * before any other.
 * @param library a path or a name to try instead of the usual ones.
 */
export function openBlas(library?: string): Blas | null {
  const lib = loadKoffi();
  if (lib === null) return null;
  const candidates = library === undefined ? (CANDIDATES[process.platform] ?? []) : [library];
  let opened = withEnvironment(ENVIRONMENT, () => openFirst(lib, candidates));
  if (opened === null) return null;
  const core = attempt<string>(opened.library, 'const char *openblas_get_corename()');
  if (isMainThread && core !== undefined && OUTDATED_CORES.test(core)) {
    const better = coreType();
    if (better !== null) {
      const { path } = opened;
      opened.library.unload();
      opened = withEnvironment({ ...ENVIRONMENT, OPENBLAS_CORETYPE: better }, () =>
        openFirst(lib, [path]),
      );
      if (opened === null) return null;
    }
  }
  const { library: handle, path } = opened;
  kept.push(handle);
  // The library may have been loaded by something else, before the variables were set.
  attempt(handle, 'void openblas_set_num_threads(int)', 1);
  attempt(handle, 'void MKL_Set_Num_Threads(int)', 1);
  attempt(handle, 'void bli_thread_set_num_threads(int64_t)', 1);
  attempt(handle, 'int BLASSetThreading(int)', 1);
  return {
    name: describe(handle, path),
    library: path,
    // Addresses as integers: cheaper than external pointers, which koffi would have to make and
    // collect.
    sgemm: handle.func(
      'void cblas_sgemm(int, int, int, int, int, int, float, uintptr_t, int, uintptr_t, int, float, uintptr_t, int)',
    ) as unknown as Blas['sgemm'],
    addressOf: (buffer) => addressOf(lib, buffer),
  };
}
