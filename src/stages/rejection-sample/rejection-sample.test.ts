import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Backend } from '../../tensor/backend.js';
import { inRanks, lettersTask, tinyContext } from '../testing.js';
import { createRejectionSample, rejectionSampleSchema } from './index.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-rejection-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Completions of at most two characters are right. */
const short = lettersTask((_problem, text) => (text.length <= 2 ? 1 : 0));

const run = (worldSize: number) =>
  inRanks(worldSize, async (backend: Backend) => {
    const tiny = await tinyContext(short, backend);
    const options = rejectionSampleSchema.parse({
      steps: 2,
      prompts: 3,
      samples: 6,
      keep: 2,
      maxTokens: 5,
    });
    const stage = await createRejectionSample(
      { ...tiny, dataFolder: join(folder, `data${worldSize}`) },
      options,
    );
    await backend.ranks.barrier();
    const values: Record<string, number>[] = [];
    for (let step = 1; step <= 2; step++) values.push((await stage.step(step)).values);
    await stage.finish?.();
    return values;
  });

it('keeps the right completions, a few of each problem, in the order of the problems, on any number of ranks', async () => {
  const files: string[] = [];
  for (const worldSize of [1, 2, 4]) {
    const [values] = await run(worldSize);
    // The parts of the ranks are gone.
    expect(readdirSync(join(folder, `data${worldSize}`))).toEqual(['stage.jsonl']);
    const text = readFileSync(join(folder, `data${worldSize}`, 'stage.jsonl'), 'utf8');
    files.push(text);
    expect(values[1].accepted).toBe(text.trim().split('\n').length);
    expect(values[1].accepted).toBeGreaterThan(values[0].accepted);
  }
  expect(files[1]).toBe(files[0]);
  expect(files[2]).toBe(files[0]);
  const accepted = files[0]
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { prompt: string; completion: string });
  expect(accepted.length).toBeGreaterThan(3);
  expect(accepted.every(({ completion }) => completion.length <= 2)).toBe(true);
  // Two a problem at most: equal prompts of neighbouring problems aside, no run of one prompt is
  // longer.
  const runs = accepted.filter(
    ({ prompt }, i) =>
      i >= 2 && accepted[i - 1].prompt === prompt && accepted[i - 2].prompt === prompt,
  );
  expect(runs).toEqual([]);
});
