/**
 * @file Verdicts on answers to questions of mathematics, beside Math-Verify and the MATH matcher of
 * lm-evaluation-harness: wrong verdicts and microseconds of the processor a pair.
 *
 *     npm run build && node bench/answers.mjs [python]
 *
 * `python` has the packages of bench/peers/answers.txt; without it only Reckoner is measured.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerIn, sameAnswer } from '../dist/tasks/answers/index.js';
import { splitThinking } from '../dist/tasks/formats.js';

const file = (name) =>
  fileURLToPath(new URL(`../test/fixtures/answers/${name}.jsonl`, import.meta.url));
const sets = {
  'developed on': ['field', 'same', 'different'].map(file),
  'held out': [file('held-out')],
};
const judge = ({ answer, reply }) =>
  sameAnswer(answer, answerIn(splitThinking(reply).content ?? ''));

/** Milliseconds of the processor: on a busy machine the clock also counts waiting for a core. */
function milliseconds(work) {
  const times = Array.from({ length: 3 }, () => {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

const [python] = process.argv.slice(2);
for (const [name, files] of Object.entries(sets)) {
  const cases = files.flatMap((path) =>
    readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  );
  let [falseEqual, falseDifferent] = [0, 0];
  for (const one of cases) {
    const got = judge(one);
    if (got && !one.right) falseEqual++;
    if (!got && one.right) falseDifferent++;
  }
  const times = cases.map((one) => milliseconds(() => judge(one))).sort((a, b) => a - b);
  const results = {
    reckoner: {
      falseEqual,
      falseDifferent,
      medianMicroseconds: Math.round(times[times.length >> 1] * 1000),
      worstMilliseconds: Number(times.at(-1).toFixed(1)),
    },
  };
  if (python !== undefined) {
    const peers = fileURLToPath(new URL('peers/answers.py', import.meta.url));
    const text = execFileSync(python, [peers, ...files], { encoding: 'utf8' });
    Object.assign(results, JSON.parse(text));
  }
  const unequal = cases.filter(({ right }) => !right).length;
  console.log(`${name}: ${cases.length} cases, ${unequal} must not be equal`);
  console.table(results);
}
