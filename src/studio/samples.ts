/**
 * @file `samples.jsonl`, by step: where in the file the rollouts of a step lie, so that a slider
 * reads only those.
 */
import { closeSync, readSync } from 'node:fs';
import { MAX_LINE_BYTES, openRegular, statPlain } from '../base/regular.js';
import { ownTurn } from './background.js';

export interface SampleStep {
  stage: string;
  step: number;
  attempt: number;
  count: number;
  /** Mean reward. */
  reward: number;
}

export interface Sample {
  attempt: number;
  step: number;
  stage: string;
  prompt: string;
  completion: string;
  reward: number;
  correct: boolean;
  reason: string;
  tokens: number;
}

interface Entry extends SampleStep {
  from: number;
  to: number;
}

export interface SampleIndex {
  /** Of the newest attempt that reached it, each step once, in order. */
  steps(): Promise<SampleStep[]>;
  read(stage: string, step: number): Promise<Sample[]>;
}

const NEWLINE = 10;
const SLICE_BYTES = 256 << 10;

/** @param file need not exist */
export function indexSamples(file: string): SampleIndex {
  let entries = new Map<string, Entry>();
  let offset = 0;
  let inode = 0;

  let working: Promise<void> | null = null;

  /** Reads what is new; those who ask meanwhile wait for the same reading. */
  function refresh(): Promise<void> {
    working ??= readNew().finally(() => {
      working = null;
    });
    return working;
  }

  async function readNew(): Promise<void> {
    const stat = statPlain(file);
    if (stat === null || stat.size < offset || stat.ino !== inode) {
      entries = new Map();
      offset = 0;
      inode = stat?.ino ?? 0;
    }
    if (stat === null || stat.size === offset) return;
    const { handle } = openRegular(file, 'samples', false);
    try {
      for (let most = SLICE_BYTES; ; ) {
        const bytes = Buffer.allocUnsafe(most);
        const length = readSync(handle, bytes, 0, most, offset);
        const end = length === 0 ? 0 : bytes.lastIndexOf(NEWLINE, length - 1) + 1;
        // A line that is longer than the slice widens it, up to a limit.
        if (end === 0 && length === most && most < MAX_LINE_BYTES) {
          most *= 2;
          continue;
        }
        if (end === 0) return;
        for (let at = 0; at < end; ) {
          const next = bytes.indexOf(NEWLINE, at) + 1;
          note(bytes.toString('utf8', at, next - 1), offset + at, offset + next);
          at = next;
        }
        offset += end;
        // Other requests have their turn between slices.
        await ownTurn();
      }
    } finally {
      closeSync(handle);
    }
  }

  function note(line: string, from: number, to: number): void {
    const sample = parse(line);
    if (sample === null) return;
    const { stage, step, attempt, reward } = sample;
    const key = `${stage}\n${step}`;
    const known = entries.get(key);
    if (known === undefined || known.attempt < attempt) {
      entries.delete(key);
      entries.set(key, { stage, step, attempt, count: 1, reward, from, to });
    } else {
      known.reward = (known.reward * known.count + reward) / (known.count + 1);
      known.count++;
      known.to = to;
    }
  }

  return {
    async steps() {
      await refresh();
      return [...entries.values()]
        .sort((a, b) => a.step - b.step)
        .map(({ from: _, to: __, ...step }) => step);
    },
    async read(stage, step) {
      await refresh();
      const entry = entries.get(`${stage}\n${step}`);
      if (entry === undefined) return [];
      const { handle } = openRegular(file, 'samples', false);
      try {
        const bytes = Buffer.alloc(entry.to - entry.from);
        readSync(handle, bytes, 0, bytes.length, entry.from);
        return bytes
          .toString('utf8')
          .split('\n')
          .map(parse)
          .filter((sample) => sample !== null)
          .filter(
            (sample) =>
              sample.stage === stage && sample.step === step && sample.attempt === entry.attempt,
          );
      } finally {
        closeSync(handle);
      }
    },
  };
}

function parse(line: string): Sample | null {
  try {
    const sample = JSON.parse(line) as Sample;
    return typeof sample.stage === 'string' && typeof sample.step === 'number' ? sample : null;
  } catch {
    return null;
  }
}
