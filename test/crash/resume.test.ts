/**
 * @file A run that is killed, at any point and many times, ends as if it had never been stopped.
 *
 * Here each fault point is met once, by chains of kills and resumes; `npm run soak` meets every
 * pass of every point, and adds kills at random moments. The kills are SIGKILL: no handler runs, no
 * buffer is flushed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createRandom,
  cutAndResume,
  drawFaults,
  onlyRun,
  problemsOf,
  startOrResume,
  TINY,
  uncut,
  writeRecipe,
} from '../../scripts/crash.mjs';

const SEED = 20261123;
/** Some forty processes of about a second; far more where other work fills the machine. */
const LONG = 600_000;

const folder = mkdtempSync(join(tmpdir(), 'reckoner-crash-'));
const recipe = writeRecipe(folder, TINY);
/** Without a BLAS and with one, where there is one. */
const jobs = {
  one: { runs: join(folder, 'one'), recipe, flags: ['--workers', '1', '--no-blas'] },
  two: { runs: join(folder, 'two'), recipe, flags: ['--workers', '2'] },
};
type Name = keyof typeof jobs;
type Reference = Awaited<ReturnType<typeof uncut>>;
let references: Record<Name, Reference>;

beforeAll(async () => {
  const [one, two] = await Promise.all([uncut(jobs.one), uncut(jobs.two)]);
  references = { one, two };
}, LONG);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cut = async (name: Name, faults: readonly string[]) => {
  const job = { ...jobs[name], runs: join(folder, `${name}-cut`) };
  const done = await cutAndResume(job, faults, references[name].result);
  expect(done.problems).toEqual([]);
  expect(done.kills).toBe(faults.length);
};

describe('a run that is killed and resumed ends with the same bits', () => {
  it.concurrent(
    'at every fault point, on one worker',
    async () => {
      const faults = drawFaults(references.one.points, createRandom(SEED));
      // Recipe, plan, log, samples, steps, checkpoints, data, model and bill.
      expect(new Set(faults.map((fault) => fault.split('.')[0])).size).toBe(9);
      expect(faults.length).toBeGreaterThanOrEqual(35);
      await cut('one', faults);
    },
    LONG,
  );

  it.concurrent(
    'at fault points of the ranks, on two workers',
    async () => {
      const faults = drawFaults(references.two.points, createRandom(SEED + 1)).filter((fault) =>
        /^(step|checkpoint.(rename|prune)|file)/.test(fault),
      );
      expect(faults).toHaveLength(11);
      await cut('two', faults);
    },
    LONG,
  );
});

it.each(['one', 'two'] as const)(
  'a second run of the same recipe has the same bits (%s)',
  async (name) => {
    const runs = join(folder, `${name}-again`);
    const call = await startOrResume({ ...jobs[name], runs });
    expect(call.code).toBe(0);
    expect(problemsOf(onlyRun(runs) ?? '', references[name].result)).toEqual([]);
  },
  LONG,
);

it('one worker and two agree to rounding', () => {
  for (let step = 1; step <= 4; step++) {
    const [one, two] = (['one', 'two'] as const).map((name) =>
      JSON.parse(references[name].result[`step 000${step}`]),
    );
    expect(Math.abs(one.loss - two.loss) / one.loss).toBeLessThan(1e-4);
    expect(Math.abs(one.grad_norm - two.grad_norm) / one.grad_norm).toBeLessThan(1e-3);
  }
  expect(references.one.result['model/model.safetensors']).not.toBe(
    references.two.result['model/model.safetensors'],
  );
});
