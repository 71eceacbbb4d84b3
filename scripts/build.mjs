// Builds dist/: TypeScript to JavaScript with tsc, and the WASM kernels with AssemblyScript, twice
// (with and without relaxed SIMD), and the web application with Vite. `--wasm` builds the kernels
// alone; `--if-changed` does nothing where dist/ was built from what is there. Compilers run side
// by side, and each kernel file appears whole.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

/** What the last whole build was made from. */
const STAMP = 'dist/.built-from';

/** A hash of all that a build reads. */
function sources() {
  const files = [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'scripts/build.mjs',
  ];
  for (const entry of readdirSync('src', { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && !entry.name.endsWith('.test.ts'))
      files.push(`${entry.parentPath}/${entry.name}`);
  }
  const hash = createHash('sha256');
  for (const file of files.sort())
    hash.update(file).update('\0').update(readFileSync(file)).update('\0');
  return hash.digest('hex');
}

const builtFrom = sources();
if (
  process.argv.includes('--if-changed') &&
  existsSync(STAMP) &&
  readFileSync(STAMP, 'utf8') === builtFrom
)
  process.exit(0);
rmSync(STAMP, { force: true });

const run = (script, ...args) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' });
    child.on('error', reject);
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${script} failed (${code})`)),
    );
  });

const assembly = 'src/tensor/backends/wasm/assembly';
const wasmOut = 'dist/tensor/backends/wasm';

/** Types of what the kernels export, written by every build; see `writeKernelTypes`. */
const kernelTypes = 'src/tensor/backends/wasm/kernels.ts';

async function buildKernels(name, features) {
  const partial = `${wasmOut}/${name}.${process.pid}.partial.wasm`;
  await run(
    'node_modules/assemblyscript/bin/asc.js',
    `${assembly}/index.ts`,
    ...['--outFile', partial],
    ...['--enable', 'simd', '--enable', 'threads', ...features],
    // Ranks share one memory, which the caller makes (memory.ts); 65536 pages are the 4 GiB that
    // WASM can address.
    ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
    // The stub runtime keeps no state in memory, so instances on several threads do not disturb
    // each other.
    ...['--runtime', 'stub', '--noAssert', '-O3', '--bindings', 'raw'],
  );
  const bindings = partial.replace(/wasm$/, '');
  if (name === 'kernels') writeKernelTypes(readFileSync(`${bindings}d.ts`, 'utf8'));
  for (const extension of ['d.ts', 'js']) rmSync(`${bindings}${extension}`);
  renameSync(partial, `${wasmOut}/${name}.wasm`);
}

/** The compiler's declarations as an interface: functions of numbers, formatted as Biome would. */
function writeKernelTypes(declarations) {
  const methods = [...declarations.matchAll(/export function (\w+)\(([^)]*)\): (\w+);/g)]
    .map(([, name, parameters, result]) => ({ name, parameters: parameters.split(', '), result }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, parameters, result }) => {
      const line = `  ${name}(${parameters.join(', ')}): ${result};`;
      const lines = parameters.map((parameter) => `    ${parameter},\n`).join('');
      return line.length <= 100 ? line : `  ${name}(\n${lines}  ): ${result};`;
    });
  const text = `/**
 * @file The types of the kernels' exports. Written by scripts/build.mjs from assembly/*.ts: do not
 * edit. Addresses are bytes, strides and sizes are elements.
 */
export interface KernelExports {
${methods.join('\n')}
}
`;
  if (!existsSync(kernelTypes) || readFileSync(kernelTypes, 'utf8') !== text)
    writeFileSync(kernelTypes, text);
}

mkdirSync(wasmOut, { recursive: true });
const kernels = [
  buildKernels('kernels', ['--use', 'RELAXED=0']),
  buildKernels('kernels-relaxed', ['--enable', 'relaxed-simd', '--use', 'RELAXED=1']),
];
const jobs = [...kernels];
const vite = (config) =>
  run('node_modules/vite/bin/vite.js', 'build', '--config', config, '--logLevel', 'warn');
if (!process.argv.includes('--wasm')) {
  jobs.push(run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'));
  jobs.push(vite('src/studio/web/vite.config.mjs'));
  // The page that trains in a tab has the kernels beside it.
  jobs.push(Promise.all(kernels).then(() => vite('src/studio/web/here/vite.config.mjs')));
}
try {
  await Promise.all(jobs);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
if (!process.argv.includes('--wasm')) {
  if (existsSync('dist/cli/main.js')) chmodSync('dist/cli/main.js', 0o755);
  if (existsSync('src/catalog/data'))
    cpSync('src/catalog/data', 'dist/catalog/data', { recursive: true });
  writeFileSync(STAMP, builtFrom);
}
