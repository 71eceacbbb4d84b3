// The web application, built into dist/studio/web. A second page becomes a second entry of `input`.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * Beside each script and style its compressed form, so that a first visit waits for no compression.
 */
const packed = {
  name: 'packed',
  writeBundle({ dir }, bundle) {
    for (const name of Object.keys(bundle).filter((file) => /\.(js|css)$/.test(file)))
      writeFileSync(`${dir}/${name}.br`, brotliCompressSync(readFileSync(`${dir}/${name}`)));
  },
};

export default {
  root: here,
  configFile: false,
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  plugins: [packed],
  build: {
    outDir: fileURLToPath(new URL('../../../dist/studio/web/', import.meta.url)),
    emptyOutDir: true,
    // For the document that names a page's files at once (web-page.ts).
    manifest: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // How long plugins take is no news.
    rollupOptions: { input: { index: `${here}index.html` }, checks: { pluginTimings: false } },
  },
};
