import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { configureFaults } from '../base/faults.js';
import type { NewEvent, RunEvent } from './events.js';
import { lastAttemptOfStep, openEventLog, readEvents, repairEventLog } from './log.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-log-'));
  file = join(folder, 'events.jsonl');
});
afterEach(() => {
  configureFaults(undefined);
  rmSync(folder, { recursive: true, force: true });
});

const warning = (step: number, message = `w${step}`): NewEvent => ({
  type: 'warning',
  step,
  message,
});
const fixed = () => new Date('2026-01-02T03:04:05.000Z');

describe('openEventLog', () => {
  it('writes one line an event, with attempt and time, and appends to what is there', async () => {
    for (const attempt of [0, 1]) {
      const log = openEventLog(file, { attempt, now: fixed });
      log.append(warning(7, 'a\nb — ✓'));
      log.close();
      log.close();
    }
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe(
      '{"type":"warning","attempt":0,"step":7,"time":"2026-01-02T03:04:05.000Z","message":"a\\nb — ✓"}',
    );
    const { events, malformed, torn } = await readEvents(file);
    expect(events.map((event) => event.attempt)).toEqual([0, 1]);
    expect([malformed, torn]).toEqual([[], null]);
  });

  it('refuses to write after close', () => {
    const log = openEventLog(file, { attempt: 0 });
    log.close();
    expect(() => log.append(warning(1))).toThrow('closed');
  });

  it('lines of several threads with a log each do not interleave', async () => {
    // A plain JavaScript thread that writes the way a log does: one write call a line on its own
    // O_APPEND descriptor.
    const source = `
      const { openSync, writeSync, closeSync } = require('node:fs');
      const { workerData } = require('node:worker_threads');
      const handle = openSync(workerData.file, 'a');
      for (let i = 0; i < 300; i++) {
        const line = JSON.stringify({ type: 'warning', attempt: 0, step: i, time: 't', message: String(workerData.id).repeat(1 + 37 * (i % 40)) });
        writeSync(handle, Buffer.from(line + '\\n'));
      }
      closeSync(handle);`;
    const threads = [1, 2, 3].map(
      (id) => new Worker(source, { eval: true, workerData: { id, file } }),
    );
    const done = Promise.all(
      threads.map((thread) => new Promise((resolve) => thread.once('exit', resolve))),
    );
    const log = openEventLog(file, { attempt: 0 });
    for (let i = 0; i < 300; i++) {
      log.append(warning(i, '0'.repeat(1 + 37 * (i % 40))));
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await done;
    log.close();
    const { events, malformed, torn } = await readEvents(file);
    expect([events.length, malformed, torn]).toEqual([1200, [], null]);
    for (const event of events)
      expect(event.type === 'warning' && new Set(event.message).size).toBe(1);
    for (const id of ['0', '1', '2', '3']) {
      const own = events.filter((event) => event.type === 'warning' && event.message[0] === id);
      expect(own.map((event) => event.step)).toEqual(Array.from({ length: 300 }, (_, i) => i));
    }
  });

  it('a full disk is one line for the user, and what was written before stays readable', async () => {
    const log = openEventLog(file, { attempt: 0 });
    log.append(warning(1));
    configureFaults('enospc@events.write.torn:1');
    let error: unknown;
    try {
      log.append(warning(2, 'x'.repeat(100)));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect(error).toMatchObject({ code: 'disk', message: expect.stringContaining('disk is full') });
    configureFaults(undefined);
    // Room again: the next line must not be joined to the part that was written.
    log.append(warning(3));
    log.close();
    const read = await readEvents(file);
    expect(read.events.map((event) => event.step)).toEqual([1, 3]);
    expect(read.malformed).toEqual([{ line: 2, reason: 'not JSON' }]);
  });

  it('says what is wrong with the path', () => {
    expect(() => openEventLog(join(file, 'no', 'events.jsonl'), { attempt: 0 })).toThrow();
    writeFileSync(file, '');
    expect(() => openEventLog(join(file, 'events.jsonl'), { attempt: 0 })).toThrow(
      /a part of the path is a file/,
    );
  });
});

describe('readEvents', () => {
  it('lists lines that are no events and goes on', async () => {
    const good = '{"type":"warning","attempt":0,"step":1,"time":"t","message":"m"}';
    const bad = [
      'nonsense',
      '[]',
      '{"type":"warning","attempt":-1,"step":1,"time":"t","message":"m"}',
      '{"type":"warning","attempt":0,"step":1.5,"time":"t","message":"m"}',
      '{"type":"usage","attempt":0,"step":1,"time":"t","usage":{"stage":"a","purpose":"training","basis":"measured","energyBasis":"measured","wallSeconds":null}}',
      '{"type":"metrics","attempt":0,"step":1,"time":"t","stage":"a"}',
    ];
    writeFileSync(file, `${[good, ...bad, '', good].join('\n')}\n`);
    const { events, malformed, torn } = await readEvents(file);
    expect(events).toHaveLength(2);
    expect(malformed.map((entry) => entry.line)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(malformed[4].reason).toContain('wallSeconds');
    expect(malformed[5].reason).toContain('values');
    expect(torn).toBeNull();
  });

  it('reads lines longer than a read, and event types that it does not know', async () => {
    const log = openEventLog(file, { attempt: 0 });
    log.append(warning(1, 'é'.repeat(200_000)));
    log.close();
    appendFileSync(file, '{"type":"from-the-future","attempt":0,"step":2,"time":"t"}\n');
    const { events, malformed } = await readEvents(file);
    expect(malformed).toEqual([]);
    expect(events[0].type === 'warning' && events[0].message.length).toBe(200_000);
    expect(events).toHaveLength(2);
  });

  it('says that a file is missing', async () => {
    await expect(readEvents(file)).rejects.toMatchObject({
      code: 'data',
      message: expect.stringContaining('does not exist'),
    });
  });
});

describe('a torn last line', () => {
  it('cut anywhere: everything before is read, repair leaves a log that can be appended to', async () => {
    const log = openEventLog(file, { attempt: 0, now: fixed });
    for (let step = 1; step <= 3; step++) log.append(warning(step, 'ü'.repeat(5)));
    log.close();
    const whole = readFileSync(file);
    const lastStart = whole.lastIndexOf(10, whole.length - 2) + 1;
    for (let size = lastStart; size <= whole.length; size++) {
      writeFileSync(file, whole);
      truncateSync(file, size);
      // Without its newline the last line is still whole.
      const kept = size >= whole.length - 1 ? 3 : 2;
      const before = await readEvents(file);
      expect(before.events).toHaveLength(kept);
      expect(before.torn).toEqual(
        kept === 2 && size > lastStart ? { line: 3, bytes: size - lastStart } : null,
      );
      const { cutBytes } = repairEventLog(file);
      expect(cutBytes).toBe(kept === 2 ? size - lastStart : 0);
      const next = openEventLog(file, { attempt: 1 });
      next.append(warning(9));
      next.close();
      const after = await readEvents(file);
      expect(after.events.map((event) => event.step)).toEqual([1, 2, 3].slice(0, kept).concat(9));
      expect([after.malformed, after.torn]).toEqual([[], null]);
    }
  });

  it('repairs an empty log and one that is a single torn line longer than a read', () => {
    writeFileSync(file, '');
    expect(repairEventLog(file)).toEqual({ cutBytes: 0 });
    writeFileSync(file, 'x'.repeat(200_000));
    expect(repairEventLog(file)).toEqual({ cutBytes: 200_000 });
    expect(statSync(file).size).toBe(0);
  });
});

describe('lastAttemptOfStep', () => {
  it('keeps the last attempt of each step and stage, other attempts where it did not get that far', () => {
    const metrics = (attempt: number, step: number, loss: number): RunEvent => ({
      type: 'metrics',
      attempt,
      step,
      time: 't',
      stage: 's',
      kind: 'sft',
      stageStep: step,
      values: { loss },
    });
    const resumed = { type: 'resumed', attempt: 1, step: 1, time: 't', fromStep: 1 } as RunEvent;
    const events = [
      metrics(0, 1, 5),
      metrics(0, 2, 4),
      metrics(0, 3, 3),
      resumed,
      metrics(1, 2, 2),
    ];
    const kept = lastAttemptOfStep(events.filter((event) => event.type === 'metrics'));
    expect(kept.map((event) => event.values.loss)).toEqual([5, 2, 3]);
    // An event of another type at the same step does not hide a curve's point.
    expect(lastAttemptOfStep(events)).toContainEqual(metrics(0, 1, 5));
  });
});
