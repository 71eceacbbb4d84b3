// Builds dist/: TypeScript to JavaScript with tsc, and the WASM kernels with AssemblyScript, twice (with and without
// relaxed SIMD). `--wasm` builds the kernels alone.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const run = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: 'inherit' });

const assembly = 'src/tensor/backends/wasm/assembly';
const wasmOut = 'dist/tensor/backends/wasm';
mkdirSync(wasmOut, { recursive: true });
if (existsSync(`${assembly}/index.ts`)) {
  for (const [name, features] of [
    ['kernels', ['--use', 'RELAXED=0']],
    ['kernels-relaxed', ['--enable', 'relaxed-simd', '--use', 'RELAXED=1']],
  ]) {
    run(
      'node_modules/assemblyscript/bin/asc.js',
      `${assembly}/index.ts`,
      '--outFile',
      `${wasmOut}/${name}.wasm`,
      '--enable',
      'simd',
      '--enable',
      'threads',
      ...features,
      '--importMemory',
      '--sharedMemory',
      '--initialMemory',
      '1',
      '--maximumMemory',
      '65536',
      '--runtime',
      'stub',
      '--noAssert',
      '-O3',
    );
  }
}
if (!process.argv.includes('--wasm')) {
  run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json');
  if (existsSync('dist/cli/main.js')) chmodSync('dist/cli/main.js', 0o755);
  if (existsSync('src/catalog/data')) cpSync('src/catalog/data', 'dist/catalog/data', { recursive: true });
}
