/**
 * @file What the browser tests share: runs made by the real command, the real server in a process
 * of its own, and a browser.
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

const DENSE = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 64,
};

/** A mixture of experts in its second and third layer. */
export const EXPERTS = {
  ...DENSE,
  model_type: 'deepseek_v3',
  moe_intermediate_size: 16,
  num_hidden_layers: 3,
  first_k_dense_replace: 1,
  n_routed_experts: 4,
  num_experts_per_tok: 2,
  n_shared_experts: 1,
  num_key_value_heads: 2,
  q_lora_rank: 16,
  kv_lora_rank: 16,
  qk_nope_head_dim: 8,
  qk_rope_head_dim: 8,
  v_head_dim: 8,
};

/** Every kind of stage, in seconds; `steps` of GRPO make it longer. */
export function recipe(name: string, steps: number, model: object = DENSE): string {
  const file = join(scratch, `${name}.json`);
  const stages = [
    { id: 'sft', kind: 'sft', steps: 120, batch: 16, schedule: { kind: 'constant' } },
    { id: 'before', kind: 'eval', problems: 40, maxTokens: 24 },
    {
      id: 'grpo',
      kind: 'grpo',
      steps,
      prompts: 4,
      samples: 4,
      maxTokens: 24,
      schedule: { kind: 'constant' },
    },
    { id: 'after', kind: 'eval', problems: 40, maxTokens: 24 },
  ];
  writeFileSync(
    file,
    JSON.stringify({
      name,
      model,
      task: { name: 'sums', maximum: 9 },
      checkpoints: { every: 60 },
      stages,
    }),
  );
  return file;
}

/** Trains to the end. @returns the run's name */
export function train(file: string, ...flags: string[]): string {
  const before = new Set(existsSync(runs) ? readdirSync(runs) : []);
  const { status, stderr } = spawnSync(
    process.execPath,
    [COMMAND, 'train', file, '--runs', runs, '--workers', '1', ...flags],
    {
      env: ENVIRONMENT,
      encoding: 'utf8',
    },
  );
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
  const server = spawn(
    process.execPath,
    [COMMAND, 'studio', '--port', '0', '--runs', folder, '--json'],
    {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
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
  // What comes is waited for; how long it takes depends on what else the machine does.
  page.setDefaultTimeout(120_000);
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
      for (const entry of list.getEntries() as (PerformanceEntry & {
        value: number;
        hadRecentInput: boolean;
      })[])
        if (!entry.hadRecentInput) seen.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.longest = Math.max(seen.longest, entry.duration);
    }).observe({ type: 'longtask', buffered: true });
  });
  return { page, faults, close: () => context.close() };
}

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  tdur?: number;
  args: { name?: string; data?: { url?: string } };
}

/** The longest of some tasks, milliseconds. */
export interface LongestTask {
  /** Of processor time: the same whatever else the machine does. */
  processor: number;
  /** By the clock, as `longtask` has it: what a person feels, other programs' share included. */
  clock: number;
}

/**
 * The longest of a page's own tasks.
 * @param url where the page's scripts come from
 */
export async function longestTask(
  browser: Browser,
  url: string,
  act: () => Promise<void>,
): Promise<LongestTask> {
  const session = await browser.newBrowserCDPSession();
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) =>
    events.push(...(value as unknown as TraceEvent[])),
  );
  const categories = 'devtools.timeline,disabled-by-default-devtools.timeline';
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: categories.split(',') },
  });
  await act();
  const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
  await session.send('Tracing.end');
  await complete;
  await session.detach();
  const place = ({ pid, tid }: TraceEvent): string => `${pid} ${tid}`;
  const main = new Set(
    events
      .filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
      .map(place),
  );
  const own = new Set(
    events
      .filter((event) => main.has(place(event)) && event.args.data?.url?.startsWith(url))
      .map(place),
  );
  const tasks = events.filter(
    (event) => event.ph === 'X' && event.name === 'RunTask' && own.has(place(event)),
  );
  if (tasks.length < 10) throw new Error('the trace has no tasks of the page');
  const longest = (field: 'dur' | 'tdur'): number =>
    Math.max(...tasks.map((task) => task[field] ?? 0)) / 1000;
  return { processor: longest('tdur'), clock: longest('dur') };
}

export const clean = (): void => rmSync(scratch, { recursive: true, force: true });
