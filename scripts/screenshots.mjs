// Takes the pictures of docs/images/studio: every page, in light and dark, on real runs (build
// first).
//
//   node scripts/screenshots.mjs [runs folder, default: one made here in a few minutes] [folder of the pictures]
//
// CHROMIUM names the browser; default /usr/bin/chromium. Pictures are reduced to 256 colours
// (png.mjs).
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { encodeIndexed } from './png.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const command = join(root, 'dist/cli/main.js');
const out = process.argv[3] ?? join(root, 'docs/images/studio');
const only = process.env.ONLY?.split(',');
let runs = process.argv[2];
if (runs === undefined) {
  runs = mkdtempSync(join(tmpdir(), 'reckoner-screenshots-'));
  for (const seed of ['1', '2'])
    spawnSync(process.execPath, [command, 'train', 'r1-mini', '--seed', seed, '--runs', runs], {
      stdio: 'inherit',
    });
}
if (!existsSync(runs)) throw new Error(`${runs} does not exist`);
const names = readdirSync(runs).sort();
const mini = names.filter((name) => name.includes('r1-mini')).at(0) ?? names[0];
const other =
  names.find((name) => name !== mini && name.includes('r1-mini')) ??
  names.find((name) => name !== mini);

const server = spawn(
  process.execPath,
  [command, 'studio', '--port', '0', '--runs', runs, '--json'],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
const { url } = JSON.parse(
  await new Promise((resolve) => server.stdout.once('data', (text) => resolve(String(text)))),
);
const at = (path) => new URL(path, url).href;

const pages = [
  { name: 'runs', path: '/runs', ready: '.run-row' },
  {
    name: 'run',
    path: `/runs/${mini}?stage=grpo${other ? `&with=${other}` : ''}`,
    ready: '.chart canvas',
  },
  { name: 'rollouts', path: `/runs/${mini}/rollouts`, ready: '.rollouts li' },
  { name: 'run-bill', path: `/runs/${mini}/bill`, ready: '.waterfall' },
  { name: 'chat', path: `/chat?run=${mini}`, ready: '.ask', act: chat },
  { name: 'plan', path: '/plan', ready: '.plan-stats' },
  { name: 'claim', path: '/bill', ready: '.waterfall', act: open },
  { name: 'benchmarks', path: '/benchmarks', ready: '.scatter' },
  { name: 'here', path: '/train-here/', ready: '.train-form', act: trainHere },
];

async function chat(page) {
  await page.locator('.chip').waitFor();
  const steps = await page.locator('.toolbar select').first().locator('option').count();
  await page.getByRole('button', { name: 'Compare' }).click();
  await page
    .locator('.toolbar select')
    .nth(1)
    .selectOption({ index: Math.min(3, steps - 2) });
  await page.locator('#prompt').fill('5-1+2+4=');
  await page.getByRole('button', { name: 'Ask' }).click();
  await page.locator('.reply-foot').nth(1).waitFor();
  await page.locator('.reply-text').first().focus();
  for (let i = 0; i < 9; i++) await page.keyboard.press('ArrowRight');
}

/** Trains in the page for a minute or two; curves by day, the model itself by night. */
async function trainHere(page, theme) {
  await page.getByRole('button', { name: 'Train' }).click();
  await page.locator('.status', { hasText: 'Completed' }).waitFor({ timeout: 600_000 });
  if (theme === 'light') return;
  await page.getByRole('button', { name: 'Chat' }).click();
  await page.locator('.chip').click();
  await page.getByRole('button', { name: 'Ask' }).click();
  await page.locator('.reply-foot').waitFor();
}

async function open(page) {
  await page.locator('.fall.more > summary').nth(2).click();
}

mkdirSync(out, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  for (const theme of ['light', 'dark']) {
    for (const phone of [false, true]) {
      const viewport = phone ? { width: 390, height: 844 } : { width: 1280, height: 860 };
      const context = await browser.newContext({
        viewport,
        colorScheme: theme,
        deviceScaleFactor: 1.5,
      });
      const page = await context.newPage();
      for (const { name, path, ready, act } of pages) {
        if (phone && (theme === 'dark' || !['run', 'plan', 'claim'].includes(name))) continue;
        if (only !== undefined && !only.includes(name)) continue;
        await page.goto(at(path));
        await page.locator(ready).first().waitFor({ timeout: 30_000 });
        if (act !== undefined) await act(page, theme);
        await page.waitForTimeout(500);
        const file = join(out, `${name}${phone ? '-phone' : ''}-${theme}.png`);
        writeFileSync(file, await encodeIndexed(await page.screenshot()));
        console.log(file);
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
  server.kill('SIGINT');
}
