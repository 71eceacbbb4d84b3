// The page that trains in a tab, built into dist/studio/here: static files for any host. Run after
// the kernels are built.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../../../', import.meta.url));
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

/** The kernels beside the page, and a service worker that knows every file of it. */
const staticFiles = {
  name: 'static-files',
  generateBundle(_options, bundle) {
    const files = new Map(
      Object.values(bundle).map((file) => [file.fileName, file.code ?? file.source]),
    );
    for (const name of ['kernels.wasm', 'kernels-relaxed.wasm']) {
      const source = readFileSync(`${root}dist/tensor/backends/wasm/${name}`);
      this.emitFile({ type: 'asset', fileName: name, source });
      files.set(name, source);
    }
    const hash = createHash('sha256');
    for (const name of [...files.keys()].sort()) hash.update(name).update(files.get(name));
    const worker = readFileSync(`${here}service-worker.js`, 'utf8')
      .replace(
        '__FILES__',
        JSON.stringify(['./', ...[...files.keys()].filter((name) => name !== 'index.html')].sort()),
      )
      .replace('__HASH__', hash.digest('hex').slice(0, 16));
    this.emitFile({ type: 'asset', fileName: 'service-worker.js', source: worker });
  },
};

/** What the interpreter takes from Node, a page brings itself (docs/decisions/0057). */
const alias = [
  { find: /^node:(.*)$/, replacement: `${here}node/$1.ts` },
  { find: /^(jiti|yaml|webgpu)$/, replacement: `${here}node/absent.ts` },
  { find: /^.*\/policy\/local\/thread\.js$/, replacement: `${here}thread.ts` },
];
const transform = {
  inject: {
    process: [`${here}node/process.ts`, 'default'],
    Buffer: [`${here}node/buffer.ts`, 'Buffer'],
  },
};
// How long plugins take is no news, and the kernels' loader is wanted at once here.
const checks = { pluginTimings: false, ineffectiveDynamicImport: false };

export default {
  root: here,
  base: './',
  configFile: false,
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  define: { __VERSION__: JSON.stringify(version) },
  resolve: { alias },
  worker: { format: 'es', rollupOptions: { transform, checks } },
  plugins: [staticFiles],
  build: {
    outDir: `${root}dist/studio/here/`,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: { input: { index: `${here}index.html` }, transform, checks },
  },
};
