import { expect, it } from 'vitest';
import { ParameterStore } from '../models/index.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import {
  createOptimizer,
  gradientNormOf,
  type OptimizerSpec,
  optimizerSchema,
} from './optimizer.js';
import { inRanks } from './testing.js';

const SIZE = 4 * 3 + 2 * 6 + 3 + 5 * 3;

/** Two hidden matrices, a norm and an embedding: 42 numbers in one block, matrices first. */
async function makeStore(backend: Backend): Promise<ParameterStore> {
  const store = new ParameterStore(backend, [
    { name: 'norm', shape: [3], role: 'norm', init: 'ones' },
    { name: 'a', shape: [4, 3], role: 'matrix', init: 0.5 },
    { name: 'embedding', shape: [5, 3], role: 'embedding', init: 0.5 },
    { name: 'b', shape: [2, 6], role: 'matrix', init: 0.5 },
  ]);
  if (backend.ranks.rank === 0) store.initialize(7);
  await backend.ranks.barrier();
  store.attachGradients();
  return store;
}

/**
 * The gradient of update `step`, as rank `rank` of `worldSize` would have it; all ranks' add up to
 * the same.
 */
const gradientAt = (step: number, rank = 0, worldSize = 1): number[] =>
  Array.from({ length: SIZE }, (_, i) => {
    const whole = Math.sin(1 + i * 1.7 + step * 0.9);
    return rank === 0 ? whole - (worldSize - 1) * Math.cos(i) : Math.cos(i);
  });

/**
 * Runs updates with the multipliers given; returns weights after each, gradient norms, and final
 * states.
 */
async function run(
  backend: Backend,
  options: Partial<OptimizerSpec>,
  multipliers: readonly number[],
) {
  const spec = optimizerSchema.parse(options);
  const store = await makeStore(backend);
  const optimizer = createOptimizer(backend, store, spec);
  await backend.ranks.barrier();
  const weights: number[][] = [Array.from(await backend.read(store.flat))];
  const norms: number[] = [];
  const before = backend.memory().localBytes;
  for (const [i, multiplier] of multipliers.entries()) {
    await backend.ranks.barrier();
    store.resetGradients();
    backend.write(
      store.gradients as never,
      gradientAt(i + 1, backend.ranks.rank, backend.ranks.worldSize),
    );
    for (const { spec: parameter } of store.parameters) store.get(parameter.name).written = true;
    norms.push(await gradientNormOf(backend, await optimizer.update(multiplier, i + 1)));
    weights.push(Array.from(await backend.read(store.flat)));
  }
  expect(backend.memory().localBytes).toBe(before);
  return {
    spec,
    weights,
    norms,
    state: optimizer.state.map(({ name, tensor }) => `${name} ${tensor.shape}`),
  };
}

/** AdamW as PyTorch writes it, on plain numbers. */
function adamwByHand(
  start: readonly number[],
  from: number,
  spec: OptimizerSpec,
  multipliers: readonly number[],
): number[][] {
  const w = start.slice(from);
  const m = w.map(() => 0);
  const v = w.map(() => 0);
  return multipliers.map((multiplier, k) => {
    const gradient = gradientAt(k + 1);
    const norm = Math.hypot(...gradient);
    const scale = Math.min(1, spec.clip / (norm + 1e-6));
    const lr = spec.lr * multiplier;
    for (let i = 0; i < w.length; i++) {
      const g = gradient[from + i] * scale;
      m[i] += (1 - spec.beta1) * (g - m[i]);
      v[i] += (1 - spec.beta2) * (g * g - v[i]);
      const mHat = m[i] / (1 - spec.beta1 ** (k + 1));
      const vHat = v[i] / (1 - spec.beta2 ** (k + 1));
      w[i] += -lr * spec.weightDecay * w[i] - (lr * mHat) / (Math.sqrt(vHat) + spec.epsilon);
    }
    return [...w];
  });
}

const closeTo = (
  actual: readonly number[],
  expected: readonly number[],
  tolerance: number,
): void => {
  expect(actual).toHaveLength(expected.length);
  const worst = Math.max(...actual.map((x, i) => Math.abs(x - expected[i])));
  expect(worst).toBeLessThan(tolerance);
};

it('is AdamW on every parameter, clipped to the norm, at the rate of the schedule', async () => {
  const options = { matrices: 'adamw', lr: 0.01, weightDecay: 0.1, clip: 0.7 } as const;
  const multipliers = [0.5, 1, 0.25];
  const { spec, weights, norms, state } = await run(createReferenceBackend(), options, multipliers);
  const expected = adamwByHand(weights[0], 0, spec, multipliers);
  for (let k = 0; k < multipliers.length; k++) {
    closeTo(weights[k + 1], expected[k], 1e-12);
    expect(norms[k]).toBeCloseTo(Math.hypot(...gradientAt(k + 1)), 12);
  }
  expect(norms[0]).toBeGreaterThan(0.7);
  expect(state).toEqual([`adamw.first ${SIZE}`, `adamw.second ${SIZE}`]);
});

it('leaves a gradient below the bound as it is', async () => {
  const [loose, none] = await Promise.all(
    [1e3, 1e9].map((clip) =>
      run(createReferenceBackend(), { matrices: 'adamw', clip, epsilon: 1 }, [1]),
    ),
  );
  closeTo(loose.weights[1], none.weights[1], 1e-12);
});

it('is Muon on the hidden matrices and AdamW on the rest', async () => {
  const options = {
    matrices: 'muon',
    lr: 0.01,
    muonLr: 0.03,
    muonMomentum: 0.9,
    weightDecay: 0.1,
    clip: 0.7,
  } as const;
  const multipliers = [1, 0.5];
  const { spec, weights, state } = await run(createReferenceBackend(), options, multipliers);
  expect(state).toEqual(['adamw.first 18', 'adamw.second 18', 'muon.momentum 24']);
  const adam = adamwByHand(weights[0], 24, spec, multipliers);

  const backend = createReferenceBackend();
  const tensor = (shape: readonly number[], data: readonly number[]) => {
    const made = backend.allocate('f32', shape);
    backend.write(made, data);
    return made;
  };
  const matrices = [
    { from: 0, shape: [4, 3] },
    { from: 12, shape: [2, 6] },
  ].map(({ from, shape }) => ({
    from,
    parameter: tensor(shape, weights[0].slice(from, from + 12)),
    momentum: tensor(shape, new Array(12).fill(0)),
  }));
  for (const [k, multiplier] of multipliers.entries()) {
    const gradient = gradientAt(k + 1);
    const gradientScale = tensor([1], [0.7 / (Math.hypot(...gradient) + 1e-6)]);
    const hidden: number[] = [];
    for (const { from, parameter, momentum } of matrices) {
      const g = tensor(parameter.shape, gradient.slice(from, from + 12));
      const rates = { lr: 0.03 * multiplier, beta: 0.9, weightDecay: 0.1 };
      backend.muon({ parameter, momentum, gradient: g, gradientScale, ...rates });
      hidden.push(...(await backend.read(parameter)));
    }
    closeTo(weights[k + 1], [...hidden, ...adam[k]], 1e-12);
  }
});

it('takes a gradient that nobody wrote for zero', async () => {
  const backend = createReferenceBackend();
  const store = await makeStore(backend);
  const optimizer = createOptimizer(backend, store, optimizerSchema.parse({}));
  const before = await backend.read(store.flat);
  store.resetGradients();
  expect(await gradientNormOf(backend, await optimizer.update(1, 1))).toBe(0);
  expect(await backend.read(store.flat)).toEqual(before);
});

it('gives the same weights on one rank and on three, where the gradients add up to the same', async () => {
  for (const matrices of ['muon', 'adamw'] as const) {
    const [[one], three] = [
      await inRanks(1, (backend) => run(backend, { matrices, clip: 0.7 }, [1, 0.5])),
      await inRanks(3, (backend) => run(backend, { matrices, clip: 0.7 }, [1, 0.5])),
    ];
    for (const rank of three) {
      closeTo(rank.weights[2], one.weights[2], 1e-5);
      closeTo(rank.norms, one.norms, 1e-5);
      expect(rank.weights[2]).toEqual(three[0].weights[2]);
      expect(rank.norms).toEqual(three[0].norms);
    }
  }
});

it('refuses betas that would divide by zero', () => {
  for (const field of ['beta1', 'beta2', 'muonMomentum']) {
    const result = optimizerSchema.safeParse({ [field]: 1 });
    expect(result.error?.issues[0].path).toEqual([field]);
  }
});
