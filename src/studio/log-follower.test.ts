import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultPriceBook } from '../ledger/index.js';
import { type Change, followLog } from './log-follower.js';
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

  it('shows a million events at once from a sample, and exactly when it has read them', async () => {
    const block = Array.from({ length: 10_000 }, (_, i) => line(i + 1, Math.cos(i / 700))).join('');
    writeFileSync(file, '');
    for (let i = 0; i < 100; i++) appendFileSync(file, block.replaceAll('"attempt":0', `"attempt":${i}`));
    const { log } = follow();
    const began = performance.now();
    const reading = log.refresh();
    const seconds = (performance.now() - began) / 1000;
    const { state, progress } = log.current();
    expect(progress).toBeLessThan(1);
    expect(state.stages[0].curves.loss.first.length).toBeGreaterThan(1000);
    expect(Math.max(...state.stages[0].curves.loss.max)).toBeCloseTo(1, 2);
    // The goal is a second; ten times that would be a mistake on any machine.
    expect(seconds).toBeLessThan(10);
    await reading;
    expect(log.current().progress).toBe(1);
    expect(log.current().state.events).toBe(1_000_000);
  });
});

it('the page, which folds the events that it is sent, stands where the server stands', async () => {
  writeFileSync(file, Array.from({ length: 300 }, (_, i) => line(i + 1)).join(''));
  const { log, changes } = follow();
  await log.refresh();
  const page = structuredClone(log.current().state);
  appendFileSync(file, Array.from({ length: 300 }, (_, i) => line(301 + i)).join(''));
  await log.refresh();
  for (const change of changes) if (change.kind === 'events') for (const event of change.events) addEvent(page, event, 4096);
  expect(page).toEqual(log.current().state);
  const afresh = createRunState();
  for (const event of log.since(0) ?? []) addEvent(afresh, event, 4096);
  expect(afresh).toEqual(page);
});
