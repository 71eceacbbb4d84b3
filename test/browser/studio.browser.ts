/**
 * @file The studio in a real browser, on real runs made here.
 */
import {
  appendFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLAIMS, evaluateClaim, readClaim } from '../../src/ledger/index.js';
import { planned, sampled } from '../../src/plan/cluster/claim-options.js';
import { readTarget } from '../../src/plan/cluster/cluster-file.js';
import { planRecipe } from '../../src/plan/cluster/plan.js';
import { planService, SERVICE_DEFAULTS, servedModel } from '../../src/plan/serving/serving-plan.js';
import { loadRecipe } from '../../src/recipe/index.js';
import { bytes, compact, duration, significant, usd } from '../../src/studio/web/format.js';
import {
  clean,
  EXPERTS,
  type LongestTask,
  launch,
  longestTask,
  open,
  recipe,
  runs,
  type Server,
  scratch,
  serve,
  train,
  trainOn,
} from './studio.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Compressed script of a first load, bytes; the goal of the issue is 400 KB. */
const SCRIPT_BUDGET = 120_000;
/** A good page has less than 0.1 (web.dev/cls). */
const SHIFT_BUDGET = 0.05;
/** What the browser calls a long task. */
const TASK_BUDGET_MS = 50;
/**
 * Loads of a page, of which the best counts: a machine that other programs share has good and bad
 * moments.
 */
const LOADS = 3;
/** Until a run of a million events shows its curves. */
const OPENING_BUDGET_SECONDS = 1;

let browser: Browser;
let server: Server;
let first: string;
let second: string;
const failed = '2026-01-01-failed-0001';
const pagesOf = (): string[] => [
  '/runs',
  `/runs/${first}?stage=grpo&with=${second}`,
  `/runs/${first}/rollouts`,
  `/runs/${first}/evaluations`,
  `/runs/${first}/bill`,
  `/runs/${failed}`,
  `/chat?run=${first}`,
  '/plan?recipe=r1-mini',
  '/serving?model=Llama 3 70B&gpu=h100&count=8',
  '/bill',
  '/bill/runs',
  '/benchmarks',
];
const at = (path: string): string => new URL(path, server.url).href;
/** Until what the page waits for has come. */
async function settle(page: Page): Promise<void> {
  await page.locator('h1').waitFor();
  await page.waitForFunction(
    () => document.querySelector('main .waiting[role=status], main .later') === null,
  );
}
/** @throws when the page's own tasks are too long each time */
async function withinBudget(what: string, act: () => Promise<void>): Promise<void> {
  const longest: LongestTask[] = [];
  do longest.push(await longestTask(browser, server.url, act));
  while ((longest.at(-1) as LongestTask).processor > TASK_BUDGET_MS && longest.length < LOADS);
  const list = (kind: keyof LongestTask): string =>
    longest.map((task) => task[kind].toFixed(0)).join(', ');
  console.log(
    `${what}: longest task ${list('processor')} ms of processor time, ${list('clock')} ms by the clock`,
  );
  expect(Math.min(...longest.map(({ processor }) => processor)), what).toBeLessThanOrEqual(
    TASK_BUDGET_MS,
  );
}
const seen = (page: Page): Promise<{ shift: number; longest: number }> =>
  page.evaluate('window.seen');

beforeAll(async () => {
  browser = await launch();
  first = train(recipe('tiny', 40));
  second = train(recipe('tiny', 40), '--seed', '2');
  // A run as a crash of the disk leaves it.
  cpSync(join(runs, first), join(runs, failed), { recursive: true });
  const events = readFileSync(join(runs, failed, 'events.jsonl'), 'utf8')
    .split('\n')
    .slice(0, 60);
  const ended = {
    type: 'ended',
    attempt: 0,
    step: 50,
    time: new Date().toISOString(),
    reason: 'failed',
    message: 'no space left on the device',
  };
  writeFileSync(
    join(runs, failed, 'events.jsonl'),
    `${events.join('\n')}\n${JSON.stringify(ended)}\n{"type":"metr`,
  );
  server = await serve(runs);
});
afterAll(async () => {
  server?.stop();
  await browser?.close();
  clean();
});

describe('claims', () => {
  it('are what a visitor without runs sees first: the figures of the library, each bar open to its source', async () => {
    const empty = join(scratch, 'none');
    mkdirSync(empty);
    const other = await serve(empty);
    const { page, faults, close } = await open(browser);
    try {
      await page.goto(other.url);
      await page.waitForURL('**/bill');
      await page.locator('.waterfall').first().waitFor();
      await settle(page);
      const claim = evaluateClaim(
        readClaim(
          CLAIMS.find(({ id }) => id === 'deepseek'),
          'deepseek',
        ),
        { planned, propagate: sampled },
      );
      const text = await page.locator('main').innerText();
      const wanted = claim.path.filter(({ detail }) => !detail).flatMap(({ figures }) => figures);
      expect(wanted.length).toBeGreaterThan(10);
      for (const id of wanted) {
        const figure = claim.figures.find((one) => one.id === id);
        expect(text, id).toContain(usd(figure?.usd ?? 0));
        expect(text, id).toContain(`${usd(figure?.low ?? 0)} to ${usd(figure?.high ?? 0)}`);
      }
      for (const said of ['$5.58M', '$1.63B', '$294K']) expect(text).toContain(said);
      // The whiskers end where their intervals do, by one scale, and have caps at both ends.
      const fall = page.locator('.waterfall').first();
      const drawn = await fall.locator('.fall-bar path').evaluateAll((paths) =>
        paths.map((path) => {
          const row = path.closest('summary')?.querySelector('.fall-value .note')?.textContent;
          return [path.getAttribute('d'), row] as const;
        }),
      );
      expect(drawn.length).toBeGreaterThan(2);
      const ends = drawn.map(([d, row]) => {
        const [, low, , high] =
          /^M([\d.]+) 15.5V19.5M([\d.]+) 17.5H([\d.]+)M[\d.]+ 15.5V19.5$/.exec(d ?? '') ?? [];
        expect(Number(high)).toBeLessThan(100);
        const figure = claim.figures.find((one) => row === `${usd(one.low)} to ${usd(one.high)}`);
        return { low: Number(low), high: Number(high), figure };
      });
      const scales = ends.flatMap(({ high, figure }) => (figure ? [figure.high / high] : []));
      expect(scales.length).toBeGreaterThan(2);
      for (const scale of scales) expect(scale / scales[0]).toBeCloseTo(1, 6);
      const step = claim.steps.find(({ to }) => to === 'programme-rented');
      const row = page.locator('details.fall', { hasText: step?.what ?? '' }).first();
      await row.locator('summary').click();
      const opened = await row.innerText();
      expect(opened).toContain(step?.why);
      expect(opened).toContain(step?.source);
      expect(faults).toEqual([]);
    } finally {
      await close();
      other.stop();
    }
  });

  it('are saved as PNG and as CSV', async () => {
    const { page, close } = await open(browser);
    await page.goto(at('/bill'));
    await page.locator('.waterfall').first().waitFor();
    const [png] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: /^PNG/ }).first().click(),
    ]);
    expect(
      readFileSync(await png.path())
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
    const [csv] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: /^CSV/ }).first().click(),
    ]);
    expect(readFileSync(await csv.path(), 'utf8')).toContain('"V3, the headline",figure,5576000,');
    await close();
  });
});

describe('runs', () => {
  it('are listed, and each opens: figures, stages, curves, evaluations', async () => {
    const { page, faults, close } = await open(browser);
    await page.goto(at('/runs'));
    await page.locator('.run-row').first().waitFor();
    await expect.poll(() => page.locator('.run-row').count()).toBe(3);
    await page.locator(`a[href="/runs/${first}"]`).click();
    await page.locator('.chart canvas').first().waitFor();
    await expect.poll(() => page.locator('.chart canvas').count()).toBeGreaterThanOrEqual(6);
    await expect.poll(() => page.locator('.timeline li').count()).toBe(4);
    await expect.poll(() => page.locator('.status').innerText()).toBe('Completed');
    for (const title of [
      'Reward',
      'Accuracy',
      'Length',
      'Loss',
      'Throughput',
      'Compute cost, full',
    ]) {
      expect(await page.locator('.chart-title', { hasText: title }).count(), title).toBeGreaterThan(
        0,
      );
    }
    // A stage of evaluation has no curves, and each cost has its name.
    const segments = page.getByRole('group', { name: 'Stage' }).getByRole('button');
    expect(await segments.allInnerTexts()).toEqual(['sft', 'grpo']);
    expect(await page.locator('.stat dt').allInnerTexts()).toContain('Compute cost, full');
    expect(await page.locator('.stats').innerText()).toMatch(/95%: [\d.]+–[\d.]+%/);
    expect(await page.locator('main').innerText()).not.toMatch(/\d\.\de[+-]\d|step \d+\.0\b|±/);
    await page.getByText('Compare').click();
    await page.locator('.menu-body label', { hasText: second.slice(-4) }).click();
    await page.waitForFunction((name) => location.search.includes(name), second);
    await expect.poll(() => page.locator('.legend li').count()).toBe(2);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.locator('.menu[open]').count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Compare · 1');
    await page.getByRole('link', { name: 'Evaluations' }).click();
    await page.locator('tbody tr').nth(1).waitFor();
    await expect.poll(() => page.locator('tbody th').allInnerTexts()).toEqual(['before', 'after']);
    expect(faults).toEqual([]);
    await close();
  });

  it('of a mixture of experts show how evenly its experts are used, over all and layer by layer', async () => {
    const name = train(recipe('experts', 20, EXPERTS));
    const events = readFileSync(join(runs, name, 'events.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const { values } = JSON.parse(
      events.findLast((line) => line.includes('"kind":"grpo"') && line.includes('max_vio')) ?? '{}',
    );
    expect(values.max_vio).toBeGreaterThan(0);
    expect(values.max_vio).toBeCloseTo((values['max_vio.1'] + values['max_vio.2']) / 2, 9);
    const { page, faults, close } = await open(browser);
    await page.goto(at(`/runs/${name}?stage=grpo`));
    const load = page.locator('.chart', { has: page.getByText('Expert load', { exact: true }) });
    await load.locator('canvas').waitFor();
    await expect
      .poll(() => load.locator('.chart-value').innerText())
      .toBe(significant(values.max_vio));
    expect(await load.locator('.chart-box').getAttribute('aria-label')).toContain('over 20 steps');
    await expect.poll(() => load.locator('.chart-note').innerText()).toContain('MaxVio');
    await page.getByRole('button', { name: 'more curves' }).click();
    for (const layer of [1, 2]) {
      const one = page.locator('.chart', { has: page.getByText(`Expert load, layer ${layer}`) });
      await one.locator('canvas').waitFor();
      await expect
        .poll(() => one.locator('.chart-value').innerText())
        .toBe(significant(values[`max_vio.${layer}`]));
    }
    await expect
      .poll(() => page.locator('.chart-title', { hasText: 'Balance loss' }).count())
      .toBe(1);
    expect(faults).toEqual([]);
    await close();
  });

  it('say why they failed', async () => {
    const { page, close } = await open(browser);
    await page.goto(at(`/runs/${failed}`));
    await page.locator('[role=alert]').waitFor();
    await expect
      .poll(() => page.locator('[role=alert]').innerText())
      .toContain('no space left on the device');
    await expect.poll(() => page.getByRole('button', { name: 'Resume' }).count()).toBe(1);
    await close();
  });

  it('are seen learning, without a reload', async () => {
    const { page, faults, close } = await open(browser);
    await page.goto(at('/runs'));
    await page.locator('.run-row').first().waitFor();
    const training = trainOn(recipe('live', 4000));
    try {
      const row = page.locator('.run-row', { hasText: 'live' });
      await row.waitFor({ timeout: 120_000 });
      await row.click();
      await page.locator('.status', { hasText: 'Running' }).waitFor();
      const step = async (): Promise<number> =>
        Number((await page.locator('.stat dd').first().innerText()).replaceAll(',', ''));
      await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(125);
      const before = await step();
      await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(before + 5);
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.locator('.status', { hasText: 'Stopped' }).waitFor({ timeout: 120_000 });
      const stopped = await step();
      await page.getByRole('button', { name: 'Resume' }).click();
      await page.locator('.status', { hasText: 'Running' }).waitFor({ timeout: 120_000 });
      await expect.poll(step, { timeout: 120_000 }).toBeGreaterThan(stopped);
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.locator('.status', { hasText: 'Stopped' }).waitFor({ timeout: 120_000 });
      expect(faults).toEqual([]);
      expect((await seen(page)).shift).toBeLessThan(SHIFT_BUDGET);
    } finally {
      training.kill('SIGKILL');
      await close();
    }
  });

  it('are followed by the tabs that are seen alone: a browser has few connections', async () => {
    const { page, faults, close } = await open(browser);
    const tabs = [
      page,
      await page.context().newPage(),
      await page.context().newPage(),
      await page.context().newPage(),
    ];
    for (const tab of tabs) {
      await tab.goto(at(`/runs/${first}`));
      await tab.locator('.chart canvas').first().waitFor({ timeout: 120_000 });
      // As the browser does when another tab is in front.
      await tab.evaluate(() => {
        Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      });
    }
    const again = page.waitForRequest((request) => request.url().includes('/events?offset='));
    await page.evaluate(() => {
      Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await again;
    expect(faults).toEqual([]);
    await close();
  });

  it('are started from the page', async () => {
    const { page, close } = await open(browser);
    await page.goto(at('/runs'));
    await page.getByRole('button', { name: 'New run' }).click();
    await page.getByLabel('Seed').fill('7');
    await page.getByLabel('At most, minutes').fill('1');
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    await page.waitForURL('**/runs/*r1-mini*', { timeout: 120_000 });
    await page.locator('.status', { hasText: 'Running' }).waitFor({ timeout: 120_000 });
    await expect.poll(() => page.locator('.sub').innerText()).toContain('seed 7');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('.status', { hasText: 'Stopped' }).waitFor({ timeout: 120_000 });
    await close();
  });

  it('with a million events open in less than a second', async () => {
    const log = join(scratch, 'long.jsonl');
    const [started] = readFileSync(join(runs, first, 'events.jsonl'), 'utf8').split('\n');
    writeFileSync(log, `${started}\n`);
    for (let i = 0; i < 100; i++) {
      const lines = Array.from({ length: 10_000 }, (_, j) => {
        const step = i * 10_000 + j + 1;
        return `{"type":"metrics","attempt":0,"step":${step},"time":"2026-01-01T00:00:00.000Z","stage":"sft","kind":"sft","stageStep":${step},"values":{"loss":${Math.exp(-step / 3e5)},"tokensPerSecond":1000}}\n`;
      });
      appendFileSync(log, lines.join(''));
    }
    appendFileSync(log, '{"type":"metr');
    const seconds: number[] = [];
    do seconds.push(await openLong(`2026-01-01-long-000${seconds.length}`, log));
    while ((seconds.at(-1) as number) >= OPENING_BUDGET_SECONDS && seconds.length < LOADS);
    expect(Math.min(...seconds)).toBeLessThan(OPENING_BUDGET_SECONDS);
  });

  /**
   * Opens a run that the server has never seen, and deletes it. @returns seconds from the address
   * to the curves
   */
  async function openLong(name: string, log: string): Promise<number> {
    cpSync(join(runs, first), join(runs, name), { recursive: true });
    rmSync(join(runs, name, 'events.jsonl'));
    linkSync(log, join(runs, name, 'events.jsonl'));
    const { page, close } = await open(browser);
    await page.addInitScript(() => {
      new MutationObserver((_, observer) => {
        if (document.querySelector('.chart canvas') === null) return;
        observer.disconnect();
        // Drawn with the next frame; times are from when the address was entered.
        requestAnimationFrame(() =>
          setTimeout(() => Object.assign(window, { curves: performance.now() / 1000 })),
        );
      }).observe(document, { childList: true, subtree: true });
    });
    const began = Date.now();
    await page.goto(at(`/runs/${name}`));
    await page.locator('.chart canvas').first().waitFor();
    const outside = (Date.now() - began) / 1000;
    await page.waitForFunction(() => 'curves' in window);
    await expect.poll(() => page.locator('.stat dd').first().innerText()).toBe('1,000,000');
    await page
      .locator('.notice', { hasText: 'sample' })
      .waitFor({ state: 'detached', timeout: 120_000 });
    const [curves, whole] = await page.evaluate<[number, number]>(
      '[window.curves, performance.now() / 1000]',
    );
    console.log(
      `a run of a million events: curves after ${outside.toFixed(2)} s by the test's clock, ${curves.toFixed(2)} s by the page's; every event after ${whole.toFixed(1)} s`,
    );
    await expect.poll(() => page.locator('.stat dd').first().innerText()).toBe('1,000,000');
    rmSync(join(runs, name), { recursive: true });
    await page.locator('[role=alert]', { hasText: 'deleted' }).waitFor({ timeout: 120_000 });
    await close();
    return outside;
  }
});

describe('rollouts', () => {
  it('are read side by side, by keyboard, and are text whatever is in them', async () => {
    const hostile =
      '<think><img src=x onerror="window.hacked=1"></think><answer><script>window.hacked=1</script></answer>';
    const samples = join(runs, first, 'samples.jsonl');
    const last = JSON.parse(
      readFileSync(samples, 'utf8')
        .trim()
        .split('\n')
        .filter((line) => line.includes('"grpo"'))
        .at(-1) as string,
    );
    appendFileSync(
      samples,
      `${JSON.stringify({ ...last, completion: hostile, reason: '<b>bold</b>' })}\n`,
    );
    const { page, faults, close } = await open(browser);
    await page.goto(at(`/runs/${first}/rollouts`));
    await page.locator('.rollouts li').first().waitFor();
    await expect.poll(() => page.locator('.pane').count()).toBe(2);
    await expect
      .poll(() => page.locator('.pane h2').allInnerTexts())
      .toEqual(['Step 1 of grpo', 'Step 40 of grpo']);
    await page.getByText('<img src=x').waitFor();
    expect(await page.locator('.completion img, .completion script, .note b').count()).toBe(0);
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    await page.getByLabel('Then: step').focus();
    await page.keyboard.press('ArrowRight');
    await page.locator('.pane h2', { hasText: 'Step 2' }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});

describe('chat', () => {
  it('streams an answer of each of two checkpoints, with how likely each token was and what it took', async () => {
    const { page, faults, close } = await open(browser);
    await page.goto(at(`/chat?run=${first}`));
    await page.getByRole('button', { name: 'Compare with another' }).click();
    const example = await page.locator('.chip').innerText();
    let parts = 0;
    page.on('response', (response) => {
      if (response.url().endsWith('/api/chat')) parts++;
    });
    await page.locator('#prompt').fill(example);
    await page.locator('#prompt').press('Enter');
    await page.locator('.reply-foot').nth(1).waitFor({ timeout: 120_000 });
    expect(parts).toBe(2);
    for (const foot of await page.locator('.reply-foot').allInnerTexts())
      expect(foot).toMatch(/\d+ tokens\s+[\d.]+ s\s+\$(0\.0|\d\.\de[-−])/);
    await expect
      .poll(() => page.locator('.reply').first().locator('.token').count())
      .toBeGreaterThan(0);
    const answer = page.locator('.reply-text').first();
    await answer.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await expect
      .poll(() => page.locator('.token-readout').first().innerText())
      .toMatch(/probability \d+\.\d%/);
    expect(faults).toEqual([]);
    await close();
  });

  it('keeps to the generation_config.json of a model: one of the most likely token answers alike at any temperature', async () => {
    const file = join(runs, second, 'model', 'generation_config.json');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(before), top_k: 1 }));
    const { page, faults, close } = await open(browser);
    await page.goto(at(`/chat?run=${second}`));
    await page.getByLabel('Temperature').fill('20');
    const answers: string[] = [];
    for (const seed of ['1', '2', '3']) {
      await page.getByLabel('Seed').fill(seed);
      await page.locator('#prompt').fill('1+2=');
      await page.getByRole('button', { name: 'Ask' }).click();
      await page.locator('.reply-foot').nth(answers.length).waitFor({ timeout: 120_000 });
      answers.push(await page.locator('.reply-text').nth(answers.length).innerText());
    }
    expect(answers[0].length).toBeGreaterThan(0);
    expect(new Set(answers).size).toBe(1);
    expect(faults).toEqual([]);
    await close();
    writeFileSync(file, before);
  });

  it('shows an answer as it comes: an endpoint that pauses in the middle', async () => {
    let finish = (): void => {};
    const endpoint = createServer((_, response) => {
      const send = (delta: object, logprob: number, token: string): void => {
        const choice = {
          index: 0,
          delta,
          logprobs: { content: [{ token, logprob }] },
          finish_reason: null,
        };
        response.write(`data: ${JSON.stringify({ choices: [choice] })}\n\n`);
      };
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      send({ reasoning_content: 'two and two' }, -0.1, 'two and two');
      send({ content: '<b>fo' }, Math.log(0.25), '<b>fo');
      finish = () => {
        send({ content: 'ur' }, -0.5, 'ur');
        response.end('data: [DONE]\n\n');
      };
    });
    await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
    const { page, faults, close } = await open(browser);
    await page.goto(at('/chat?a=endpoint'));
    await page
      .getByLabel('URL')
      .fill(`http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/v1`);
    await page.locator('#prompt').fill('2+2');
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.locator('.reply-text .text', { hasText: '<b>fo' }).waitFor();
    await expect.poll(() => page.locator('.thinking').innerText()).toBe('two and two');
    expect(await page.locator('.reply-foot').count()).toBe(0);
    await page.locator('.reply-text .token', { hasText: '<b>fo' }).hover();
    await expect
      .poll(() => page.locator('.token-readout').innerText())
      .toContain('probability 25.0%');
    finish();
    await page.locator('.reply-foot').waitFor();
    await expect.poll(() => page.locator('.reply-text .text').innerText()).toBe('<b>four');
    expect(await page.locator('.reply b').count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
    endpoint.close();
  });

  it('says in words what an endpoint that is not there is, and what a prompt that cannot be read is', async () => {
    const { page, close } = await open(browser);
    await page.goto(at('/chat?a=endpoint'));
    await page.getByLabel('URL').fill('http://127.0.0.1:9/v1');
    await page.locator('#prompt').fill('hello');
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.locator('.reply [role=alert]').waitFor();
    await expect
      .poll(() => page.locator('.reply [role=alert]').innerText())
      .toContain('is the server up?');
    await page.goto(at(`/chat?run=${first}`));
    await page.locator('#prompt').fill('what is love');
    await page.locator('#prompt').press('Enter');
    await page.locator('.reply [role=alert]').waitFor({ timeout: 120_000 });
    await close();
  });
});

describe('plan', () => {
  it("shows the library's numbers, moves with a slider, and is its address", async () => {
    const plan = planRecipe(loadRecipe('r1-mini'), readTarget('h100x8'));
    const { page, faults, close } = await open(browser);
    await page.goto(at('/plan?recipe=r1-mini'));
    await page.locator('.plan-stats').waitFor({ timeout: 120_000 });
    const values = async (): Promise<string[]> =>
      page.locator('.plan-stats dd:not(.note)').allInnerTexts();
    const { total, stages } = plan;
    const memory = Math.max(
      ...stages.map(({ memoryBytesPerGpu }) => memoryBytesPerGpu?.value ?? 0),
    );
    expect((await values()).slice(0, 5)).toEqual([
      usd(total.usd.value),
      compact(total.gpuHours.value),
      duration(total.days.value * 86_400),
      bytes(memory),
      `${compact(total.energyKwh.value)} kWh`,
    ]);
    const notes = await page.locator('.plan-stats dd.note').allInnerTexts();
    expect(notes[0]).toBe(`${usd(total.usd.low)} to ${usd(total.usd.high)}`);
    for (const { layout } of stages)
      await expect.poll(() => page.locator('main').innerText()).toContain(layout);
    await page.getByLabel('Price of an hour').focus();
    const drag = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) await page.keyboard.press('ArrowRight');
      await page.waitForFunction(
        () => document.querySelector('.plan-out[aria-busy=true]') === null,
        undefined,
        {
          timeout: 120_000,
        },
      );
    };
    await withinBudget('a price dragged', drag);
    await expect
      .poll(async () => (await values())[0], { timeout: 120_000 })
      .not.toBe(usd(total.usd.value));
    expect((await values())[1]).toBe(compact(total.gpuHours.value));
    await page.waitForFunction(() => location.search.includes('price='));
    const shown = await values();
    await page.reload();
    await page.locator('.plan-stats').waitFor({ timeout: 120_000 });
    expect(await values()).toEqual(shown);
    expect(faults).toEqual([]);
    await close();
  });

  it('plans DeepSeek-V3 on 2,048 H800s as the library does, and says when nothing fits', async () => {
    const { total } = planRecipe(loadRecipe('deepseek-v3'), readTarget('h800x2048'));
    const { page, close } = await open(browser);
    await page.goto(at('/plan'));
    await page.locator('.plan-stats').waitFor({ timeout: 120_000 });
    await expect
      .poll(() => page.locator('.plan-stats dd').first().innerText())
      .toBe(usd(total.usd.value));
    await page.goto(at('/plan?recipe=deepseek-v3&gpu=h800&count=8'));
    await page.locator('.plan-out [role=alert]').waitFor({ timeout: 120_000 });
    await expect
      .poll(() => page.locator('.plan-out [role=alert]').innerText())
      .toContain('layouts fits');
    await close();
  });
});

it('serving draws the frontier of the library’s own plan, and says when nothing fits', async () => {
  const request = { ...SERVICE_DEFAULTS, tpotSeconds: 0.05, load: 5 };
  const plan = planService(servedModel('Llama 3 70B'), readTarget('h100x8'), request);
  const { page, faults, close } = await open(browser);
  await page.goto(at('/serving?model=Llama 3 70B&gpu=h100&count=8&tpot=0.05&load=5'));
  await page.locator('.frontier circle').first().waitFor({ timeout: 120_000 });
  await expect.poll(() => page.locator('.frontier circle').count()).toBe(plan.frontier.length);
  const figures = await page.locator('.stats').first().innerText();
  expect(figures).toContain(usd(plan.cost?.usdPerMillionOutput.value as number));
  expect(figures).toContain(String(plan.load?.replicas.value));
  await page.goto(at('/serving?model=DeepSeek-V3&gpu=h100&count=8'));
  await page.locator('.plan-out [role=alert]').waitFor({ timeout: 120_000 });
  await expect
    .poll(() => page.locator('.plan-out [role=alert]').innerText())
    .toContain('fits on no layout');
  expect(faults).toEqual([]);
  await close();
});

it('benchmarks keep what was measured here and what was published apart', async () => {
  const { page, faults, close } = await open(browser);
  await page.goto(at('/benchmarks'));
  await page.locator('.scatter').nth(2).waitFor();
  await settle(page);
  const [measured, published] = await page.locator('.card').allInnerTexts();
  expect(measured).toContain(first);
  expect(measured).not.toContain('DeepSeek');
  expect(published).toContain('79.8%');
  expect(published).toContain('not published');
  expect(published).toContain('Nature 2025');
  expect(faults).toEqual([]);
  await close();
});

it('a run from the bill of which every line has a source adds up', async () => {
  const { page, close } = await open(browser);
  await page.goto(at(`/runs/${first}/bill`));
  await page.locator('.waterfall').waitFor();
  const bill = JSON.parse(readFileSync(join(runs, first, 'bill.json'), 'utf8'));
  const text = await page.locator('main').innerText();
  expect(text).toContain(usd(Number(bill.totals.headline.amount)));
  expect(text).toContain(usd(Number(bill.totals.full.amount)));
  await page.locator('.fall summary').first().click();
  await expect.poll(() => page.locator('.fall').first().innerText()).toContain('AWS');
  await close();
});

it('everything is reached by keyboard alone', async () => {
  const { page, close } = await open(browser);
  await page.goto(at('/runs'));
  await page.locator('.run-row').first().waitFor();
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe(
    'Skip to the content',
  );
  const reach = async (name: string): Promise<void> => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      const [text, outline] = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement;
        return [element.textContent ?? '', getComputedStyle(element).outlineStyle];
      });
      expect(outline, `focus on ${text} is seen`).not.toBe('none');
      if (text.includes(name)) return;
    }
    throw new Error(`${name} is not reached`);
  };
  await reach('Bill');
  await page.keyboard.press('Enter');
  await page.locator('.waterfall').first().waitFor();
  await reach('Long context');
  await page.keyboard.press('Enter');
  await page.locator('.fall[open]').waitFor();
  await page.keyboard.press('Shift+Tab');
  await close();
});

describe.each([
  ['light', 1280],
  ['dark', 1280],
  ['light', 360],
] as const)('accessibility, %s, %i pixels wide', (colorScheme, width) => {
  it('axe finds nothing on any page', async () => {
    const viewport = { width, height: 800 };
    const { page, faults, close } = await open(browser, {
      colorScheme,
      viewport,
      reducedMotion: 'reduce',
    });
    for (const path of pagesOf()) {
      await page.goto(at(path));
      await settle(page);
      await page.waitForTimeout(150);
      await page.evaluate(axe);
      const found = await page.evaluate(
        'axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })',
      );
      const violations = (
        found as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }
      ).violations;
      expect(
        violations.map(
          ({ id, nodes }) =>
            `${path}: ${id}: ${nodes[0].html.slice(0, 160)} ${nodes[0].failureSummary}`,
        ),
      ).toEqual([]);
    }
    expect(faults).toEqual([]);
    await close();
  });
});

it('nothing is wider than a phone of 360 pixels', async () => {
  const { page, close } = await open(browser, { viewport: { width: 360, height: 740 } });
  for (const path of pagesOf()) {
    await page.goto(at(path));
    await settle(page);
    const wide = await page.evaluate(() => {
      const { scrollWidth } = document.documentElement;
      const widest = [...document.querySelectorAll('main *')].find(
        (element) =>
          element.getBoundingClientRect().right > 361 &&
          element.closest('.scroll, .scatter-box, .tabs, .chart-box') === null,
      );
      return scrollWidth > 360 ? `${scrollWidth} px, by ${widest?.outerHTML.slice(0, 120)}` : '';
    });
    expect(wide, path).toBe('');
  }
  await close();
});

it('every page keeps its budgets: script, shifts and long tasks', async () => {
  for (const path of pagesOf()) {
    await withinBudget(path.replace(first, '<run>').replace(second, '<run>'), async () => {
      const { page, close } = await open(browser);
      await page.goto(at(path));
      await settle(page);
      await page.waitForTimeout(300);
      const script = await page.evaluate(() =>
        (performance.getEntriesByType('resource') as PerformanceResourceTiming[])
          .filter(({ name }) => /\.js(\?|$)/.test(name))
          .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
      );
      const { shift, longest } = await seen(page);
      await close();
      const blocked =
        longest === 0 ? 'never blocked for 50 ms' : `blocked for ${longest.toFixed(0)} ms`;
      console.log(
        `${(script / 1000).toFixed(0)} kB of script, shift ${shift.toFixed(3)}, ${blocked}`,
      );
      expect(script, path).toBeGreaterThan(1000);
      expect(script, path).toBeLessThan(SCRIPT_BUDGET);
      expect(shift, path).toBeLessThan(SHIFT_BUDGET);
    });
  }
});

it('the content security policy holds: no script but our own runs, nothing else is reached', async () => {
  const { page, close } = await open(browser);
  await page.goto(at('/runs'));
  await settle(page);
  const results = await page.evaluate(async () => {
    const violations: string[] = [];
    document.addEventListener('securitypolicyviolation', (event) =>
      violations.push(event.effectiveDirective),
    );
    const script = document.createElement('script');
    script.textContent = 'window.inline = 1';
    document.body.append(script);
    const style = document.createElement('style');
    style.textContent = 'body { color: red }';
    document.body.append(style);
    const reached = await fetch('https://example.com/').then(
      () => true,
      () => false,
    );
    // A module of eight bytes: empty, but valid.
    const wasm = await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then(
      () => true,
      () => false,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { violations, inline: 'inline' in window, reached, wasm };
  });
  expect(results.violations).toEqual(
    expect.arrayContaining(['script-src-elem', 'style-src-elem', 'connect-src']),
  );
  expect(results).toMatchObject({ inline: false, reached: false, wasm: true });
  await close();
});
