// Reckoner beside jax-js and TensorFlow.js, on WebAssembly and on WebGPU, in Node and in Chromium:
// matrix products, a training step of a small decoder, rollouts. Build first; the peers come from
// bench/package.json (`npm install --prefix bench`), WebGPU in Node from `webgpu` there.
//
//   node bench/webgpu.mjs [--work r1-mini|tiny] [--sizes 128,256,512] [--seconds 0.3] [--rounds 3] [--only node|chromium] [--software] [--json]
//
// All sides of one host share a process and take turns; a figure is the median over rounds.
// `--software` uses SwiftShader, the processor that plays a GPU and comes with Debian's chromium:
// its figures say how programs compare on it, and nothing about GPUs.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, root, table } from './harness.mjs';

const text = (value) => ({ type: 'string', default: value });
const flag = { type: 'boolean', default: false };
const { values: flags } = parseArgs({
  options: {
    work: text('r1-mini'),
    sizes: text('128,256,512'),
    seconds: text('0.3'),
    rounds: text('3'),
    only: text(''),
    software: flag,
    json: flag,
    child: flag,
  },
});
demandBuild();
const options = {
  work: flags.work,
  sizes: flags.sizes.split(',').map(Number),
  seconds: Number(flags.seconds),
  rounds: Number(flags.rounds),
};
const CHROMIUM_LIBRARIES = '/usr/lib/chromium';
const ICD = `${CHROMIUM_LIBRARIES}/vk_swiftshader_icd.json`;

if (flags.child) await child();
else await main();

/** Node's side, in a process of its own: a driver is chosen when a process starts. */
async function child() {
  const { measure, reckoner, tensorflow, jaxjs } = await import('./peers/web-sides.mjs');
  const modules = await import('./peers/web-reckoner.mjs');
  const makers = [() => reckoner('wasm', modules)];
  try {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    Object.defineProperty(globalThis, 'navigator', {
      value: { gpu: create([]), userAgent: 'node', hardwareConcurrency: 1 },
      configurable: true,
    });
    makers.push(() => reckoner('webgpu', modules));
  } catch (error) {
    console.error(`no WebGPU in Node: ${error.message.split('\n')[0]}`);
  }
  const require = createRequire(import.meta.url);
  const tf = require('@tensorflow/tfjs');
  for (const backend of ['wasm', 'webgpu']) require(`@tensorflow/tfjs-backend-${backend}`);
  const jax = await import('@jax-js/jax');
  makers.push(
    () => tensorflow('wasm', { tf }),
    () => tensorflow('webgpu', { tf }),
    () => jaxjs('wasm', { jax }),
    () => jaxjs('webgpu', { jax }),
  );
  const results = await measure(makers, { ...options, say: (message) => console.error(message) });
  process.stdout.write(`${JSON.stringify(results)}\n`);
  process.exit(0);
}

function inNode() {
  const software = flags.software
    ? {
        VK_ICD_FILENAMES: ICD,
        VK_DRIVER_FILES: ICD,
        LD_LIBRARY_PATH: [CHROMIUM_LIBRARIES, process.env.LD_LIBRARY_PATH]
          .filter(Boolean)
          .join(':'),
      }
    : {};
  const started = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), '--child', ...process.argv.slice(2)],
    {
      env: { ...process.env, ...software },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return new Promise((resolve, reject) => {
    let said = '';
    started.stdout.on('data', (part) => {
      said += part;
    });
    started.once('exit', (code) =>
      code === 0
        ? resolve(JSON.parse(said.trim().split('\n').at(-1)))
        : reject(new Error(`Node's side ended with ${code}`)),
    );
  });
}

async function inChromium() {
  const { build } = await import('vite');
  const { chromium } = await import('playwright-core');
  // What our interpreter takes from Node, a page brings itself.
  const { default: page } = await import('../src/studio/web/here/vite.config.mjs');
  const built = await build({
    configFile: false,
    logLevel: 'error',
    resolve: page.resolve,
    build: {
      write: false,
      minify: false,
      target: 'es2022',
      rollupOptions: { ...page.build.rollupOptions, input: `${root}bench/peers/web-page.mjs` },
    },
  });
  const outputs = [built].flat().flatMap((bundle) => bundle.output ?? []);
  const files = new Map(outputs.map((file) => [`/${file.fileName}`, file.code ?? file.source]));
  const entry = outputs.find(({ isEntry }) => isEntry).fileName;
  const tensorflow = `${root}bench/node_modules/@tensorflow/tfjs-backend-wasm/dist/`;
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://host').pathname;
    const types = { js: 'text/javascript', wasm: 'application/wasm' };
    response.setHeader('content-type', types[path.split('.').at(-1)] ?? 'text/html');
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    if (path === '/')
      return response.end(
        `<!doctype html><title>bench</title><script type="module" src="/${entry}"></script>`,
      );
    if (path.startsWith('/kernels'))
      return response.end(readFileSync(`${root}dist/tensor/backends/wasm${path}`));
    if (path.startsWith('/tfjs-backend-wasm'))
      return response.end(readFileSync(`${tensorflow}${path.slice(1)}`));
    return response.end(files.get(path) ?? '');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const software = [
    '--enable-unsafe-webgpu',
    '--use-webgpu-adapter=swiftshader',
    '--enable-features=Vulkan',
    '--use-angle=swiftshader',
  ];
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', ...(flags.software ? software : ['--enable-unsafe-webgpu'])],
  });
  try {
    const tab = await browser.newPage();
    tab.on('console', (message) => console.error(message.text()));
    tab.on('pageerror', (error) => console.error(error.message));
    tab.setDefaultTimeout(600_000);
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    await tab.waitForFunction('globalThis.measureAll !== undefined');
    return await tab.evaluate(`measureAll(${JSON.stringify(options)})`);
  } finally {
    await browser.close();
    server.close();
  }
}

async function main() {
  if (!existsSync(`${root}bench/node_modules/@jax-js/jax`)) {
    console.error('the peers are missing; run `npm install --prefix bench` first');
    process.exit(1);
  }
  const command = `node bench/webgpu.mjs ${process.argv.slice(2).join(' ')}`.trim();
  const about = machine(command);
  const hosts = {};
  if (flags.only !== 'chromium') hosts.Node = await inNode();
  if (flags.only !== 'node') hosts.Chromium = await inChromium();
  if (flags.json) {
    console.log(
      JSON.stringify(
        { schemaVersion: 1, machine: about, software: flags.software, hosts },
        null,
        2,
      ),
    );
    return;
  }
  console.log(
    `## WebAssembly and WebGPU\n\n${describe(about)}${flags.software ? '; WebGPU on SwiftShader, a processor that plays a GPU' : ''}\n`,
  );
  const number = (value) =>
    value === undefined
      ? null
      : value >= 100
        ? Math.round(value).toLocaleString('en-US')
        : value.toPrecision(2);
  const rows = Object.entries(hosts).flatMap(([host, sides]) =>
    Object.entries(sides).map(([name, found]) => [
      `${host}: ${name}`,
      ...options.sizes.map((side) => number(found[`matmul ${side}`])),
      number(found.train),
      number(found.rollout),
    ]),
  );
  console.log(
    table(
      [
        '',
        ...options.sizes.map((side) => `${side}³, GFLOP/s`),
        'training, tokens/s',
        'rollouts, tokens/s',
      ],
      rows,
    ),
  );
}
