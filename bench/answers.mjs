/**
 * @file Verdicts on answers to questions of mathematics, beside Math-Verify and the MATH matcher of
 * lm-evaluation-harness: wrong verdicts and microseconds a pair.
 *
 *     npm run build && node bench/answers.mjs [python]
 *
 * `python` has the packages of bench/peers/answers.txt; without it only Reckoner is measured.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerIn, sameAnswer } from '../dist/tasks/answers/index.js';

const files = ['field', 'same', 'different'].map((name) =>
  fileURLToPath(new URL(`../test/fixtures/answers/${name}.jsonl`, import.meta.url)),
);
const cases = files.flatMap((file) =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line)),
);
const judge = ({ answer, reply }) => sameAnswer(answer, answerIn(reply));
for (const one of cases) judge(one);
const times = [];
let [falseEqual, falseDifferent] = [0, 0];
for (const one of cases) {
  const start = performance.now();
  const got = judge(one);
  times.push(performance.now() - start);
  if (got && !one.right) falseEqual++;
  if (!got && one.right) falseDifferent++;
}
times.sort((a, b) => a - b);
const results = {
  reckoner: {
    falseEqual,
    falseDifferent,
    medianMicroseconds: Math.round(times[times.length >> 1] * 1000),
    worstMilliseconds: Number(times.at(-1).toFixed(1)),
  },
};
const [python] = process.argv.slice(2);
if (python !== undefined) {
  const peers = fileURLToPath(new URL('peers/answers.py', import.meta.url));
  Object.assign(results, JSON.parse(execFileSync(python, [peers, ...files], { encoding: 'utf8' })));
}
console.log(
  `${cases.length} cases, ${cases.filter(({ right }) => !right).length} must not be equal`,
);
console.table(results);
