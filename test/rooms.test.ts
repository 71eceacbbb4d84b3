/** @file The check of the import order finds what it must find, and the tree passes it. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { checkRooms, importsOf, readSources } from '../scripts/check-rooms.mjs';

const check = (files: Record<string, string>): string[] =>
  checkRooms(new Map(Object.entries(files)));

test('the tree keeps the order', () => {
  expect(checkRooms(readSources(fileURLToPath(new URL('../src', import.meta.url))))).toEqual([]);
});

test('every form of import is seen, and nothing in comments', () => {
  const text = [
    "import { a } from './a.js';",
    "import type { B } from './b.js';",
    "import './c.js';",
    "export * from './d.js';",
    "export { e, type F } from './e.js';",
    "const g = await import('./g.js');",
    "let h: import('./h.js').H;",
    "import i, * as j from './i.js';",
    "new Worker(new URL('./k.js', import.meta.url));",
    "// import './no1.js';",
    "/* import './no2.js'; */ import {",
    '  l,',
    "} from './l.js';",
    "const url = 'http://x'; import m from './m.js';",
    "import{n}from'./n.js';",
    "export const imported = './no3.js';",
  ].join('\n');
  expect(importsOf(text).map((found) => `${found.line} ${found.specifier}`)).toEqual([
    '1 ./a.js',
    '2 ./b.js',
    '3 ./c.js',
    '4 ./d.js',
    '5 ./e.js',
    '6 ./g.js',
    '7 ./h.js',
    '8 ./i.js',
    '9 ./k.js',
    '13 ./l.js',
    '14 ./m.js',
    '15 ./n.js',
  ]);
});

test('down is allowed, up is not', () => {
  expect(
    check({
      'cli/main.ts': "import '../tensor/backend.js';",
      'tensor/backend.ts': "import '../base/errors.js';",
    }),
  ).toEqual([]);
  expect(check({ 'tensor/x.ts': "import type { Model } from '../models/llama.js';" })).toEqual([
    'src/tensor/x.ts:1: tensor imports models/llama.js; models lies above tensor, and imports go down only',
  ]);
  expect(check({ 'base/x.ts': "\nexport * from '../usage/usage.js';" })[0]).toMatch(
    /^src\/base\/x\.ts:2: base imports usage/,
  );
  expect(
    check({ 'tensor/x.ts': "new URL('../training/worker.js', import.meta.url)" }),
  ).toHaveLength(1);
});

test('planner and ledger know models by configuration alone', () => {
  for (const room of ['planner', 'ledger'])
    for (const lower of ['checkpoints', 'models', 'tasks', 'tokenizers', 'tensor'])
      expect(check({ [`${room}/x.ts`]: `import '../${lower}/y.js';` })).toEqual([
        `src/${room}/x.ts:1: ${room} imports ${lower}/y.js; the ${room} knows models by their configuration alone`,
      ]);
  expect(
    check({ 'ledger/x.ts': "import '../usage/usage.js'; import '../catalog/prices.js';" }),
  ).toEqual([]);
});

test('circles are found, across types and longer ways', () => {
  expect(
    check({
      'tensor/a.ts': "import './b.js';",
      'tensor/b.ts': "import './c.js';",
      'tensor/c.ts': "import './a.js';",
    }),
  ).toEqual([
    'src/tensor/c.ts: imports in a circle: tensor/a.ts → tensor/b.ts → tensor/c.ts → tensor/a.ts',
  ]);
  expect(
    check({
      'tensor/a.ts': "import './b.js'; import './c.js';",
      'tensor/b.ts': "import './c.js';",
      'tensor/c.ts': '',
    }),
  ).toEqual([]);
  expect(check({ 'tensor/a.ts': "new URL('./a.js', import.meta.url)" })).toEqual([]);
});

test('every file has a room; the public API imports all and is imported by nobody', () => {
  expect(check({ 'utils/x.ts': '' })[0]).toMatch(/^src\/utils\/x\.ts: belongs to no room/);
  expect(check({ 'x.ts': '' })[0]).toMatch(/belongs to no room/);
  expect(check({ 'index.ts': "export * from './cli/main.js';", 'cli/main.ts': '' })).toEqual([]);
  expect(check({ 'index.ts': '', 'cli/main.ts': "import '../index.js';" })).toEqual([
    'src/cli/main.ts:1: cli imports index.ts; only users of the package import it',
  ]);
  expect(check({ 'cli/main.ts': "import '../../test/x.js';" })[0]).toMatch(/outside src/);
});
