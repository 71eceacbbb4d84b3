import { expect, it } from 'vitest';
import { jsonErrorPlace } from './json.js';

it.each([
  ['{\n  "a": 1,\n  "b": oops\n}', 3, 8],
  ['{\n  "a": 1,\n}', 3, 1],
  ['{\n  "a": 1\n  "b": 2\n}', 3, 3],
  ['{"a": tru }', 1, 10],
  ['{"a": 01}', 1, 8],
  ['{"a": 1.}', 1, 9],
  ['{"a": -}', 1, 8],
  ['{"a": "x\ty"}', 1, 9],
  ['{"a": "\\x"}', 1, 9],
  ['{"a": "\\u12g4"}', 1, 12],
  ["{'a': 1}", 1, 2],
  ['[1, 2', 1, 6],
  ['{"a": 1}}', 1, 9],
  ['', 1, 1],
  ['// no comments\n{}', 1, 1],
  ['{\r\n"a" 1}', 2, 5],
])('%j is broken at line %i, column %i', (text, line, column) => {
  expect(() => JSON.parse(text)).toThrow(SyntaxError);
  expect(jsonErrorPlace(text)).toEqual({ line, column });
});
