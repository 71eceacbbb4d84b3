/**
 * @file The WebGPU backend in Chromium, on SwiftShader: every operation against the reference, as
 * in Node.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { build } from 'vite';
import { expect, it } from 'vitest';

const FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--use-angle=swiftshader',
];
/** A software adapter takes a second to compile a kernel. */
const PROBLEMS = 4;

it('agrees with the reference on every operation, in tiles and without barriers', {
  timeout: 900_000,
}, async () => {
  const entry = fileURLToPath(new URL('webgpu-page.ts', import.meta.url));
  const result = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      target: 'es2022',
      rollupOptions: { input: entry, external: [/^node:/] },
    },
  });
  const outputs = [result].flat().flatMap((bundle) => ('output' in bundle ? bundle.output : []));
  // The other chunk is Node's package, which a browser never asks for.
  const code = outputs
    .map((chunk) => ('code' in chunk && chunk.isEntry ? chunk.code : ''))
    .join('');
  // WebGPU wants a secure context: a page of this machine is one.
  const server = createServer((request, response) => {
    const script = request.url === '/page.js';
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(
      script
        ? code
        : '<!doctype html><title>WebGPU</title><script type="module" src="/page.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('globalThis.parity !== undefined', undefined, { timeout: 120_000 });
    const found = (await page.evaluate(`parity(${PROBLEMS})`)) as {
      adapter: string;
      operations: number;
      wrong: string[];
    };
    expect(errors).toEqual([]);
    expect(found.wrong).toEqual([]);
    expect(found.adapter).toMatch(/swiftshader/i);
    expect(found.operations).toBeGreaterThan(50);
  } finally {
    await browser.close();
    server.close();
  }
});
