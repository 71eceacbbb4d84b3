/**
 * @file `train --backend webgpu`: every stage of r1-mini, shortened; the plan that it writes; and a
 * GPU that is lost on the way. Needs the package
 * `webgpu` and an adapter, which `.ci/run` brings; without them there is nothing to test.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  onlyRun,
  problemsOf,
  snapshotsOf,
  startOrResume,
  uncut,
  writeRecipe,
} from '../../scripts/crash.mjs';
import type { Plan } from '../../src/plan/plan.js';
import { findAdapter } from '../../src/tensor/backends/webgpu/index.js';

const adapter = await findAdapter();
const R1_MINI = JSON.parse(
  readFileSync(new URL('../../recipes/r1-mini.json', import.meta.url), 'utf8'),
);
/** What each kind of stage is cut to. */
const SHORT: Record<string, object> = {
  sft: { steps: 4, batch: 4, schedule: { kind: 'constant' } },
  grpo: { steps: 2, prompts: 2, samples: 4, maxTokens: 16, schedule: { kind: 'constant' } },
  eval: { problems: 4, samples: 2, maxTokens: 16 },
};

const folder = mkdtempSync(join(tmpdir(), 'reckoner-webgpu-'));
const recipe = writeRecipe(folder, {
  ...R1_MINI,
  name: 'r1-short',
  checkpoints: { every: 2, keep: 10 },
  stages: R1_MINI.stages.map((stage: { kind: string }) => ({ ...stage, ...SHORT[stage.kind] })),
});
const job = (name: string) => ({
  runs: join(folder, name),
  recipe,
  flags: ['--backend', 'webgpu'],
});

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

describe.runIf(adapter !== null)('r1-mini on a GPU', () => {
  let run: string;
  let result: Record<string, string>;
  beforeAll(async () => {
    const whole = await uncut(job('whole'));
    run = `${whole.run}`;
    result = whole.result;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('runs every stage', () => {
    expect(problemsOf(run, result)).toEqual([]);
    expect(snapshotsOf(run).length).toBeGreaterThan(2);
  });

  it('plans with the rates of the GPU', () => {
    const plan = JSON.parse(readFileSync(join(run, 'plan.json'), 'utf8')) as Plan;
    expect([plan.cluster.count, plan.calibration?.workers]).toEqual([1, 1]);
    expect(plan.calibration?.fingerprint).toMatch(/^webgpu /);
    // The wall's clock, not the processor's: nothing is left over for others to have taken.
    expect(plan.calibration?.slowdown).toBe(1);
    expect(plan.notes.join(' ')).toContain('the core that drives the GPU');
    expect(plan.total.seconds.value).toBeGreaterThan(0);
  });

  it('ends clearly when the GPU is lost, and goes on to the same bits', async () => {
    const cut = job('cut');
    const preload = fileURLToPath(new URL('lose-device.mjs', import.meta.url));
    const env = { NODE_OPTIONS: `--import=${preload}`, LOSE_RUNS: cut.runs, LOSE_AT: '000002' };
    const lost = await startOrResume(cut, { env });
    expect(lost.code, lost.stderr).toBe(1);
    const { error } = JSON.parse(lost.stdout);
    expect(error.code).toBe('state');
    expect(error.message).toMatch(
      /^The GPU .+ was lost \(.+\); the run can be taken up again with --resume/,
    );
    expect(error.message).not.toContain('\n');
    expect(snapshotsOf(`${onlyRun(cut.runs)}`)).toContain('000002');
    const resumed = await startOrResume(cut);
    expect(resumed.code, `${resumed.stdout}${resumed.stderr}`).toBe(0);
    expect(problemsOf(`${onlyRun(cut.runs)}`, result)).toEqual([]);
  });
});
