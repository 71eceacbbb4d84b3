/**
 * @file What the browser tests share: runs made by the real command, the real server in a process of its own, and a browser.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMMAND = join(ROOT, 'dist/cli/main.js');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ENVIRONMENT = { ...process.env, RECKONER_CALIBRATION: 'off', NO_COLOR: '1' };

export const scratch = mkdtempSync(join(tmpdir(), 'reckoner-browser-'));
export const runs = join(scratch, 'runs');

/** Every kind of stage, in seconds; `steps` of GRPO make it longer. */
export function recipe(name: string, steps: number): string {
  const file = join(scratch, `${name}.json`);
  const model = {
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  };
  const stages = [
    { id: 'sft', kind: 'sft', steps: 120, batch: 16, schedule: { kind: 'constant' } },
    { id: 'before', kind: 'eval', problems: 40, maxTokens: 24 },
    { id: 'grpo', kind: 'grpo', steps, prompts: 4, samples: 4, maxTokens: 24, schedule: { kind: 'constant' } },
    { id: 'after', kind: 'eval', problems: 40, maxTokens: 24 },
  ];
  writeFileSync(file, JSON.stringify({ name, model, task: { name: 'sums', maximum: 9 }, checkpoints: { every: 60 }, stages }));
  return file;
}

/** Trains to the end. @returns the run's name */
export function train(file: string, ...flags: string[]): string {
  const before = new Set(existsSync(runs) ? readdirSync(runs) : []);
  const { status, stderr } = spawnSync(process.execPath, [COMMAND, 'train', file, '--runs', runs, '--workers', '1', ...flags], {
    env: ENVIRONMENT,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`train failed: ${stderr}`);
  return readdirSync(runs).find((name) => !before.has(name)) as string;
}

/** Trains in the background. */
export function trainOn(file: string): ChildProcess {
  return spawn(process.execPath, [COMMAND, 'train', file, '--runs', runs, '--workers', '1'], {
    env: ENVIRONMENT,
    stdio: 'ignore',
  });
}

export interface Server {
  url: string;
  stop(): void;
}

export async function serve(folder: string): Promise<Server> {
  const server = spawn(process.execPath, [COMMAND, 'studio', '--port', '0', '--runs', folder, '--json'], {
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = await new Promise<string>((resolve, reject) => {
    server.stdout.once('data', (text) => resolve(String(text)));
    server.once('exit', (code) => reject(new Error(`the studio ended with code ${code}`)));
  });
  return { url: JSON.parse(said).url, stop: () => void server.kill('SIGINT') };
}

export function launch(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `${CHROMIUM} is not there; install Chromium (Debian: apt-get install chromium), or name a browser with CHROMIUM=/path`,
    );
  }
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}

/** A page that collects what must not happen: errors, and violations of the policy. */
export async function open(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; faults: string[]; close(): Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  // Numbers that Chromium reports as they happen.
  await page.addInitScript(() => {
    const seen = { shift: 0, longest: 0 };
    Object.assign(window, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[])
        if (!entry.hadRecentInput) seen.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.longest = Math.max(seen.longest, entry.duration);
    }).observe({ type: 'longtask', buffered: true });
  });
  return { page, faults, close: () => context.close() };
}

export const clean = (): void => rmSync(scratch, { recursive: true, force: true });
