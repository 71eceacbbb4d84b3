/**
 * @file The suite itself is put to the test: a backend with one defect must be caught by the
 * operation's problems.
 */
import { describe, expect, it } from 'vitest';
import { type Backend, rows, type Tensor } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { composeMuon } from '../operations/muon.js';
import { disagreement, judge } from './agree.js';
import { operationCases } from './cases/index.js';
import { Draw, type Problem } from './problem.js';

/** A defect: given a correct backend, the methods that are wrong. */
type Defect = (right: Backend) => Partial<Backend>;

const defects: [operation: string, what: string, defect: Defect][] = [
  [
    'matmul',
    'ignores accumulate',
    (r) => ({ matmul: (o, a, b, x) => r.matmul(o, a, b, { ...x, accumulate: false }) }),
  ],
  [
    'matmul',
    'is 0.1% off',
    (r) => ({
      matmul: (o, a, b, x) => r.matmul(o, a, b, { ...x, alpha: 1.001 * (x?.alpha ?? 1) }),
    }),
  ],
  [
    'matmul',
    'leaves an empty inner dimension unwritten',
    (r) => ({ matmul: (o, a, b, x) => a.shape.includes(0) || r.matmul(o, a, b, x) }),
  ],
  [
    'matmul, frozen bf16',
    'confuses transposes',
    (r) => ({
      matmul: (o, a, b, x) =>
        r.matmul(o, a, b, { ...x, transposeA: x?.transposeA, transposeB: !x?.transposeB }),
    }),
  ],
  [
    'copy',
    'copies as if contiguous',
    (r) => ({ copy: (o, a) => r.copy({ ...o, rowStride: o.shape[1] }, a) }),
  ],
  [
    'scale',
    'forgets the last row',
    (r) => ({ scale: (o, a, s, acc) => r.scale(allButLast(r, o), allButLast(r, a), s, acc) }),
  ],
  [
    'rmsNorm and its derivative',
    'uses ε = 0',
    (r) => ({ rmsNorm: (o, i, x, w) => r.rmsNorm(o, i, x, w, 0) }),
  ],
  [
    'rope',
    'turns the wrong way',
    (r) => ({ rope: (o, x, p, c, s, f) => r.rope(o, x, p, c, s, { ...f, inverse: !f.inverse }) }),
  ],
  [
    'embedding and its derivative',
    'adds to what was there',
    (r) => ({ embeddingBackward: (d, g, ids) => r.embeddingBackward(d, g, ids, true) }),
  ],
  [
    'attention and its derivative',
    'is 0.1% off in scale',
    (r) => ({
      attention: (o, l, q, k, v, s, f) =>
        r.attention(o, l, q, k, v, s, { ...f, scale: 1.001 * f.scale }),
    }),
  ],
  [
    'attentionCached',
    'forgets the prefix',
    (r) => ({
      attentionCached: (o, q, k, v, t, f) =>
        r.attentionCached(o, q, k, v, { ...t, prefixLength: zeros(r, t.prefixLength.shape) }, f),
    }),
  ],
  [
    'rope',
    'pairs halves',
    (r) => ({ rope: (o, x, p, c, s, f) => r.rope(o, x, p, c, s, { ...f, interleaved: false }) }),
  ],
  [
    'joinHeads and its derivative',
    'overwrites the shared part',
    (r) => ({
      joinHeadsBackward: (u, s, k, v, h, a) =>
        r.joinHeadsBackward(u, s, k, v, h, { ...a, dShared: false }),
    }),
  ],
  [
    'route',
    'forgets the groups',
    (r) => ({
      route: (e, w, s, l, b, o) => r.route(e, w, s, l, b, { ...o, groups: 1, topGroups: 1 }),
    }),
  ],
  [
    'route',
    'weighs by the biased scores',
    (r) => ({ route: (e, w, s, l, _, o) => r.route(e, w, s, l, zeroFloats(r, _.shape), o) }),
  ],
  [
    'routeBackward and balanceLoss',
    'takes the batch for one sequence',
    (r) => ({
      balanceLoss: (d, l, s, e, g, c) => r.balanceLoss(d, l, s, e, ends(r, s.shape[0], g), c),
    }),
  ],
  [
    'sortByExpert',
    'counts no load',
    (r) => ({ sortByExpert: (o, t, s, _, e) => r.sortByExpert(o, t, s, null, e) }),
  ],
  [
    'combineRows and its derivative',
    'ignores weights',
    (r) => ({ combineRows: (o, y, s, _, a) => r.combineRows(o, y, s, null, a) }),
  ],
  [
    'quantizeFp8',
    'has one scale a row',
    (r) => ({ quantizeFp8: (o, a) => r.quantizeFp8(o, a, { rows: 1, columns: a.shape[1] }) }),
  ],
  [
    'tokenLogProbabilities and its derivative',
    'ignores the temperature',
    (r) => ({
      tokenLogProbabilities: (p, e, l, h, w, t) => r.tokenLogProbabilities(p, e, l, h, w, t, 1),
    }),
  ],
  [
    'sample',
    'ignores the temperature',
    (r) => ({ sample: (i, p, z, u) => r.sample(i, p, z, u, 1) }),
  ],
  [
    'policyLoss',
    'clips symmetrically',
    (r) => ({
      policyLoss: (d, m, p, o, f, a, w, x) =>
        r.policyLoss(d, m, p, o, f, a, w, { ...x, clipHigh: x.clipLow }),
    }),
  ],
  [
    'adamw',
    'is one step ahead',
    (r) => ({ adamw: (p, m, v, g, s, x) => r.adamw(p, m, v, g, s, { ...x, step: x.step + 1 }) }),
  ],
  [
    'muon',
    'takes the norm for its inverse',
    (r) => {
      const wrong: Backend = { ...r, inverseNorm: (o, s) => r.sumSquares(o, s, false) };
      return { muon: (p, m, g, scale, options) => composeMuon(wrong, p, m, g, scale, options) };
    },
  ],
];

const allButLast = (backend: Backend, tensor: Tensor): Tensor =>
  rows(backend, tensor, 0, Math.max(0, tensor.shape[0] - 1));

function zeros(backend: Backend, shape: readonly number[]): Tensor {
  const made = backend.allocate('i32', shape);
  backend.fill(made, 0);
  return made;
}

function zeroFloats(backend: Backend, shape: readonly number[]): Tensor {
  const made = backend.allocate('f32', shape);
  backend.fill(made, 0);
  return made;
}

/** Segments of one sequence of `rows` rows, as many as there were. */
function ends(backend: Backend, rows: number, like: Tensor): Tensor {
  const made = backend.allocate('i32', like.shape);
  backend.write(made, [0, ...new Array<number>(like.shape[0] - 1).fill(rows)]);
  return made;
}

function drawn(name: string, index: number): Problem {
  const operation = operationCases.find((one) => one.name === name);
  if (!operation) throw new Error(`there is no operation ${name}`);
  return operation.draw(new Draw(name, index, 'large'));
}

describe('a defect is caught:', () => {
  for (const [name, what, defect] of defects) {
    it(`${name}: ${what}`, async () => {
      const right = createReferenceBackend();
      const wrong = { ...right, ...defect(right) };
      let caught = 0;
      for (let index = 0; index < 12; index++) {
        const problem = drawn(name, index);
        const found = await disagreement(problem, wrong, await judge(problem)).catch(
          (error: Error) => error.message,
        );
        if (found) caught++;
      }
      expect(caught).toBeGreaterThan(0);
    });
  }
});

it('draws an empty batch first and size 1 next', () => {
  expect(drawn('matmul', 0).inputs.before.shape[0]).toBe(0);
  expect(drawn('matmul', 1).inputs.before.shape).toEqual([1, 1]);
});
