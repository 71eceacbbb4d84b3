/**
 * @file The page that trains in a tab, as any static host serves it: without a header, and with a
 * reload in the middle.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadHuggingFace } from '../../src/checkpoints/hugging-face.js';
import { clean, launch, longestTask, open, scratch } from './studio.js';

const BUILT = fileURLToPath(new URL('../../dist/studio/here', import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Compressed bytes of all that a first visit fetches; the goal of the issue. */
const SIZE_BUDGET = 1_000_000;
/** Of processor time, a task of the page's own; the goal of the issue. */
const TASK_BUDGET_MS = 50;
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
  '.css': 'text/css',
};

/** Seconds of work, with a reward that stands in the recipe. */
const RECIPE = {
  name: 'tiny',
  model: {
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  },
  task: {
    name: 'scored',
    task: { name: 'sums', maximum: 9 },
    reward: '({ correct, answer }) => (correct ? 1 : answer === null ? 0 : 0.1)',
  },
  checkpoints: { every: 20, keep: 2 },
  stages: [
    { id: 'sft', kind: 'sft', steps: 500, batch: 16, schedule: { kind: 'constant' } },
    {
      id: 'grpo',
      kind: 'grpo',
      steps: 15,
      prompts: 4,
      samples: 4,
      maxTokens: 24,
      schedule: { kind: 'constant' },
    },
    { id: 'after', kind: 'eval', problems: 20, samples: 1, maxTokens: 24 },
  ],
};
const STEPS = 516;

let browser: Browser;
let server: Server;
let url: string;
let recipe: string;

beforeAll(async () => {
  recipe = join(scratch, 'tiny-in-a-tab.json');
  writeFileSync(recipe, JSON.stringify(RECIPE));
  server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname;
    const file = join(BUILT, path.endsWith('/') ? `${path}index.html` : path);
    if (!existsSync(file)) return response.writeHead(404).end();
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
    return response.end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  clean();
});

/** The first visit: until the service worker has taken over and the page is isolated. */
async function visit(page: Page): Promise<void> {
  await page.goto(url);
  await page.waitForFunction(() => crossOriginIsolated);
  await page.getByRole('button', { name: 'Train' }).waitFor();
}

async function begin(page: Page): Promise<void> {
  await page.getByText('Or a recipe of your own').click();
  await page.getByLabel('Recipe, JSON').setInputFiles(recipe);
  await page.locator('.status', { hasText: 'Running' }).waitFor();
}

const completed = (page: Page) =>
  page.locator('.status', { hasText: 'Completed' }).waitFor({ timeout: 120_000 });
const shownStep = async (page: Page): Promise<number> =>
  Number((await page.locator('.stat dd').first().innerText()).replaceAll(',', ''));

interface Line {
  type: string;
  step: number;
  attempt: number;
  values?: { loss?: number; reward?: number };
}

/** The log of the run as it is on the disk: in the newest slot. */
async function savedLog(page: Page): Promise<Line[]> {
  const text = await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('reckoner');
    let newest = { sequence: -1, text: '' };
    for (const name of ['slot-0', 'slot-1']) {
      const bytes = new Uint8Array(
        await (await (await folder.getFileHandle(name)).getFile()).arrayBuffer(),
      );
      const end = bytes.indexOf(10);
      const { sequence, files } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as {
        sequence: number;
        files: { path: string; bytes: number }[];
      };
      let at = end + 1;
      for (const file of files) {
        if (file.path.endsWith('/events.jsonl') && sequence > newest.sequence)
          newest = {
            sequence,
            text: new TextDecoder().decode(bytes.subarray(at, at + file.bytes)),
          };
        at += file.bytes;
      }
    }
    return newest.text;
  });
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

/** Loss and reward of each step, of the last attempt that took it. */
function curve(lines: readonly Line[]): Map<number, { loss?: number; reward?: number }> {
  const out = new Map<number, { loss?: number; reward?: number }>();
  for (const { type, step, values } of lines)
    if (type === 'metrics') out.set(step, { loss: values?.loss, reward: values?.reward });
  return out;
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate(
    'axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })',
  )) as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] };
  return found.violations.map(
    ({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 160)} ${nodes[0].failureSummary}`,
  );
}

const widest = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth);

describe('a run in a tab', () => {
  it('reaches, reloaded midway, the loss of a run that was not interrupted; works offline, is talked to, is downloaded', async () => {
    const whole = await open(browser);
    await visit(whole.page);
    await begin(whole.page);
    await completed(whole.page);
    const expected = curve(await savedLog(whole.page));
    expect(expected.size).toBe(STEPS);
    expect(whole.faults).toEqual([]);
    await whole.close();

    const { page, faults, close } = await open(browser);
    await visit(page);
    await begin(page);
    await page.getByText(/up to step \d/).waitFor();
    let midway = 0;
    const longest = await longestTask(browser, url, async () => {
      await page.reload();
      const goOn = page.getByRole('button', { name: 'Go on' });
      await goOn.waitFor();
      midway = await shownStep(page);
      await goOn.click();
      for (const view of ['Rollouts', 'Bill', 'Chat', 'Curves']) {
        await page.getByRole('button', { name: view, exact: true }).click();
        await page.waitForTimeout(200);
      }
      await completed(page);
    });
    expect(midway).toBeGreaterThan(0);
    expect(midway).toBeLessThan(STEPS);
    expect(await shownStep(page)).toBe(STEPS);
    const lines = await savedLog(page);
    expect(lines.filter(({ type }) => type === 'resumed')).toHaveLength(1);
    expect(lines.at(-1)).toMatchObject({ type: 'ended', reason: 'completed', attempt: 1 });
    expect(curve(lines)).toEqual(expected);
    const { processor, clock } = longest;
    console.log(
      `longest task of the page, reloaded and training: ${processor.toFixed(0)} ms of processor time, ${clock.toFixed(0)} by the clock`,
    );
    expect(processor).toBeLessThan(TASK_BUDGET_MS);

    // The newest copy is torn: the one before is taken.
    await page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('reckoner');
      const files = await Promise.all(
        ['slot-0', 'slot-1'].map(async (name) => (await folder.getFileHandle(name)).getFile()),
      );
      const sequenceOf = async (file: File): Promise<number> =>
        Number(/"sequence":(\d+)/.exec(await file.slice(0, 60).text())?.[1]);
      const [a, b] = await Promise.all(files.map(sequenceOf));
      const writable = await (
        await folder.getFileHandle(a > b ? 'slot-0' : 'slot-1')
      ).createWritable({ keepExistingData: true });
      await writable.write({
        type: 'write',
        position: (a > b ? files[0] : files[1]).size - 5,
        data: 'torn!',
      });
      await writable.close();
    });
    await page.context().setOffline(true);
    await page.reload();
    await page.getByText('does not have the SHA-256 that it says').waitFor();
    await page.getByRole('button', { name: 'Chat' }).click();
    await page.locator('.chip').click();
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.locator('.reply-foot').waitFor();
    await expect.poll(() => page.locator('.reply-foot').innerText()).toMatch(/\d+ tokens/);

    const [zip] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Model' }).click(),
    ]);
    const files = unzipSync(new Uint8Array(readFileSync(await zip.path())));
    const folder = join(scratch, 'downloaded');
    for (const [path, bytes] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), bytes);
    }
    const loaded = loadHuggingFace(join(folder, Object.keys(files)[0].split('/')[0]));
    expect(loaded.config).toMatchObject({ model_type: 'llama', hidden_size: 32 });
    expect(loaded.tensors.names.length).toBeGreaterThan(5);
    loaded.tensors.close();
    expect(faults).toEqual([]);
    await close();
  });
});

it('trains on WebGPU, on a software adapter, and agrees with WebAssembly', async () => {
  const gpu = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      '--enable-features=Vulkan',
      '--use-angle=swiftshader',
    ],
  });
  try {
    const { page, close } = await open(gpu);
    await visit(page);
    const stages = [{ id: 'sft', kind: 'sft', steps: 3, batch: 2, schedule: { kind: 'constant' } }];
    const short = join(scratch, 'short.json');
    writeFileSync(short, JSON.stringify({ ...RECIPE, stages }));
    const losses: (number | undefined)[][] = [];
    for (const backend of ['wasm', 'webgpu']) {
      await page.getByLabel('Compute on').selectOption(backend);
      await page.getByText('Or a recipe of your own').click();
      await page.getByLabel('Recipe, JSON').setInputFiles(short);
      await completed(page);
      await expect.poll(() => page.locator('.sub').innerText()).toContain(backend);
      losses.push([...curve(await savedLog(page)).values()].map(({ loss }) => loss));
      await page.getByRole('button', { name: 'Another run' }).click();
      await page.getByRole('button', { name: 'Delete it' }).click();
    }
    expect(losses[0]).toHaveLength(3);
    for (const [i, loss] of losses[1].entries())
      expect(loss).toBeCloseTo(losses[0][i] as number, 3);
    await close();
  } finally {
    await gpu.close();
  }
});

it('tries a reward that is typed into it before it trains', async () => {
  const { page, faults, close } = await open(browser);
  await visit(page);
  await page.getByLabel('A reward of my own').check();
  for (const [reward, said] of [
    ['({ correct }) => {', 'SyntaxError'],
    ['() => { while (true) {} }', 'ran too long'],
    ['({ answer }) => answer', 'not a number'],
  ]) {
    await page.locator('textarea.code').fill(reward);
    await page.getByRole('button', { name: 'Train', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: said }).waitFor();
    expect(await page.getByRole('button', { name: 'Train', exact: true }).isVisible()).toBe(true);
  }
  await page.locator('textarea.code').fill('({ correct }) => correct');
  await page.getByRole('button', { name: 'Train', exact: true }).click();
  await page.locator('.status', { hasText: 'Running' }).waitFor();
  // Once the machine has been timed, stages say how long they will take.
  await page
    .getByText(/^about \d/)
    .first()
    .waitFor();
  expect(faults).toEqual([]);
  await close();
});

it('is small: all that a first visit fetches, kernels included, compressed', () => {
  const sizes = (readdirSync(BUILT, { recursive: true }) as string[])
    .map((name) => join(BUILT, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => gzipSync(readFileSync(path)).length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  console.log(`the page, compressed: ${(total / 1000).toFixed(0)} kB in ${sizes.length} files`);
  expect(total).toBeGreaterThan(100_000);
  expect(total).toBeLessThan(SIZE_BUDGET);
});

it.each(['light', 'dark'] as const)(
  'fits a phone of 360 pixels, and axe finds nothing, %s',
  async (colorScheme) => {
    const { page, faults, close } = await open(browser, {
      colorScheme,
      reducedMotion: 'reduce',
      viewport: { width: 360, height: 740 },
    });
    await visit(page);
    await page.getByLabel('A reward of my own').check();
    expect(await violations(page)).toEqual([]);
    expect(await widest(page)).toBe(360);
    await begin(page);
    for (const view of ['Curves', 'Rollouts', 'Evaluations', 'Bill', 'Chat']) {
      await page.getByRole('button', { name: view, exact: true }).click();
      if (view === 'Rollouts') await completed(page);
      await page.waitForTimeout(150);
      expect(await violations(page), view).toEqual([]);
      expect(await widest(page), view).toBe(360);
    }
    expect(faults).toEqual([]);
    await close();
  },
);
