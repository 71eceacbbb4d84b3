/**
 * @file The suite itself is put to the test: a backend with one defect must be caught by the
 * operation's problems.
 */
import { describe, expect, it } from 'vitest';
import { type Backend, rows, type Tensor } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { analyse, compile } from '../operations/check.js';
import type { Declaration } from '../operations/declare.js';
import { OPERATIONS } from '../operations/index.js';
import { disagreement, judge } from './agree.js';
import { operationCases } from './cases/index.js';
import { Draw, type Problem } from './problem.js';

/** A defect: given a correct backend, the methods that are wrong. */
type Defect = (right: Backend) => Partial<Backend>;

const defects: [operation: string, what: string, defect: Defect][] = [
  [
    'matmul',
    'ignores accumulate',
    (r) => ({ matmul: (c) => r.matmul({ ...c, accumulate: false }) }),
  ],
  [
    'matmul',
    'is 0.1% off',
    (r) => ({ matmul: (c) => r.matmul({ ...c, alpha: 1.001 * (c.alpha ?? 1) }) }),
  ],
  [
    'matmul',
    'leaves an empty inner dimension unwritten',
    (r) => ({ matmul: (c) => c.a.shape.includes(0) || r.matmul(c) }),
  ],
  [
    'matmul, frozen',
    'confuses transposes',
    (r) => ({ matmul: (c) => r.matmul({ ...c, transposeB: !c.transposeB }) }),
  ],
  [
    'copy',
    'copies as if contiguous',
    (r) => ({
      copy: ({ out, a }) => r.copy({ out: r.view(out, 0, out.shape, out.shape[1]), a }),
    }),
  ],
  [
    'scale',
    'forgets the last row',
    (r) => ({
      scale: (c) => r.scale({ ...c, out: allButLast(r, c.out), a: allButLast(r, c.a) }),
    }),
  ],
  [
    'rmsNorm and its derivative',
    'uses ε = 0',
    (r) => ({ rmsNorm: (c) => r.rmsNorm({ ...c, epsilon: 0 }) }),
  ],
  ['rope', 'turns the wrong way', (r) => ({ rope: (c) => r.rope({ ...c, inverse: !c.inverse }) })],
  [
    'embedding and its derivative',
    'adds to what was there',
    (r) => ({ embeddingBackward: (c) => r.embeddingBackward({ ...c, accumulate: true }) }),
  ],
  [
    'attention and its derivative',
    'is 0.1% off in scale',
    (r) => ({ attention: (c) => r.attention({ ...c, scale: 1.001 * c.scale }) }),
  ],
  [
    'attention after shared prefixes and its derivative',
    'forgets the prefixes',
    (r) => ({ attention: (c) => r.attention({ ...c, prefixes: null }) }),
  ],
  [
    'balanceLoss after shared prefixes',
    'forgets the prefixes',
    (r) => ({ balanceLoss: (c) => r.balanceLoss({ ...c, prefixes: null }) }),
  ],
  [
    'attentionCached',
    'forgets the prefix',
    (r) => ({
      attentionCached: (c) =>
        r.attentionCached({ ...c, prefixLength: zeros(r, 'i32', c.prefixLength.shape) }),
    }),
  ],
  ['rope', 'pairs halves', (r) => ({ rope: (c) => r.rope({ ...c, interleaved: false }) })],
  [
    'joinHeads and its derivative',
    'overwrites the shared part',
    (r) => ({
      joinHeadsBackward: (c) =>
        r.joinHeadsBackward({ ...c, accumulate: { ...c.accumulate, dShared: false } }),
    }),
  ],
  [
    'route',
    'forgets the groups',
    (r) => ({ route: (c) => r.route({ ...c, groups: 1, topGroups: 1 }) }),
  ],
  [
    'route',
    'weighs by the biased scores',
    (r) => ({ route: (c) => r.route({ ...c, bias: zeros(r, 'f32', c.bias.shape) }) }),
  ],
  [
    'routeBackward and balanceLoss',
    'takes the batch for one sequence',
    (r) => ({
      balanceLoss: (c) => r.balanceLoss({ ...c, segments: ends(r, c.scores.shape[0], c.segments) }),
    }),
  ],
  [
    'sortByExpert',
    'counts no load',
    (r) => ({ sortByExpert: (c) => r.sortByExpert({ ...c, load: null }) }),
  ],
  [
    'combineRows and its derivative',
    'ignores weights',
    (r) => ({ combineRows: (c) => r.combineRows({ ...c, weights: null }) }),
  ],
  [
    'quantizeFp8',
    'has one scale a row',
    (r) => ({
      quantizeFp8: ({ out, a }) =>
        r.quantizeFp8({ out, a, blockRows: 1, blockColumns: a.shape[1] }),
    }),
  ],
  [
    'tokenLogProbabilities and its derivative',
    'ignores the temperature',
    (r) => ({ tokenLogProbabilities: (c) => r.tokenLogProbabilities({ ...c, temperature: 1 }) }),
  ],
  [
    'sample',
    'ignores the temperature',
    (r) => ({ sample: (c) => r.sample({ ...c, temperature: 1 }) }),
  ],
  [
    'policyLoss',
    'clips symmetrically',
    (r) => ({ policyLoss: (c) => r.policyLoss({ ...c, clipHigh: c.clipLow }) }),
  ],
  ['adamw', 'is one step ahead', (r) => ({ adamw: (c) => r.adamw({ ...c, step: c.step + 1 }) })],
  [
    'muon',
    'takes the norm for its inverse',
    (r) => {
      const wrong: Backend = {
        ...r,
        inverseNorm: ({ out, sumSquares }) => r.copy({ out, a: sumSquares }),
      };
      const { muon } = OPERATIONS;
      const check = compile(analyse('muon', muon as unknown as Declaration));
      return { muon: (c) => muon.compose?.(wrong as never, c, check(c as never, null) as never) };
    },
  ],
];

const allButLast = (backend: Backend, tensor: Tensor): Tensor =>
  rows(backend, tensor, 0, Math.max(0, tensor.shape[0] - 1));

function zeros(backend: Backend, dtype: 'f32' | 'i32', shape: readonly number[]): Tensor {
  const out = backend.allocate(dtype, shape);
  backend.fill({ out, value: 0 });
  return out;
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
