import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { adviceFor, blasAdvice, measureMatmul, renderReport } from './doctor.js';
import type { DoctorDocument } from './documents.js';
import { PLAIN } from './output.js';

const good: DoctorDocument = {
  schemaVersion: 1,
  version: '0.1.0',
  node: { version: 'v22.12.0', supported: true },
  machine: {
    cpu: 'Test',
    cores: 8,
    memoryBytes: 32e9,
    freeMemoryBytes: 16e9,
    platform: 'darwin-arm64',
  },
  wasm: { simd: true, relaxedSimd: true },
  matmul: {
    size: 512,
    native: null,
    kernel: { name: 'wasm-relaxed', gflops: 40 },
    blas: { name: 'accelerate', gflops: 100 },
    used: 'accelerate',
  },
  workers: 8,
  gpus: [],
  training: {
    recipe: 'r1-mini',
    secondsPerStep: 0.02,
    trainingTokensPerSecond: 60_000,
    trainingGflops: 120,
    decoding: [
      { sequences: 1, tokensPerSecond: 5_000 },
      { sequences: 128, tokensPerSecond: 200_000 },
    ],
    slowdown: 1.02,
    wholeRun: { value: 100, low: 80, high: 130 },
  },
  energy: { measured: true, source: 'RAPL: package-0' },
  runs: { folder: '/home/x/runs', writable: true, freeBytes: 100e9 },
  terminal: { interactive: true, columns: 80, color: true },
  advice: [],
};

describe('advice', () => {
  it('is silent about a machine that lacks nothing', () => {
    expect(adviceFor(good, 'install it')).toEqual([]);
    expect(renderReport(good, PLAIN)).toContain('Nothing that we know of');
  });

  it('names the package of a missing BLAS', () => {
    const none = { ...good, matmul: { ...good.matmul, blas: null, used: 'wasm-relaxed' } };
    expect(adviceFor(none, 'apk add openblas')).toEqual([
      'a BLAS library makes training faster: apk add openblas',
    ]);
    expect(adviceFor({ ...none, wasm: { simd: true, relaxedSimd: false } }, 'x')[1]).toContain(
      'Node 22',
    );
  });

  it('asks for no BLAS where there is machine code, and names one that is faster', () => {
    const native = { name: 'native avx2 0123456789ab', gflops: 90 };
    const own = { ...good, matmul: { ...good.matmul, native, blas: null, used: native.name } };
    expect(adviceFor(own, 'apk add openblas')).toEqual([]);
    expect(renderReport(own, PLAIN)).toContain('native avx2 0123456789ab: 90.0 GFLOP/s');
    const faster = { ...own, matmul: { ...own.matmul, blas: { name: 'mkl', gflops: 100 } } };
    expect(adviceFor(faster, 'x')[0]).toContain('train --blas');
  });

  it('notices a slow BLAS, a full disk and a folder that cannot be written', () => {
    const slow = {
      ...good,
      matmul: { ...good.matmul, blas: { name: 'reference blas', gflops: 3 } },
    };
    expect(adviceFor(slow, 'x')[0]).toContain('reference blas');
    expect(adviceFor({ ...good, runs: { ...good.runs, freeBytes: 5e6 } }, null)[0]).toContain(
      'only 5.0 MB are free',
    );
    expect(adviceFor({ ...good, runs: { ...good.runs, writable: false } }, null)[0]).toContain(
      'cannot be written',
    );
  });

  it('comes first on how to run at all', () => {
    const old = {
      ...good,
      node: { version: 'v18.0.0', supported: false },
      runs: { ...good.runs, writable: false },
    };
    expect(adviceFor(old, null)[0]).toContain('Node 20.19');
  });
});

it('says what training achieves, and that others use the machine', () => {
  const text = renderReport(good, PLAIN);
  expect(text).toMatch(
    /✓ training +60,000 tok\/s learned, 200,000 tok\/s written; r1-mini takes about 1 min 40 s$/m,
  );
  const busy = renderReport({ ...good, training: { ...good.training, slowdown: 2 } }, PLAIN);
  expect(busy).toMatch(/! training .*; the machine is in use: 2\.0 times slower than alone$/m);
});

it('lists every adapter, and what each was measured to do', () => {
  const gpu = {
    name: 'Acme Fast 1',
    hardware: true,
    halfPrecision: true,
    subgroups: true,
    matrixUnits: false,
    largestTensorBytes: 2 ** 31,
    gflops: 12345.67,
    gigabytesPerSecond: 456.78,
  };
  const plays = {
    ...gpu,
    name: 'SwiftShader',
    hardware: false,
    halfPrecision: false,
    gflops: 0.5,
    gigabytesPerSecond: 2,
  };
  const text = renderReport({ ...good, gpus: [gpu, plays] }, PLAIN);
  expect(text).toMatch(/^✓ GPU +Acme Fast 1: 12345\.7 GFLOP\/s, 456\.8 GB\/s; f16, subgroups$/m);
  expect(text).toMatch(
    /^✓ GPU +SwiftShader \(a software adapter, for tests\): 0\.5 GFLOP\/s, 2\.0 GB\/s; subgroups$/m,
  );
  expect(renderReport(good, PLAIN)).toMatch(/^✓ GPU +none through WebGPU$/m);
});

it('blasAdvice knows the package managers', () => {
  expect(blasAdvice('linux', 'NAME="Debian"\nID=debian\n')).toBe(
    'sudo apt-get install libopenblas0-pthread',
  );
  expect(blasAdvice('linux', 'ID=linuxmint\nID_LIKE="ubuntu debian"\n')).toBe(
    'sudo apt-get install libopenblas0-pthread',
  );
  expect(blasAdvice('linux', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n')).toBe(
    'sudo dnf install openblas-serial',
  );
  expect(blasAdvice('linux', 'ID=arch\n')).toBe('sudo pacman -S openblas');
  expect(blasAdvice('linux', '')).toContain("system's package manager");
  expect(blasAdvice('darwin', '')).toBeNull();
});

it('measureMatmul times products and gives the memory back', async () => {
  const backend = createReferenceBackend();
  const before = backend.memory().localBytes;
  expect(await measureMatmul(backend, 16, 5)).toBeGreaterThan(0);
  expect(backend.memory().localBytes).toBe(before);
  await backend.close();
});
