/**
 * @file Several threads for one product: a sequence that is written alone has all of a machine's
 * cores.
 *
 * A product's columns are cut into pieces. The thread that wants the product opens a job and takes
 * pieces; helpers that are awake take pieces too, by a counter in shared memory. So a helper that is
 * late costs nothing: what it does not take, the others do. A column's bits depend on its row of A
 * and its column of B alone, and so not on who computes it or how many there are.
 *
 * A job is closed before its numbers are overwritten: a helper counts itself in, looks again whether
 * a job is open, and only then reads. Helpers look for a next job for a while (an operation between
 * two products takes microseconds), then sleep.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { FORMS } from '../forms.js';
import type { TargetName } from './program.js';
import type { FrozenCall, NativeGemm, NativeScratch, Sgemm } from './sgemm.js';

/** Words of the control block: the open job's number or 0, and so on. */
const [OPEN, INSIDE, NEXT, ASLEEP, READY, CLOSED] = [0, 16, 32, 48, 64, 80];
const CONTROL_WORDS = 96;
/** Behind them the job: float64 numbers. */
const JOB_NUMBERS = 24;
export const TEAM_BYTES = 4 * CONTROL_WORDS + 8 * JOB_NUMBERS;

/** Looks for a next job before sleeping: about half a millisecond. */
const SPINS = 30_000;
/** Multiply-adds below which a product is not worth sharing: some 5 µs. */
const LEAST_WORK = 60_000;
/** Columns of a piece are a multiple of this, so that kernels have full tiles. */
const GRAIN = 16;
/** Pieces for each thread. */
const PIECES = 3;

/** Where a team's words lie, and what a helper needs to compute. Structured-cloneable. */
export interface TeamPlace {
  buffer: ArrayBufferLike;
  target: TargetName;
  /** Offset of `TEAM_BYTES`. */
  control: number;
  /** For each helper. */
  scratch: readonly NativeScratch[];
}

interface Words {
  integers: Int32Array;
  job: Float64Array;
}

const wordsOf = ({ buffer, control }: TeamPlace): Words => ({
  integers: new Int32Array(buffer, control, CONTROL_WORDS),
  job: new Float64Array(buffer, control + 4 * CONTROL_WORDS, JOB_NUMBERS),
});

/** Numbers of a job before its arguments: kind, columns, columns of a piece, alike. */
const HEAD = 4;
type Kind = 0 | 1;
const [SGEMM, FROZEN]: [Kind, Kind] = [0, 1];

/** Computes columns [from, to) of a job. */
function perform(gemm: NativeGemm, job: Float64Array, from: number, to: number): void {
  const x = (i: number): number => job[HEAD + i];
  gemm.alike = job[3] === 1;
  if (job[0] === SGEMM) {
    const [transposeA, transposeB, ldb] = [x(0) === 1, x(1) === 1, x(8)];
    const b = x(7) + 4 * from * (transposeB ? ldb : 1);
    const c = x(10) + 4 * from;
    const [m, k, alpha, a, lda] = [x(2), x(3), x(4), x(5), x(6)];
    gemm.sgemm(transposeA, transposeB, m, to - from, k, alpha, a, lda, b, ldb, x(9), c, x(11));
  } else {
    const call = { form: FORMS[x(0)], address: x(1), from, to };
    gemm.frozen(call, x(2), x(3), x(4), x(5), x(6), x(7), x(8), x(9));
  }
}

export interface Team {
  /** A product as `NativeGemm` has it, by all threads. */
  sgemm: Sgemm;
  frozen: NativeGemm['frozen'];
  /** Threads, this one included. */
  readonly threads: number;
  close(): Promise<void>;
}

/** Starts helpers, which join when they are ready; until then this thread works alone. */
export function startTeam(place: TeamPlace, own: NativeGemm): Team {
  const { integers, job } = wordsOf(place);
  integers.fill(0);
  const workers = place.scratch.map((_, helper) => startHelper({ place, helper }));
  let number = 0;

  /** Computes a job's pieces until there are none left, then waits for the helpers' last ones. */
  function run(kind: Kind, columns: number, args: readonly number[]): void {
    const threads = 1 + place.scratch.length;
    const piece = Math.ceil(columns / (threads * PIECES) / GRAIN) * GRAIN;
    const { alike } = own;
    job.set([kind, columns, piece, alike ? 1 : 0, ...args]);
    Atomics.store(integers, NEXT, 0);
    number = (number & 0x3fffffff) + 1;
    Atomics.store(integers, OPEN, number);
    if (Atomics.load(integers, ASLEEP) > 0) Atomics.notify(integers, OPEN);
    takePieces(own, integers, job);
    Atomics.store(integers, OPEN, 0);
    while (Atomics.load(integers, INSIDE) > 0);
  }

  const shared = (columns: number, work: number): boolean =>
    work >= LEAST_WORK && columns >= 2 * GRAIN && Atomics.load(integers, READY) > 0;

  return {
    threads: 1 + place.scratch.length,
    sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) {
      if (!shared(n, m * n * k))
        own.sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
      else {
        const [tA, tB] = [transposeA ? 1 : 0, transposeB ? 1 : 0];
        run(SGEMM, n, [tA, tB, m, k, alpha, a, lda, b, ldb, beta, c, ldc]);
      }
    },
    frozen(call: FrozenCall, m, k, alpha, a, lda, beta, c, ldc) {
      const { form, address, from, to } = call;
      if (from !== 0 || !shared(to, m * to * k))
        own.frozen(call, m, k, alpha, a, lda, beta, c, ldc);
      else run(FROZEN, to, [FORMS.indexOf(form), address, m, k, alpha, a, lda, beta, c, ldc]);
    },
    async close() {
      Atomics.store(integers, CLOSED, 1);
      Atomics.notify(integers, OPEN);
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

function takePieces(gemm: NativeGemm, integers: Int32Array, job: Float64Array): void {
  const [, columns, piece] = job;
  for (;;) {
    const from = Atomics.add(integers, NEXT, 1) * piece;
    if (from >= columns) return;
    perform(gemm, job, from, Math.min(columns, from + piece));
  }
}

export interface HelperJob {
  place: TeamPlace;
  /** Its number among the helpers. */
  helper: number;
}

/**
 * Tests run the TypeScript sources, which a thread of Node 20 cannot load by itself; as built, the
 * helper is an ordinary module.
 */
function startHelper(workerData: HelperJob): Worker {
  const source = import.meta.url.endsWith('.ts');
  const module = new URL(`./team-helper.${source ? 'ts' : 'js'}`, import.meta.url);
  const resourceLimits = { maxYoungGenerationSizeMb: 1 };
  const file = JSON.stringify(fileURLToPath(module));
  const jiti = source && JSON.stringify(createRequire(import.meta.url).resolve('jiti'));
  const worker = source
    ? new Worker(`require(${jiti}).createJiti(${file})(${file})`, {
        eval: true,
        workerData,
        resourceLimits,
      })
    : new Worker(module, { workerData, resourceLimits });
  // A helper that cannot start, or ends, is one that takes no pieces.
  worker.on('error', () => {});
  worker.unref();
  return worker;
}

/** What a helper does until its team is closed. */
export function help(place: TeamPlace, gemm: NativeGemm): void {
  const { integers, job } = wordsOf(place);
  Atomics.add(integers, READY, 1);
  let last = 0;
  for (let spins = 0; Atomics.load(integers, CLOSED) === 0; ) {
    const open = Atomics.load(integers, OPEN);
    if (open === 0 || open === last) {
      if (++spins < SPINS) continue;
      Atomics.add(integers, ASLEEP, 1);
      Atomics.wait(integers, OPEN, open);
      Atomics.sub(integers, ASLEEP, 1);
      spins = 0;
      continue;
    }
    spins = 0;
    Atomics.add(integers, INSIDE, 1);
    last = Atomics.load(integers, OPEN);
    if (last !== 0) takePieces(gemm, integers, job);
    Atomics.sub(integers, INSIDE, 1);
  }
}
