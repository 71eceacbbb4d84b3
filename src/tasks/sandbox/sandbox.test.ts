/**
 * @file What a model may write, and what must come of it: every hostile completion fails with a
 * reason, and the next honest one is graded as if nothing had been.
 */
import { expect, test } from 'vitest';
import { canonical, sandbox } from './index.js';
import { MEMORY_BYTES, memoryBytes, runSandbox } from './run.js';

const add = { code: 'function f(a, b) { return a + b; }', entry: 'f', calls: ['[1,2]', '[40,2]'] };
const right = { calls: [{ value: '3' }, { value: '42' }] };

/** Each defines `f` or fails to; `f(1, 2)` should be 3. */
const hostile: Record<string, string> = {
  // ── never ends ──
  'endless loop': 'function f() { for (;;); }',
  'endless loop at the top': 'while (true) {} function f() {}',
  'endless do': 'function f() { do { } while (1) }',
  'loop that catches what ends it': 'function f() { for (;;) { try { for (;;); } catch {} } }',
  'finally that loops': 'function f() { try { for (;;); } finally { for (;;); } }',
  'labelled continue': 'function f() { a: for (;;) { for (;;) continue a; } }',
  'generator without end':
    'function f() { function* g() { for (;;) yield 1; } for (const x of g()); }',
  'iterator without end':
    'function f() { for (const x of { [Symbol.iterator]: () => ({ next: () => ({ done: false }) }) }); }',
  'spread without end':
    'function f() { return [...{ *[Symbol.iterator]() { for (;;) yield 0; } }]; }',
  'promise loop':
    'function f() { const again = () => Promise.resolve().then(again); return again(); }',
  'async loop': 'async function f() { for (;;) await null; }',
  'await at the top': 'const f = async () => { while (true) await 0; };',
  thenable: 'function f() { return { then(resolve) { for (;;); } }; }',
  'getter that loops': 'function f() { return { get x() { for (;;); } }; }',
  'getter in an error': 'function f() { throw { get message() { for (;;); } }; }',
  'toString that loops':
    'function f() { return { toString() { for (;;); }, valueOf() { for (;;); } } + ""; }',
  'toJSON that loops': 'function f() { return { toJSON() { for (;;); }, x: 1 }; }',
  'toPrimitive that loops': 'function f() { return { [Symbol.toPrimitive]() { for (;;); } } * 2; }',
  'toStringTag that loops': 'function f() { return { get [Symbol.toStringTag]() { for (;;); } }; }',
  'sort that loops': 'function f() { return [1, 2, 3].sort(() => { for (;;); }); }',
  'setter on an argument’s prototype': 'function f(a) { for (;;) Object.assign({}, { a }); }',
  'regular expression (a+)+': 'function f() { return /^(a+)+$/.test("a".repeat(50) + "!"); }',
  'regular expression (a|aa)+': 'function f() { return /^(a|aa)+$/.test("a".repeat(90) + "!"); }',
  'regular expression with lookahead':
    'function f() { return /^(?=(a+)+b)(a*)*$/.test("a".repeat(60)); }',
  'replace with blow-up': 'function f() { return "x".repeat(3000).replace(/(x+x+)+y/g, ""); }',
  // ── takes everything ──
  'array bomb': 'function f() { const a = []; for (;;) a.push(new Array(1000).fill(a)); }',
  'string bomb': 'function f() { let s = "x"; for (;;) s += s; }',
  'typed array bomb': 'function f() { const a = []; for (;;) a.push(new Uint8Array(1 << 20)); }',
  'one huge buffer': 'function f() { return new ArrayBuffer(2 ** 40); }',
  'huge repeat': 'function f() { return "x".repeat(2 ** 30 - 1); }',
  'huge array': 'function f() { return new Array(2 ** 32 - 1).fill(7); }',
  'huge join': 'function f() { return Array(1e8).join("abc"); }',
  'sparse array': 'function f() { const a = []; a[4294967290] = 1; return a; }',
  'big integer bomb': 'function f() { let n = 3n; for (;;) n *= n; }',
  'big integer power': 'function f() { return 9n ** 9999999n; }',
  'map bomb': 'function f() { const m = new Map(); for (let i = 0; ; i++) m.set(i, {}); }',
  'closure bomb': 'function f() { let g = () => 0; for (;;) { const h = g; g = () => h; } }',
  'deep object': 'function f() { let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o; }',
  'circular object': 'function f() { const o = {}; o.o = o; return o; }',
  'huge output': 'function f() { return "x".repeat(1e6); }',
  'huge list': 'function f() { return Array(1e6).fill(1); }',
  'many keys': 'function f() { const o = {}; for (let i = 0; i < 1e5; i++) o[i] = i; return o; }',
  'proxy array that never ends':
    'function f() { return new Proxy([], { get: (t, k) => k === "length" ? Infinity : 1 }); }',
  'proxy with endless keys': 'function f() { return new Proxy({}, { ownKeys() { for (;;); } }); }',
  // ── recursion ──
  'deep recursion': 'function f() { return f() + 1; }',
  'mutual recursion': 'function f() { return g(); } function g() { return f(); }',
  'recursion through a getter':
    'function f() { const o = { get x() { return this.x; } }; return o.x; }',
  'recursion through a proxy':
    'function f() { const p = new Proxy({}, {}); Object.setPrototypeOf(p, p); return p.x; }',
  'recursion in toString':
    'function f() { const a = { toString() { return "" + this; } }; return "" + a; }',
  'deep regular expression':
    'function f() { return new RegExp("(".repeat(9000) + ")".repeat(9000)); }',
  'deep array literal': `function f() { return ${'['.repeat(5000)}${']'.repeat(5000)}; }`,
  'deep parentheses': `const f = ${'('.repeat(6000)}1${')'.repeat(6000)};`,
  'deep JSON': 'function f() { return JSON.parse("[".repeat(1e5)); }',
  // ── wants out ──
  process: 'function f() { return process.exit(0); }',
  'require fs': 'function f() { return require("fs").readFileSync("/etc/passwd", "utf8"); }',
  'dynamic import': 'function f() { return import("node:fs"); }',
  'static import': 'import fs from "node:fs"; function f() {}',
  fetch: 'function f() { return fetch("http://localhost"); }',
  timers: 'function f() { setTimeout(() => {}, 0); }',
  'constructor of constructor':
    'function f(a) { return a.constructor.constructor("return process")().exit(); }',
  'Function of the other realm':
    'function f(a) { return Object.getPrototypeOf(f.call).constructor("return globalThis.process.pid")(); }',
  'global object':
    'function f() { return globalThis.process.mainModule.require("child_process").execSync("id"); }',
  'this of a sloppy function':
    'function f() { return (function () { return this.process.env; })(); }',
  WebAssembly: 'function f() { return new WebAssembly.Memory({ initial: 1 }); }',
  SharedArrayBuffer:
    'function f() { return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }',
  clock: 'function f() { return Date.now(); }',
  'std and os of QuickJS': 'function f() { return std.loadFile("/etc/passwd") + os.getcwd(); }',
  scriptArgs: 'function f() { return scriptArgs[0]; }',
  caller: 'function f() { return f.caller.toString(); }',
  'arguments.callee.caller': 'function f() { return arguments.callee.caller.arguments[0]; }',
  // ── lies ──
  'throws nothing': 'function f() { throw undefined; }',
  'throws null': 'function f() { throw null; }',
  'throws a symbol': 'function f() { throw Symbol("x"); }',
  'throws a proxy': 'function f() { throw new Proxy({}, { get() { throw 1; } }); }',
  'returns a symbol': 'function f() { return Symbol("3"); }',
  'returns a function': 'function f() { return () => 3; }',
  'an object for a number':
    'function f() { return { valueOf: () => 3, toString: () => "3", toJSON: () => 3 }; }',
  'a boxed number': 'function f() { return new Number(3); }',
  'a string for a number': 'function f() { return "3"; }',
  'a revoked proxy':
    'function f() { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; }',
  'a false length': 'const f = { call: () => 3, apply: () => 3, length: 2 };',
  'poisoned Array.prototype':
    'Array.prototype.toJSON = Array.prototype.join = () => "3"; function f() { return [3]; }',
  'poisoned Object.prototype':
    'Object.prototype.toString = () => "3"; Object.prototype.value = "3"; function f() { return {}; }',
  'poisoned JSON':
    'JSON.stringify = () => "3"; JSON.parse = () => 3; String = () => "3"; function f() { return 4; }',
  'poisons the arguments’ realm':
    'function f(a) { const C = a.constructor.constructor; C("Number.prototype.toJSON = Object.prototype.toJSON = () => 3; JSON.stringify = () => 3; canonical = () => 3")(); return 4; }',
  'redefines undefined': 'globalThis.undefined = 3; function f() {}',
  'redefines f later': 'var n = 0; function f() { n++; return n === 1 ? 3 : f; }',
  'closes the wrapper': 'function f() { return 4; } }); ((() => { return 3;',
  'comment without end': 'function f() { return 3; } /*',
  'not code': 'the answer is 3',
  nothing: '',
  'null bytes': 'function f() { return "\0\0\0"; }',
  'lone surrogates': 'function f() { return "\\ud800"; }',
  'a hundred thousand characters': `function f() { return ${'1+'.repeat(50_000)}1; }`,
};

test('there are at least fifty kinds', () =>
  expect(Object.keys(hostile).length).toBeGreaterThanOrEqual(50));

test.each(Object.entries(hostile))('%s', async (_, code) => {
  const before = process.memoryUsage().rss;
  const result = await sandbox({ code, entry: 'f', calls: ['[1,2]', '[40,2]'] }, 3);
  const passes =
    result.calls?.every((call, i) => 'value' in call && call.value === ['3', '42'][i]) ?? false;
  expect(passes).toBe(false);
  expect(JSON.stringify(result).length).toBeLessThan(50_000);
  expect(result.error ?? '').not.toContain('\n');
  expect(await sandbox(add)).toEqual(right);
  expect(process.memoryUsage().rss - before).toBeLessThan(500 << 20);
});

test('memory ends where the interpreter may not grow, whatever it is asked for', async () => {
  for (const code of [
    hostile['typed array bomb'],
    'function f() { const a = []; for (;;) a.push("x".repeat(1 << 20) + a.length); }',
  ]) {
    const result = await runSandbox({ code, entry: 'f', calls: ['[1,2]'] });
    expect(result).toEqual({ calls: [{ error: 'took too much memory' }] });
  }
  expect(await memoryBytes()).toBeLessThanOrEqual(MEMORY_BYTES);
});

const tests = `
  const assert = require('node:assert');
  function test() {
    let candidate = f;
    assert.deepEqual(candidate([1, 2]), [2, 4]);
    assert.deepEqual(candidate([]), []);
  }
  test();`;

test.each([
  ['function f(a) { return a.map((x) => 2 * x); }', 2, ''],
  ['function f(a) { return a; }', 0, 'gives [1,2], not [2,4]'],
  ['function f(a) { throw new TypeError("no"); }', 0, 'throws no'],
  // Tampering: with the assertions, the tests, what they compare with, and what compares.
  [
    'var assert = { deepEqual() {} }; function require() { return assert; } function f(a) { return a; }',
    0,
    'gives [1,2], not [2,4]',
  ],
  ['function test() {} function f(a) { return a; }', 0, 'gives [1,2], not [2,4]'],
  [
    'function f(a) { a.constructor.prototype.map = () => 1; JSON.stringify = () => ""; return a; }',
    0,
    'gives [1,2], not [2,4]',
  ],
  [
    'function f(a) { a.constructor.prototype.join = a.constructor.prototype.toJSON = () => ""; return a; }',
    0,
    'gives [1,2], not [2,4]',
  ],
  [
    'function f(a) { return { toJSON: () => [2, 4], toString: () => "2,4", length: 2, 0: 2, 1: 4 }; }',
    0,
    /^gives \{/,
  ],
  [
    'function f(a) { const g = a.constructor.constructor("return this")(); g.assert = { deepEqual() {} }; g.Error = 0; return a; }',
    0,
    /gives|throws/,
  ],
  [
    'function f(a) { a.constructor.constructor("passed = 99; failure = \\"\\"")(); return a; }',
    0,
    /gives|throws/,
  ],
])('written tests: %s', async (code, passed, failure) => {
  const result = await sandbox({ code, entry: 'f', tests });
  expect(result.tests?.passed).toBe(passed);
  if (typeof failure === 'string') expect(result.tests?.failure).toBe(failure);
  else expect(result.tests?.failure).toMatch(failure);
});

test('a completion cannot read the tests', async () => {
  const spy = `var seen = ''; function f(a) {
    try { seen += f.caller; } catch {} try { seen += arguments.callee.caller; } catch {}
    try { seen += new Error().stack; } catch {}
    try { const g = a.constructor.constructor('return this')(); for (const k of Reflect.ownKeys(g)) seen += String(k) + String(g[k]); } catch {}
    return seen.includes('2' + ', 4') ? [2,4] : seen.includes('candi' + 'date') ? ['seen'] : a; }`;
  expect((await sandbox({ code: spy, entry: 'f', tests })).tests?.failure).toBe(
    'gives [1,2], not [2,4]',
  );
});

test('tests that assert nothing are not passed', async () => {
  expect((await sandbox({ code: add.code, entry: 'f', tests: 'f(1, 2);' })).tests).toEqual({
    passed: 0,
    failure: 'nothing was asserted',
  });
});

test('console.assert and === of HumanEval-X', async () => {
  const tests =
    'const testF = () => { console.assert(f(1, 2) === 3); console.assert(JSON.stringify([f(2, 2)]) === JSON.stringify([4])) }; testF()';
  expect((await sandbox({ ...add, tests, calls: undefined })).tests).toEqual({
    passed: 2,
    failure: '',
  });
});

test('the same work ends at the same place, whatever the machine does', async () => {
  const code =
    'let n = 0; function f() { try { for (;;) n++; } catch {} } function g() { return n; }';
  const count = async () =>
    (await sandbox({ code: `${code}; function h() { f(); }`, entry: 'h', calls: ['[]'] })).calls;
  expect(await count()).toEqual(await count());
  expect(await count()).toEqual([{ error: 'ran too long' }]);
});

test('results of many kinds have one text each', async () => {
  const values = [
    '1',
    '-0',
    '0.1+0.2',
    'NaN',
    '-Infinity',
    '"a\\n"',
    'null',
    'undefined',
    'true',
    '10n',
    '[1,[2]]',
    '({b:1,a:[]})',
    'new Set([1])',
    'new Map([[1,2]])',
  ];
  const results = await Promise.all(
    values.map((value) => sandbox({ code: `() => (${value})`, entry: null, calls: ['[]'] })),
  );
  const texts = results.map(({ calls, error }) =>
    calls && 'value' in calls[0] ? calls[0].value : error,
  );
  const here = [
    1,
    -0,
    0.1 + 0.2,
    Number.NaN,
    -Infinity,
    'a\n',
    null,
    undefined,
    true,
    10n,
    [1, [2]],
    { b: 1, a: [] },
    new Set([1]),
    new Map([[1, 2]]),
  ];
  expect(texts).toEqual(here.map((value) => canonical(value)));
});
