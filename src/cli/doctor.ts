/**
 * @file `reckoner doctor`: what this machine has, how fast it is, and what would make it faster.
 *
 * Matrix products decide how fast training is, so they are measured, not guessed: our machine code,
 * our WASM kernel and the system's BLAS, one core each, on the same matrices. What training makes of them is
 * measured too, with steps of a recipe's own model on all workers. Everything else is looked up.
 */

import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Command } from 'commander';
import { formatAbout, formatBytes, formatCount } from '../base/text/index.js';
import { RUNS } from '../checkpoints/run-folder.js';
import { calibrateLocal } from '../plan/local/calibration.js';
import { predictLocal } from '../plan/local/local-plan.js';
import { gpuAdvice, inspectGpus } from '../policy/local/gpu.js';
import { loadRecipe } from '../recipe/index.js';
import type { Backend } from '../tensor/backend.js';
import { openBlas } from '../tensor/backends/wasm/blas.js';
import { createWasmBackend, type GemmChoice, probeGemm } from '../tensor/backends/wasm/index.js';
import { hasRelaxedSimd } from '../tensor/backends/wasm/load.js';
import { openRapl } from '../usage/meters.js';
import { type DoctorDocument, SCHEMA_VERSION } from './documents.js';
import { print, printDocument, type Style, styleFor, withExamples } from './output.js';
import { packageVersion } from './version.js';

const POWERCAP = '/sys/class/powercap';
/** Side of the matrices: large enough for full speed, small enough to be done in a second. */
const SIZE = 512;
const MEASURE_MS = 300;

/**
 * Billions of floating-point operations a second of square products on one core; the best of
 * several rounds.
 */
export async function measureMatmul(
  backend: Backend,
  size = SIZE,
  milliseconds = MEASURE_MS,
): Promise<number> {
  const mark = backend.mark();
  const [out, a, b] = [0, 1, 2].map(() => backend.allocate('f32', [size, size]));
  const data = Float32Array.from(
    { length: size * size },
    (_, i) => ((i * 2654435761) % 1000) / 1000 - 0.5,
  );
  backend.write(a, data);
  backend.write(b, data);
  const round = async (): Promise<number> => {
    const start = performance.now();
    backend.matmul({ out, a, b });
    await backend.sync();
    return (performance.now() - start) / 1000;
  };
  await round();
  let best = Infinity;
  const end = performance.now() + milliseconds;
  do best = Math.min(best, await round());
  while (performance.now() < end);
  backend.release(mark);
  return (2 * size ** 3) / best / 1e9;
}

/** The recipe that is timed: the one that `train` takes when none is named. */
const TIMED = 'r1-mini';

/**
 * Real steps and real decoding at the recipe's own shapes, on as many workers as training takes.
 */
async function measureTraining(): Promise<DoctorDocument['training']> {
  const recipe = loadRecipe(TIMED);
  const { calibration, described } = await calibrateLocal(recipe);
  const { measured, slowdown, workers } = calibration;
  const [stage] = described.stages;
  const [pass] = stage.parts;
  const training = measured.find(
    (rates) => rates.kind === 'training' && rates.key === pass.trainingKey,
  );
  const decoding = measured.find((rates) => rates.kind === 'generation');
  if (training?.kind !== 'training' || decoding?.kind !== 'generation')
    throw new Error(`${TIMED} was not timed`);
  const { steps, expected } = pass.local;
  const secondsPerStep =
    slowdown * (expected.trainedTokens * training.secondsPerToken + training.secondsPerUpdate);
  const perSecond = (amount: number): number => amount / steps / secondsPerStep;
  return {
    recipe: TIMED,
    secondsPerStep,
    trainingTokensPerSecond: Math.round(perSecond(stage.tokensIn.value)),
    trainingGflops: round1(perSecond(stage.modelFlops.value) / 1e9),
    decoding: decoding.decode.map(({ sequences, seconds }) => ({
      sequences,
      tokensPerSecond: Math.round((workers * sequences) / (slowdown * seconds)),
    })),
    slowdown: Math.round(100 * slowdown) / 100,
    wholeRun: predictLocal(recipe, calibration, { described }).total.seconds,
  };
}

/** (func (result v128) i8x16.popcnt (i8x16.splat 0)): valid where the engine has SIMD. */
const SIMD_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
];

export async function measure(): Promise<DoctorDocument['matmul']> {
  const measureWith = async (choice: GemmChoice): Promise<{ name: string; gflops: number }> => {
    const backend = await createWasmBackend({
      choice,
      sharedBytes: 65536,
      localBytes: 4 * 4 * SIZE * SIZE,
    });
    try {
      return { name: choice.name, gflops: round1(await measureMatmul(backend)) };
    } finally {
      await backend.close();
    }
  };
  const used = await probeGemm();
  const own = await probeGemm({ products: 'native' });
  const native = own.native ? await measureWith(own) : null;
  const kernel = await measureWith(await probeGemm({ products: 'wasm' }));
  // Also a library that training would not take, being slower than the kernel: that is worth
  // knowing.
  const asked = process.env.RECKONER_BLAS;
  const found = asked === 'off' ? null : openBlas(asked || undefined);
  const blas =
    found === null ? null : await measureWith({ library: found.library, name: found.name });
  return { size: SIZE, native, kernel, blas, used: used.name };
}

/** Whether the optional package that calls native libraries has a build for this platform. */
function hasKoffi(): boolean {
  try {
    createRequire(import.meta.url)('koffi');
    return true;
  } catch {
    return false;
  }
}

const round1 = (value: number): number => Math.round(value * 10) / 10;

/** The folder itself, or the nearest one above it that exists. */
function existing(folder: string): string {
  let path = resolve(folder);
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path);
  return path;
}

function inspectRuns(folder: string): DoctorDocument['runs'] {
  const path = existing(folder);
  let writable = true;
  let freeBytes: number | null = null;
  try {
    accessSync(path, constants.W_OK);
  } catch {
    writable = false;
  }
  try {
    const { bavail, bsize } = statfsSync(path);
    freeBytes = bavail * bsize;
  } catch {
    // A file system that does not say.
  }
  return { folder: resolve(folder), writable, freeBytes };
}

/** What to type to get a fast BLAS, or null where the system brings its own. */
export function blasAdvice(platform: string, osRelease: string): string | null {
  if (platform === 'darwin') return null;
  if (platform === 'win32')
    return 'put libopenblas.dll (https://github.com/OpenMathLib/OpenBLAS/releases) in a folder on PATH';
  const like = /^ID(?:_LIKE)?=.*$/gm;
  const ids = (osRelease.match(like) ?? []).join(' ').toLowerCase();
  if (/debian|ubuntu/.test(ids)) return 'sudo apt-get install libopenblas0-pthread';
  if (/fedora|rhel|centos/.test(ids)) return 'sudo dnf install openblas-serial';
  if (/suse/.test(ids)) return 'sudo zypper install libopenblas_pthreads0';
  if (/arch/.test(ids)) return 'sudo pacman -S openblas';
  if (/alpine/.test(ids)) return 'apk add openblas';
  return "install OpenBLAS with the system's package manager";
}

function osRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8');
  } catch {
    return '';
  }
}

/** What would help, most useful first. A pure function of the rest of the report. */
export function adviceFor(
  report: Omit<DoctorDocument, 'advice'>,
  install: string | null,
): string[] {
  const advice: string[] = [];
  const { matmul, node, wasm, runs, energy, machine } = report;
  if (!node.supported)
    advice.push(`install Node 20.19 or newer (this is ${node.version}): https://nodejs.org`);
  if (!runs.writable)
    advice.push(`${runs.folder} cannot be written; use another folder with train --runs`);
  if (runs.freeBytes !== null && runs.freeBytes < 1e9) {
    advice.push(`only ${formatBytes(runs.freeBytes)} are free for runs; free at least 1 GB`);
  }
  const { native, blas, kernel } = matmul;
  if (native === null && blas === null && install !== null)
    advice.push(`a BLAS library makes training faster: ${install}`);
  if (native !== null && blas !== null && blas.gflops > 1.1 * native.gflops)
    advice.push(`${blas.name} is faster here than our machine code; train --blas takes it`);
  if (native === null && blas !== null && blas.gflops < 1.1 * kernel.gflops && install !== null) {
    advice.push(
      `the BLAS found (${blas.name}) is no faster than the built-in kernel; a tuned one is: ${install}`,
    );
  }
  if (native === null && blas === null && !wasm.relaxedSimd)
    advice.push('Node 22 or newer has relaxed SIMD, which makes the built-in kernel faster');
  if (machine.freeMemoryBytes < 1e9)
    advice.push(
      `only ${formatBytes(machine.freeMemoryBytes)} of memory are free; close other programs`,
    );
  if (
    !energy.measured &&
    machine.platform.startsWith('linux') &&
    existsSync(`${POWERCAP}/intel-rapl:0`)
  ) {
    advice.push(
      `energy is estimated; to measure it: sudo chmod a+r ${POWERCAP}/intel-rapl:*/energy_uj`,
    );
  }
  return advice;
}

export async function examine(runsFolder: string): Promise<DoctorDocument> {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const rapl = openRapl(POWERCAP);
  const report: Omit<DoctorDocument, 'advice'> = {
    schemaVersion: SCHEMA_VERSION,
    version: packageVersion(),
    node: { version: process.version, supported: major > 20 || (major === 20 && minor >= 19) },
    machine: {
      cpu: cpus()[0]?.model.trim() || process.arch,
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      freeMemoryBytes: freemem(),
      platform: `${process.platform}-${process.arch}`,
    },
    wasm: { simd: WebAssembly.validate(new Uint8Array(SIMD_PROBE)), relaxedSimd: hasRelaxedSimd() },
    matmul: await measure(),
    workers: availableParallelism(),
    gpus: await inspectGpus(),
    training: await measureTraining(),
    energy: {
      measured: rapl !== null,
      source:
        rapl === null ? 'estimated from reserved core-seconds' : `RAPL: ${rapl.domains.join(', ')}`,
    },
    runs: inspectRuns(runsFolder),
    terminal: {
      interactive: process.stdout.isTTY === true,
      columns: process.stdout.columns ?? null,
      color: styleFor(process.stdout).bold('x') !== 'x',
    },
  };
  const install = hasKoffi()
    ? blasAdvice(process.platform, osRelease())
    : 'npm install koffi (the optional package that calls BLAS is not there)';
  const gpu = await gpuAdvice();
  return { ...report, advice: [...adviceFor(report, install), ...(gpu ? [gpu] : [])] };
}

function trainingText(training: DoctorDocument['training']): string {
  const { trainingTokensPerSecond, decoding, recipe, wholeRun, slowdown } = training;
  const drawn = decoding[decoding.length - 1].tokensPerSecond;
  const busy =
    slowdown < 1.2 ? '' : `; the machine is in use: ${slowdown.toFixed(1)} times slower than alone`;
  return `${formatCount(trainingTokensPerSecond)} tok/s learned, ${formatCount(drawn)} tok/s written; ${recipe} takes about ${formatAbout(wholeRun.value)}${busy}`;
}

function gpuText(gpu: DoctorDocument['gpus'][number]): string {
  const offers = [
    gpu.halfPrecision ? 'f16' : '',
    gpu.subgroups ? 'subgroups' : '',
    gpu.matrixUnits ? 'matrix units' : '',
  ];
  const listed = offers.filter((word) => word !== '').join(', ');
  const kind = gpu.hardware ? '' : ' (a software adapter, for tests)';
  return `${gpu.name}${kind}: ${gpu.gflops.toFixed(1)} GFLOP/s, ${gpu.gigabytesPerSecond.toFixed(1)} GB/s${listed ? `; ${listed}` : ''}`;
}

/** The report for people. */
export function renderReport(report: DoctorDocument, style: Style): string {
  const { matmul, machine, runs, training } = report;
  const mark = (good: boolean): string => (good ? style.green('✓') : style.yellow('!'));
  const rate = (gflops: number): string => `${gflops.toFixed(1)} GFLOP/s a core`;
  const gpus = report.gpus.length === 0 ? ['none through WebGPU'] : report.gpus.map(gpuText);
  const rows: [good: boolean, name: string, text: string][] = [
    [report.node.supported, 'Node', `${report.node.version} (20.19 or newer)`],
    [
      true,
      'processor',
      `${machine.cpu}, ${machine.cores} ${machine.cores === 1 ? 'core' : 'cores'}, ${machine.platform}`,
    ],
    [
      machine.freeMemoryBytes >= 1e9,
      'memory',
      `${formatBytes(machine.memoryBytes)}, ${formatBytes(machine.freeMemoryBytes)} free`,
    ],
    [
      report.wasm.simd,
      'WASM SIMD',
      `SIMD ${yes(report.wasm.simd)}, relaxed SIMD ${yes(report.wasm.relaxedSimd)}`,
    ],
    [
      matmul.native !== null || matmul.blas !== null,
      'native',
      matmul.native === null
        ? 'no machine code: it needs x86-64 with AVX2, Linux or Windows, and koffi'
        : `${matmul.native.name}: ${rate(matmul.native.gflops)}`,
    ],
    [true, 'WASM', `${matmul.kernel.name}: ${rate(matmul.kernel.gflops)}`],
    [
      matmul.blas !== null || matmul.native !== null,
      'BLAS',
      matmul.blas === null ? 'none found' : `${matmul.blas.name}: ${rate(matmul.blas.gflops)}`,
    ],
    [true, 'workers', `${report.workers}, one per core, with ${matmul.used}`],
    ...gpus.map((text): [boolean, string, string] => [true, 'GPU', text]),
    [training.slowdown < 1.2, 'training', trainingText(training)],
    [report.energy.measured, 'energy', report.energy.source],
    [
      runs.writable,
      'runs',
      `${runs.folder}, ${runs.writable ? 'writable' : 'not writable'}${runs.freeBytes === null ? '' : `, ${formatBytes(runs.freeBytes)} free`}`,
    ],
    [
      true,
      'terminal',
      report.terminal.interactive
        ? `${report.terminal.columns} columns, colour ${yes(report.terminal.color)}`
        : 'output is not a terminal',
    ],
  ];
  const lines = rows.map(
    ([good, name, text]) => `${mark(good)} ${style.bold(name.padEnd(11))} ${text}`,
  );
  if (report.advice.length > 0)
    lines.push('', ...report.advice.map((text) => `${style.cyan('→')} ${text}`));
  else lines.push('', 'Nothing that we know of would make this machine faster.');
  return lines.join('\n');
}

const yes = (value: boolean): string => (value ? 'yes' : 'no');

export function doctorCommand(): Command {
  const command = new Command('doctor')
    .description('what this machine has, how fast it is, what would make it faster')
    .option('--runs <folder>', 'folder of the runs', RUNS)
    .option('--json', 'print one JSON document')
    .action(async (options: { runs: string; json?: boolean }) => {
      const report = await examine(options.runs);
      if (options.json) printDocument(report);
      else print(renderReport(report, styleFor(process.stdout)));
    });
  return withExamples(command, 'reckoner doctor', 'reckoner doctor --json');
}
