import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { costRates, defaultPriceBook } from '../ledger/index.js';
import { createFold, foldNext } from './log-fold.js';
import { type Change, followLog } from './log-follower.js';
import { sampleLog } from './log-sample.js';
import { addEvent, createRunState } from './run-state.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-follow-'));
const file = join(folder, 'events.jsonl');
afterEach(() => rmSync(file, { force: true }));

const line = (step: number, loss = step): string =>
  `${JSON.stringify({ type: 'metrics', attempt: 0, step, time: new Date(1e12 + step).toISOString(), stage: 'sft', kind: 'sft', stageStep: step, values: { loss } })}\n`;

const follow = () => {
  const log = followLog(file, defaultPriceBook());
  const changes: Change[] = [];
  log.subscribe((change) => changes.push(change));
  return { log, changes };
};

describe('followLog', () => {
  it('reads what is there, then what is appended, and waits for the other half of a line', async () => {
    writeFileSync(file, line(1) + line(2));
    const { log, changes } = follow();
    await log.refresh();
    expect(log.current().state.stages[0].curves.loss.sum).toEqual([1, 2]);
    const next = line(3);
    appendFileSync(file, next.slice(0, 20));
    await log.refresh();
    expect(log.current().state.step).toBe(2);
    appendFileSync(file, next.slice(20) + line(4));
    await log.refresh();
    expect(log.current().state.stages[0].curves.loss.sum).toEqual([1, 2, 3, 4]);
    expect(changes.map(({ kind }) => kind)).toEqual(['reset', 'events']);
    expect(log.current().malformed).toBe(0);
  });

  it('gives what a listener missed, and nothing for an offset that is none', async () => {
    writeFileSync(file, line(1) + line(2) + line(3));
    const { log } = follow();
    await log.refresh();
    const first = Buffer.byteLength(line(1));
    expect(log.since(first)?.map(({ step }) => step)).toEqual([2, 3]);
    expect(log.since(log.current().offset)).toEqual([]);
    expect(log.since(first + 1)).toBeNull();
    expect(log.since(1e9)).toBeNull();
  });

  it('passes over lines that are no events, and counts them', async () => {
    writeFileSync(file, `${line(1)}{"type":"metrics"}\nnot json\n\n{"a":1}\n${line(2)}`);
    const { log } = follow();
    await log.refresh();
    expect(log.current()).toMatchObject({ malformed: 3 });
    expect(log.current().state.stages[0].curves.loss.sum).toEqual([1, 2]);
  });

  it('begins anew when the log was cut, and survives that it is deleted and comes again', async () => {
    writeFileSync(file, line(1) + line(2));
    const { log, changes } = follow();
    await log.refresh();
    truncateSync(file, Buffer.byteLength(line(1)));
    await log.refresh();
    expect(log.current().state.stages[0].curves.loss.sum).toEqual([1]);
    rmSync(file);
    await log.refresh();
    expect(log.current().state.stages).toEqual([]);
    writeFileSync(file, line(7));
    await log.refresh();
    expect(log.current().state.step).toBe(7);
    expect(changes.map(({ kind }) => kind)).toContain('gone');
  });

  it('shows a long log at once from a sample, and exactly when a thread has read it', async () => {
    const lines = Array.from({ length: 100_000 }, (_, i) => line(i + 1, Math.cos(i / 7000)));
    writeFileSync(file, lines.join(''));
    const { log, changes } = follow();
    await log.look();
    const { state, progress, offset } = log.current();
    expect(progress).toBeLessThan(1);
    expect(offset).toBe(-1);
    expect(log.since(-1)).toBeNull();
    const { loss } = state.stages[0].curves;
    expect(loss.first.length).toBeGreaterThan(1000);
    expect(loss.first.length).toBeLessThan(4000);
    expect(Math.max(...loss.max)).toBeCloseTo(1, 2);
    expect(Math.min(...loss.min)).toBeCloseTo(-1, 2);
    expect(state.step).toBe(100_000);
    // Written while the rest is read, and half of a line more.
    appendFileSync(file, `${line(100_001)}${line(100_002).slice(0, 30)}`);
    await log.refresh();
    await log.refresh();
    expect(log.current().progress).toBe(1);
    expect(log.current().state.events).toBe(100_001);
    expect(changes.map(({ kind }) => kind)).toEqual(['reset']);
    const afresh = createRunState();
    for (const text of [...lines, line(100_001)]) addEvent(afresh, JSON.parse(text), 4096);
    expect(log.current().state).toEqual(afresh);
  });

  it('survives that a long log is deleted, or another takes its place, while it is read', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => line(i + 1)).join('');
    writeFileSync(file, lines);
    const { log } = follow();
    await log.look();
    rmSync(file);
    await log.refresh();
    await log.refresh();
    expect(log.current()).toMatchObject({ progress: 1, offset: 0, state: { step: 0 } });
    writeFileSync(file, lines);
    await log.look();
    rmSync(file);
    writeFileSync(file, line(7));
    await log.refresh();
    await log.refresh();
    expect(log.current().state).toMatchObject({ step: 7, events: 1 });
  });
});

describe('a sample', () => {
  const machine = { cpu: 'x', cores: 1, memoryBytes: 1, platform: 'x', node: 'x' };
  const time = '2026-01-01T00:00:00.000Z';
  const usageOf = (wallSeconds: number) => {
    const counts = {
      tokensIn: 10,
      tokensOut: 0,
      modelFlops: 0,
      energyJoules: 0,
      peakMemoryBytes: 5,
      storedBytes: 0,
    };
    const basis = { energyBasis: 'measured', basis: 'measured' };
    return {
      stage: 'sft',
      purpose: 'training',
      wallSeconds,
      workerSeconds: wallSeconds,
      ...counts,
      ...basis,
    };
  };

  /** Attempts that each go back some way; each step says in its loss which attempt it was. */
  function resumedLog(attempts: readonly { from: number; to: number }[]): string {
    const events: object[] = [
      {
        type: 'started',
        attempt: 0,
        step: 0,
        time,
        recipe: 'r',
        version: '0',
        workers: 1,
        fingerprint: 'f',
        machine,
      },
    ];
    attempts.forEach(({ from, to }, attempt) => {
      if (attempt > 0)
        events.push({
          type: 'resumed',
          attempt,
          step: from,
          time,
          fromStep: from,
          version: '0',
          workers: 1,
          fingerprint: 'f',
          machine,
        });
      for (let step = from + 1; step <= to; step++) {
        events.push({
          type: 'metrics',
          attempt,
          step,
          time,
          stage: 'sft',
          kind: 'sft',
          stageStep: step,
          values: { loss: attempt },
        });
        if (step % 5 === 0)
          events.push({ type: 'usage', attempt, step, time, usage: usageOf(0.5) });
      }
    });
    return events.map((event) => `${JSON.stringify(event)}\n`).join('');
  }

  it('has of each step the attempt that counts, wherever attempts begin, and sums that are near', async () => {
    const attempts = [
      { from: 0, to: 9000 },
      { from: 8990, to: 8995 },
      { from: 4000, to: 12_000 },
      { from: 11_111, to: 20_000 },
      { from: 19_999, to: 20_001 },
      { from: 19_000, to: 30_000 },
    ];
    const text = resumedLog(attempts);
    writeFileSync(file, text);
    const handle = openSync(file, 'r');
    const rates = costRates(defaultPriceBook());
    const sampled = await sampleLog(handle, Buffer.byteLength(text), rates);
    const whole = createFold();
    while (foldNext(handle, whole, rates) !== null);
    closeSync(handle);
    const counts = (step: number): number =>
      attempts.findLastIndex(({ from, to }) => step > from && step <= to);
    const { loss } = sampled.stages[0].curves;
    expect(loss.first.length).toBeGreaterThan(500);
    loss.last.forEach((step, i) => {
      if (i > 0) expect(loss.first[i]).toBeGreaterThan(loss.last[i - 1]);
      if (loss.count[i] === 1) expect([step, loss.sum[i]]).toEqual([step, counts(step)]);
    });
    expect(sampled).toMatchObject({ step: whole.state.step, attempt: 5, recipe: 'r' });
    for (const name of ['seconds', 'usd', 'tokens'] as const)
      expect(Math.abs(sampled[name] / whole.state[name] - 1)).toBeLessThan(0.25);
  });
});

it('the page, which folds the events that it is sent, stands where the server stands', async () => {
  writeFileSync(file, Array.from({ length: 300 }, (_, i) => line(i + 1)).join(''));
  const { log, changes } = follow();
  await log.refresh();
  const page = structuredClone(log.current().state);
  appendFileSync(file, Array.from({ length: 300 }, (_, i) => line(301 + i)).join(''));
  await log.refresh();
  for (const change of changes)
    if (change.kind === 'events') for (const event of change.events) addEvent(page, event, 4096);
  expect(page).toEqual(log.current().state);
  const afresh = createRunState();
  for (const event of log.since(0) ?? []) addEvent(afresh, event, 4096);
  expect(afresh).toEqual(page);
});
