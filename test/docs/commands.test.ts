/**
 * @file Every command of the README and of the guides, run as it is written.
 *
 * Each fenced `sh` block runs in a folder of its own that looks like a clone in which `r1-mini` was
 * trained twice (by a much smaller recipe of the same name): a command that names it means the
 * newest run and says so. The tag after the language says how:
 *
 * - `sh`: as it is; must exit with 0;
 * - `sh long`: trains for minutes. Every `train` is stopped after half a second (`--max-minutes`),
 *   the rest runs as it is;
 * - `sh jq`: needs jq; where there is none, only its form is checked.
 *
 * JSON and CSV blocks whose paragraph says "as `name.json`" are saved under that name first. `npm`
 * and `npx` are stand-in.mjs.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reckoner } from '../cli/model.js';
import { type Block, blocksOf, pagesUnder, ROOT, readPage } from './pages.js';

const PAGES = ['README.md', ...pagesUnder('docs/guides')];
const STAND_IN = fileURLToPath(new URL('./stand-in.mjs', import.meta.url));
const TAGS = ['', 'long', 'jq'];
/** Blocks at a time: most of a command is waiting for node to start. */
const AT_ONCE = 3;
/** A block's own time; waiting for its turn does not count. */
const LIMIT_MS = 300_000;
const OLD_RUN = '2026-11-22-r1-mini-1d08';
const NEW_RUN = '2026-11-23-r1-mini-7f3a';
/** Verbs that look a run up by the name that two runs have. */
const NAMED = /^npx reckoner (chat|eval|serve|export|bill) r1-mini\b/m;
const hasJq = spawnSync('jq', ['--version']).status === 0;

/** r1-mini in a second: the same stages, a model that learns nothing. */
const TINY = {
  name: 'r1-mini',
  model: {
    model_type: 'llama',
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    max_position_embeddings: 64,
  },
  task: { name: 'sums', maximum: 9 },
  stages: [
    { id: 'sft', kind: 'sft', steps: 10, batch: 8, schedule: { kind: 'constant' } },
    { id: 'before', kind: 'eval', problems: 8, maxTokens: 16 },
    {
      id: 'grpo',
      kind: 'grpo',
      steps: 3,
      prompts: 2,
      samples: 2,
      maxTokens: 16,
      schedule: { kind: 'constant' },
    },
    { id: 'after', kind: 'eval', problems: 8, maxTokens: 16 },
  ],
};

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-docs-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }), 60_000);
let trained = '';
let printed = '';

beforeAll(async () => {
  const recipe = join(scratch, 'tiny.json');
  writeFileSync(recipe, JSON.stringify(TINY));
  const runs = join(scratch, 'runs');
  const { code, stdout, stderr } = await reckoner([
    'train',
    recipe,
    '--runs',
    runs,
    '--workers',
    '1',
  ]);
  expect(code, stderr).toBe(0);
  printed = stdout;
  const [name] = readdirSync(runs);
  trained = join(runs, name);
  rmSync(join(trained, 'checkpoints'), { recursive: true });
  for (const length of ['whole', 'short']) {
    mkdirSync(join(scratch, length));
    for (const tool of ['npm', 'npx']) {
      const file = join(scratch, length, tool);
      writeFileSync(
        file,
        `#!/bin/sh\nexec "${process.execPath}" "${STAND_IN}" ${tool} "${ROOT}" ${length} "$@"\n`,
      );
      chmodSync(file, 0o755);
    }
  }
}, 60_000);

/**
 * A folder like a clone after the first run (and `run-a`, `run-b`, … where they are named), with
 * the page's JSON files in it.
 */
function workingFolder(page: string, block: Block, blocks: readonly Block[]): string {
  const folder = join(scratch, `${page.replaceAll('/', '-')}-${block.line}`);
  mkdirSync(join(folder, 'runs'), { recursive: true });
  for (const name of ['dist', 'docs', 'recipes', 'package.json', 'package-lock.json']) {
    symlinkSync(join(ROOT, name), join(folder, name));
  }
  for (const name of [OLD_RUN, NEW_RUN, ...new Set(block.text.match(/\brun-[a-z]\b/g))]) {
    cpSync(trained, join(folder, 'runs', name), { recursive: true });
  }
  for (const { language, before, text } of blocks) {
    const name = ['json', 'csv'].includes(language)
      ? before.match(/\bas `([\w-]+\.(?:json|csv))`/)?.[1]
      : undefined;
    if (name !== undefined) writeFileSync(join(folder, name), text);
  }
  return folder;
}

function shell(
  text: string,
  cwd: string,
  length: 'whole' | 'short',
): Promise<{ code: number | null; output: string }> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${join(scratch, length)}${delimiter}${process.env.PATH}`,
    NO_COLOR: '1',
    // Every command is a new process: on Node 22 and later they share what was compiled.
    NODE_COMPILE_CACHE: join(scratch, 'compiled'),
  };
  // What is stopped after half a second needs no plan of minutes.
  if (length === 'short') env.RECKONER_CALIBRATION = 'off';
  const child = spawn('sh', ['-e', '-c', text], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

let running = 0;
const waiting: (() => void)[] = [];
async function oneOfFew<T>(work: () => Promise<T>): Promise<T> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  try {
    return await work();
  } finally {
    running--;
    waiting.shift()?.();
  }
}

describe.concurrent.each(PAGES)('%s', (page) => {
  const blocks = blocksOf(readPage(page));
  const commands = blocks.filter(({ language }) =>
    ['sh', 'bash', 'shell', 'console', ''].includes(language),
  );

  it('says of every block what it is', () => {
    for (const { language, tag, line } of blocks) {
      const known =
        language === 'sh'
          ? TAGS.includes(tag)
          : ['json', 'csv', 'ts', 'text'].includes(language) && tag === '';
      expect(known, `${page}:${line}: \`\`\`${language} ${tag}`).toBe(true);
    }
  });

  it.each(
    commands.map((block) => [`line ${block.line}: ${block.text.split('\n')[0]}`, block] as const),
  )(
    '%s',
    async (_title, block) => {
      if (block.tag === 'jq' && !hasJq) {
        for (const line of block.text.split('\n')) expect(line).toMatch(/^(cd|jq) /);
        return;
      }
      const { code, output } = await oneOfFew(() => {
        const folder = workingFolder(page, block, blocks);
        return shell(block.text, folder, block.tag === 'long' ? 'short' : 'whole');
      });
      const told = `${page}:${block.line}\n${block.text}\n${output}`;
      expect(code, told).toBe(0);
      if (NAMED.test(block.text))
        expect(output, told).toMatch(
          /r1-mini fits [23] runs; this is the newest complete one, \S*r1-mini/,
        );
      if (/train tuned\.json/.test(block.text))
        expect(output, told).toContain('init.from: r1-mini fits 2 runs; this is the newest');
    },
    60 * LIMIT_MS,
  );
});

it('npx finds the command in a clone', () => {
  const env = { ...process.env, npm_config_offline: 'true', npm_config_update_notifier: 'false' };
  const { status, stdout, stderr } = spawnSync('npx', ['--no', '--', 'reckoner', '--version'], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
  expect(stdout.trim()).toBe(JSON.parse(readPage('package.json')).version);
});

describe('scripts/transcript.mjs', () => {
  const readme = join(scratch, 'README.md');
  const transcript = (...flags: string[]) =>
    spawnSync(
      process.execPath,
      [join(ROOT, 'scripts/transcript.mjs'), trained, '--readme', readme, ...flags],
      {
        encoding: 'utf8',
      },
    );

  it('replays what the run printed, the same every time', () => {
    const page = readPage('README.md');
    writeFileSync(readme, page);
    const { status, stderr } = transcript();
    expect(status, stderr).toBe(0);
    const written = readFileSync(readme, 'utf8');
    const outside = (text: string): string =>
      text.replace(/(<!-- (\w+):start -->)[\s\S]*?(<!-- \2:end -->)/g, '$1$3');
    expect(outside(written)).toBe(outside(page));
    // All but where the run is, which differs here.
    const lines = printed.split('\n').filter((line) => line !== '' && !line.includes('/'));
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines) expect(written).toContain(`\n${line}\n`);
    expect(written).toMatch(/\n✓ grpo · 3 steps · reward /);
    const [, full] = printed.match(/; full (\$[\d.]+) /) as RegExpMatchArray;
    expect(written).toContain(`| full | **${full}**`);
    expect(transcript('--check').status).toBe(0);
    writeFileSync(readme, written.replace(`**${full}**`, '**$1**'));
    expect(transcript('--check').status).toBe(1);
  }, 60_000);
});
