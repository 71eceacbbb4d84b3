import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import {
  openTranscripts,
  readTranscripts,
  type Transcript,
  type TranscriptHeader,
} from './transcripts.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-transcripts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const header: TranscriptHeader = {
  model: 'm',
  at: 'hash',
  task: 'sums',
  problemsHash: 'p',
  seed: 1,
  problems: 2,
  samples: 2,
  temperature: 1,
  greedy: false,
  maxTokens: null,
  request: null,
  pricing: null,
};
const transcript = (problem: number, sample: number | null): Transcript => ({
  problem,
  sample,
  prompt: '1+1=',
  completion: 'two\nlines “ü”',
  answer: '2',
  reward: 1,
  correct: true,
  wellFormed: true,
  reason: 'is 2',
  stop: 'eos',
  promptTokens: 4,
  completionTokens: 2,
  seconds: 0.5,
  usd: null,
});

it('gives back what was appended, once each', () => {
  const file = join(folder, 'sub', 'a.jsonl');
  const open = openTranscripts(file, header);
  expect(open.found).toEqual([]);
  for (const one of [transcript(0, 0), transcript(0, null), transcript(0, 0)]) open.append(one);
  open.close();
  const again = openTranscripts(file, header);
  expect(again.found).toEqual([transcript(0, 0), transcript(0, null)]);
  again.append(transcript(0, 0));
  again.close();
  expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(3);
  expect(readTranscripts(file).header).toEqual(header);
});

it('cuts half a last line, even half a first one', () => {
  const file = join(folder, 'half.jsonl');
  const open = openTranscripts(file, header);
  open.append(transcript(0, 0));
  open.close();
  const whole = readFileSync(file);
  // Broken anywhere in the second or the third line, what was whole before is kept.
  const second = whole.indexOf(10) + 1;
  for (const cut of [3, second - 1, second + 5, whole.length - 1]) {
    writeFileSync(file, whole.subarray(0, cut));
    const resumed = openTranscripts(file, header);
    expect(resumed.found).toEqual([]);
    resumed.append(transcript(0, 0));
    resumed.close();
    expect(readFileSync(file)).toEqual(whole);
  }
  appendFileSync(file, '{"problem":1,"sam');
  expect(readTranscripts(file).transcripts).toEqual([transcript(0, 0)]);
});

it('is written by one at a time; a lock whose process is gone is taken over', () => {
  const file = join(folder, 'locked.jsonl');
  const lock = `${file}.lock`;
  const open = openTranscripts(file, header);
  expect(() => openTranscripts(file, header)).toThrow(
    new RegExp(
      `locked\\.jsonl is being written by process ${process.pid} since .*; stop it first, or delete .*locked\\.jsonl\\.lock if`,
    ),
  );
  open.close();
  expect(existsSync(lock)).toBe(false);
  writeFileSync(
    lock,
    JSON.stringify({ pid: 2 ** 22 + 5, host: hostname(), started: '', time: 't' }),
  );
  openTranscripts(file, header).close();
  expect(() => openTranscripts(file, { ...header, seed: 2 })).toThrow('another evaluation');
  expect(existsSync(lock)).toBe(false);
});

it('refuses a file of another evaluation, naming what differs', () => {
  const file = join(folder, 'other.jsonl');
  openTranscripts(file, header).close();
  expect(() => openTranscripts(file, { ...header, seed: 2 })).toThrow(
    `${file} is of another evaluation: seed is 1 there and 2 here; use another file with --out`,
  );
  const request = { api: 'chat' as const, instruction: 'Solve.' };
  expect(() => openTranscripts(file, { ...header, request })).toThrow('request is null there');
});

it('refuses a file that holds something else, and leaves it as it is', () => {
  const file = join(folder, 'foreign.jsonl');
  for (const text of ['hello', '{"type":"metrics"}\n', `not json\n`, '[1]\n']) {
    writeFileSync(file, text);
    expect(() => openTranscripts(file, header)).toThrow(
      'foreign.jsonl:1: is not a line of transcripts',
    );
    expect(readFileSync(file, 'utf8')).toBe(text);
  }
  const good = join(folder, 'middle.jsonl');
  openTranscripts(good, header).close();
  appendFileSync(good, `broken\n${JSON.stringify(transcript(0, 0))}\n`);
  expect(() => openTranscripts(good, header)).toThrow('middle.jsonl:2');
});
