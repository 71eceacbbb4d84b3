/**
 * @file What stops a run other than a kill: damaged checkpoints, a changed machine, a full disk,
 * divergence, Ctrl-C, limits.
 *
 * Each ends in one line that says what to do, leaves the last good checkpoint, and leads to the
 * same bits once it is mended.
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  eventsOf,
  jsonLines,
  onlyRun,
  problemsOf,
  reckoner,
  snapshotsOf,
  startOrResume,
  TINY,
  uncut,
  writeRecipe,
} from '../../scripts/crash.mjs';
import { canonicalJson, hashOf } from '../../src/base/files.js';
import { latestSnapshot, loadSnapshot } from '../../src/checkpoints/snapshot.js';

const LONG = 600_000;
// What a run will take is not the matter here, and takes a while to be found.
process.env.RECKONER_CALIBRATION = 'off';
const folder = mkdtempSync(join(tmpdir(), 'reckoner-limits-'));
const recipe = writeRecipe(folder, TINY);
const flags = ['--workers', '1', '--no-blas'];
let reference: Awaited<ReturnType<typeof uncut>>;
/** A run that was killed at its ninth step, with checkpoints of steps 3 and 6. */
let killed: string;

beforeAll(async () => {
  const runs = join(folder, 'killed');
  const [uncutRun, call] = await Promise.all([
    uncut({ runs: join(folder, 'reference'), recipe, flags }),
    startOrResume({ runs, recipe, flags }, { fault: 'kill@step.before:9' }),
  ]);
  expect(call.signal).toBe('SIGKILL');
  reference = uncutRun;
  killed = runOf(runs);
  expect(snapshotsOf(killed)).toEqual(['000003', '000006']);
}, LONG);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function runOf(runs: string): string {
  const run = onlyRun(runs);
  if (run === null) throw new Error(`no run in ${runs}`);
  return run;
}

/** A copy of the killed run, to be spoilt. */
function copyOfKilled(name: string): string {
  const run = join(folder, name, 'run');
  cpSync(killed, run, { recursive: true });
  return run;
}

const resume = (
  run: string,
  more: readonly string[] = [],
  options?: Parameters<typeof reckoner>[1],
) => reckoner(['train', '--resume', run, ...more], options);

/** The one line of an error, which is the last on stderr. */
function errorLine(stderr: string): string {
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
  expect(errors).toHaveLength(1);
  expect(stderr.endsWith(`${errors[0]}\n`)).toBe(true);
  expect(stderr).not.toMatch(/^\s+at /m);
  return errors[0];
}

describe('a checkpoint that is', () => {
  const spoil = {
    truncated: (snapshot: string) => truncateSync(join(snapshot, 'weights.safetensors'), 1000),
    altered: (snapshot: string) => {
      const file = join(snapshot, 'optimizer.safetensors');
      const bytes = readFileSync(file);
      bytes[bytes.length - 5] ^= 1;
      writeFileSync(file, bytes);
    },
    misplaced: (snapshot: string) => {
      const file = join(snapshot, 'snapshot.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace('"stageStep": 6', '"stageStep": 7'));
    },
  };
  const said = {
    truncated:
      /000006 cannot be used: weights.safetensors has 1000 bytes instead of \d+: it was truncated or altered/,
    altered:
      /000006 cannot be used: optimizer.safetensors was altered \(its SHA-256 does not match\)/,
    misplaced: /000006 cannot be used: snapshot.json was altered \(its digest does not match\)/,
  };

  it.each(Object.keys(spoil) as (keyof typeof spoil)[])(
    '%s is refused, and the one before it is used',
    async (how) => {
      const run = copyOfKilled(how);
      spoil[how](join(run, 'checkpoints', '000006'));
      // A kill while the good one takes the place of the damaged one must not hurt either.
      const call = await resume(run, [], { fault: 'kill@checkpoint.aside.before:1' });
      expect(call.signal).toBe('SIGKILL');
      expect(call.stderr).toMatch(said[how]);
      expect((await resume(run)).code).toBe(0);
      const resumed = eventsOf(run).filter(({ type }) => type === 'resumed' || type === 'warning');
      expect(resumed.map(({ type, attempt, step }) => [type, attempt, step])).toEqual([
        ['resumed', 1, 3],
        ['warning', 1, 3],
        ['resumed', 2, 3],
        ['warning', 2, 3],
      ]);
      expect(problemsOf(run, reference.result)).toEqual([]);
    },
    LONG,
  );

  it(
    'the only one left is no loss but of time',
    async () => {
      const run = copyOfKilled('all');
      for (const name of snapshotsOf(run)) rmSync(join(run, 'checkpoints', name, 'snapshot.json'));
      const call = await resume(run);
      expect(call.code).toBe(0);
      expect(call.stderr).toMatch(/000003 cannot be used|cannot read snapshot .*000003/);
      expect(problemsOf(run, reference.result)).toEqual([]);
    },
    LONG,
  );
});

describe('a checkpoint of another', () => {
  it.each([
    ['worker count', ['--workers', '2'], 'workers was 1 and is 2'],
    ['backend', ['--backend', 'reference'], 'backend was wasm .* and is reference float64'],
  ])('%s is refused', async (_what, more, message) => {
    const run = copyOfKilled(`drift-${more[1]}`);
    const log = readFileSync(join(run, 'events.jsonl'), 'utf8');
    const call = await resume(run, more);
    expect(call.code).toBe(1);
    expect(errorLine(call.stderr)).toMatch(
      new RegExp(
        `^error: resuming here would not give the same result: ${message}.*\\. Restore what changed, or add --allow-drift`,
      ),
    );
    expect(readFileSync(join(run, 'events.jsonl'), 'utf8')).toBe(log);
  });

  it('Node is refused', async () => {
    const run = copyOfKilled('drift-node');
    for (const name of snapshotsOf(run)) {
      const file = join(run, 'checkpoints', name, 'snapshot.json');
      const { digest: _, ...body } = JSON.parse(readFileSync(file, 'utf8'));
      body.state.node = 'v20.0.0';
      writeFileSync(file, JSON.stringify({ ...body, digest: hashOf(canonicalJson(body)) }));
    }
    const call = await resume(run);
    expect(call.code).toBe(1);
    expect(errorLine(call.stderr)).toContain(`Node was v20.0.0 and is ${process.version}`);
  });

  it(
    'worker count is taken with --allow-drift',
    async () => {
      const run = copyOfKilled('drift-allowed');
      const call = await resume(run, ['--workers', '2', '--allow-drift']);
      expect(call.code).toBe(0);
      expect(call.stderr).toMatch(/warning: the result will differ .*workers was 1 and is 2/);
      expect(problemsOf(run, reference.result)).not.toEqual([]);
    },
    LONG,
  );
});

it(
  'a full disk ends in one line and leaves an intact checkpoint',
  async () => {
    const job = { runs: join(folder, 'full'), recipe, flags };
    const faults = [
      'recipe.write.torn:1',
      'events.write.before:1',
      'events.write.torn:6',
      'checkpoint.write.before:1',
      'checkpoint.write.torn:80',
      'samples.write.torn:2',
      '60',
      'file.write.torn:1',
      'model.write.torn:3',
      'bill.write.before:1',
    ];
    for (const fault of faults) {
      const run = onlyRun(job.runs);
      const args = run === null ? [recipe, ...flags] : ['--resume', run];
      const call = await reckoner(['train', ...args, '--runs', job.runs], {
        fault: `enospc@${fault}`,
      });
      expect([fault, call.code]).toEqual([fault, 1]);
      expect(errorLine(call.stderr)).toMatch(
        /^error: cannot write .*: the disk is full; free some space, then try again \(ENOSPC\)(; "reckoner train --resume .* resumes the run)?/,
      );
      if (run === null) {
        // What could not even become a run leaves nothing behind.
        if (onlyRun(job.runs) === null) expect(readdirSync(job.runs)).toEqual([]);
        continue;
      }
      const rejected: string[] = [];
      latestSnapshot(join(run, 'checkpoints'), (_folder, message) => rejected.push(message));
      expect(rejected).toEqual([]);
      expect(
        readdirSync(run, { recursive: true }).filter((name) => /\.(tmp|old)-/.test(String(name))),
      ).toEqual([]);
    }
    const run = runOf(job.runs);
    expect((await resume(run)).code).toBe(0);
    expect(problemsOf(run, reference.result)).toEqual([]);
  },
  LONG,
);

describe('a run that diverges', () => {
  const [sft] = TINY.stages;
  const diverging = (name: string, optimizer: object) => ({
    ...TINY,
    name,
    checkpoints: { every: 1, keep: 3 },
    stages: [
      { ...sft, steps: 2 },
      { ...sft, id: 'wild', steps: 30, optimizer },
    ],
  });

  it.each([
    [
      'overflows',
      { lr: 1e20, muonLr: 1e20 },
      /stage wild, step 1: a weight of \S+ is -?1\.0e\+20, far beyond/,
    ],
    [
      'explodes',
      { lr: 3, muonLr: 3 },
      /stage wild, step \d+: (loss is [\d.]+, far above|grad_norm is)/,
    ],
  ])(
    '(%s) stops, names stage and step, and keeps the last good checkpoint',
    async (name, optimizer, message) => {
      const wild = writeRecipe(folder, diverging(name, optimizer));
      const runs = join(folder, name);
      const call = await reckoner(['train', wild, ...flags, '--runs', runs]);
      expect(call.code).toBe(1);
      expect(errorLine(call.stderr)).toMatch(message);
      expect(errorLine(call.stderr)).toContain('the last good checkpoint is kept');
      const run = runOf(runs);
      expect(existsSync(join(run, 'model'))).toBe(false);
      expect(eventsOf(run).at(-1)).toMatchObject({ type: 'ended', reason: 'diverged' });
      const names = snapshotsOf(run);
      expect(names.length).toBeGreaterThan(0);
      for (const snapshot of names) {
        const { read, files } = loadSnapshot(join(run, 'checkpoints', snapshot));
        for (const file of files) {
          for (const { data } of read(file))
            expect(data.every((x) => Number.isFinite(x))).toBe(true);
        }
      }

      // As it advises: mend the recipe, and go on from there.
      const file = join(run, 'recipe.json');
      const mended = JSON.parse(readFileSync(file, 'utf8'));
      Object.assign(mended.stages[1].optimizer, { lr: 0.001, muonLr: 0.001 });
      mended.stages[1].steps = 8;
      writeFileSync(file, JSON.stringify(mended));
      const again = await resume(run);
      expect(again.code).toBe(1);
      expect(errorLine(again.stderr)).toContain('the recipe was changed');
      if (name === 'overflows') expect((await resume(run, ['--allow-drift'])).code).toBe(0);
    },
    LONG,
  );
});

it(
  'Ctrl-C and limits stop cleanly, a second trainer is refused, and the end is the same',
  async () => {
    const [sft] = TINY.stages;
    const long = writeRecipe(folder, {
      ...TINY,
      name: 'long',
      checkpoints: { every: 50, keep: 2 },
      stages: [{ ...sft, steps: 200 }],
    });
    const job = { runs: join(folder, 'long'), recipe: long, flags };
    const complete = await uncut({ ...job, runs: join(folder, 'long-reference') });
    const end = (run: string) => eventsOf(run).at(-1);

    expect(
      (await reckoner(['train', long, ...flags, '--runs', job.runs, '--max-minutes', '0.0001']))
        .code,
    ).toBe(0);
    const run = runOf(job.runs);
    expect(end(run)).toMatchObject({ type: 'ended', reason: 'max-minutes', attempt: 0 });
    expect(end(run).step).toBeLessThan(200);

    const second: Awaited<ReturnType<typeof reckoner>>[] = [];
    const interrupted = await resume(run, ['--json'], {
      whileRunning: async (child) => {
        while (eventsOf(run).at(-1).attempt < 1 || eventsOf(run).at(-1).type !== 'metrics') {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        // Stopped, so that it is still there when the second one looks.
        child.kill('SIGSTOP');
        second.push(await resume(run));
        child.kill('SIGCONT');
        child.kill('SIGINT');
      },
    });
    expect(interrupted.code).toBe(130);
    expect(JSON.parse(interrupted.stdout)).toMatchObject({ reason: 'interrupted' });
    expect(end(run)).toMatchObject({ type: 'ended', reason: 'interrupted', attempt: 1 });
    expect(end(run).step).toBeLessThan(200);
    expect(second[0].code).toBe(1);
    expect(errorLine(second[0].stderr)).toMatch(/is being written by process \d+ since/);

    const spent = await resume(run, ['--max-usd', '0.00000001']);
    expect(spent.code).toBe(0);
    expect(spent.stdout).toContain('--max-usd');
    expect(end(run)).toMatchObject({ type: 'ended', reason: 'max-usd', attempt: 2 });

    expect((await resume(run)).code).toBe(0);
    expect(problemsOf(run, complete.result)).toEqual([]);
    // Nothing was killed, so nothing is lost.
    expect(
      eventsOf(run).some(({ type, usage }) => type === 'usage' && usage.stage === 'lost'),
    ).toBe(false);

    const over = await resume(run);
    expect(over.code).toBe(1);
    expect(errorLine(over.stderr)).toMatch(/^error: .* is complete; "reckoner chat /);
  },
  LONG,
);

it('a resume needs a run', async () => {
  const call = await reckoner(['train', '--resume', '--runs', join(folder, 'nowhere')]);
  expect(call.code).toBe(2);
  expect(errorLine(call.stderr)).toMatch(
    /^error: there is no run in .*nowhere\/ yet; "reckoner train" makes one/,
  );
});

it(
  'a log whose last line broke off goes on after the line before it',
  async () => {
    const run = copyOfKilled('torn');
    const log = join(run, 'events.jsonl');
    const whole = readFileSync(log, 'utf8');
    writeFileSync(log, `${whole}{"type":"metrics","attempt":0,"st`);
    writeFileSync(
      join(run, 'samples.jsonl'),
      '{"attempt":0,"step":1,"prompt":"1+1="}\n{"attempt":0,"st',
    );
    expect((await resume(run)).code).toBe(0);
    expect(readFileSync(log, 'utf8').startsWith(`${whole}{"type":"resumed","attempt":1,`)).toBe(
      true,
    );
    expect(jsonLines(join(run, 'samples.jsonl')).length).toBeGreaterThan(1);
    expect(problemsOf(run, reference.result)).toEqual([]);
    const bill = JSON.parse(readFileSync(join(run, 'bill.json'), 'utf8'));
    const lost = bill.lines.filter(({ category }: { category: string }) => category === 'lost');
    expect(lost.length).toBeGreaterThan(0);
    for (const { columns } of lost) expect(columns).toEqual(['full']);
    expect(Number(bill.totals.full.amount)).toBeGreaterThan(Number(bill.totals.headline.amount));
  },
  LONG,
);
