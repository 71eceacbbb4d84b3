/**
 * @file The optimizer step of a data-parallel group: reduce, clip, update, each rank its share.
 *
 * Hidden matrices go to Muon (Jordan et al. 2024) or AdamW, everything else (adapters too) to AdamW
 * (Loshchilov and Hutter 2019). State is sharded (ZeRO stage 1, Rajbhandari et al. 2020): each rank
 * adds up the gradients of the parameters it owns, in rank order, updates them, and writes the new
 * weights into the one shared copy. Matrices are owned whole, since Muon needs the whole; AdamW's
 * range is cut evenly.
 */
import { z } from 'zod';
import type { Parameter, ParameterStore } from '../models/index.js';
import type { Backend, Tensor } from '../tensor/backend.js';

export const optimizerSchema = z
  .strictObject({
    /** What trains the hidden matrices. */
    matrices: z.enum(['muon', 'adamw']).default('muon'),
    /** AdamW's learning rate. */
    lr: z.number().positive().default(3e-3),
    /** Muon's learning rate. */
    muonLr: z.number().positive().default(0.02),
    muonMomentum: z.number().min(0).lt(1).default(0.95),
    beta1: z.number().min(0).lt(1).default(0.9),
    beta2: z.number().min(0).lt(1).default(0.95),
    epsilon: z.number().positive().default(1e-8),
    weightDecay: z.number().min(0).default(0),
    /** Largest global gradient norm; larger gradients are scaled down to it. */
    clip: z.number().positive().default(1),
  })
  .prefault({});

export type OptimizerSpec = z.infer<typeof optimizerSchema>;

export interface Optimizer {
  /** State to save, by name; the same order and shapes in every run of the same model. */
  readonly state: { name: string; tensor: Tensor }[];
  /**
   * Ends a step: gradients of all ranks become one update of the shared weights. Returns the device
   * tensor that holds each rank's share of the squared gradient norm, f32 [worldSize]; read it to
   * know the norm.
   *
   * @param multiplier the schedule's value, times every learning rate
   * @param step 1 at the first update of the stage
   */
  update(multiplier: number, step: number): Promise<Tensor>;
}

/** The global gradient norm before clipping, from what `update` returned. */
export async function gradientNormOf(backend: Backend, squares: Tensor): Promise<number> {
  let sum = 0;
  for (const x of await backend.read(squares)) sum += x;
  return Math.sqrt(sum);
}

/**
 * Stacks [G, rows, columns] of matrices of one shape that lie after each other, as experts do: one
 * call updates them all.
 */
function stacksOf(
  matrices: readonly Parameter[],
): { offset: number; shape: [number, number, number] }[] {
  const stacks: { offset: number; shape: [number, number, number] }[] = [];
  for (const { offset, size, spec } of [...matrices].sort((a, b) => a.offset - b.offset)) {
    const [rows, columns] = spec.shape;
    const last = stacks.at(-1);
    const follows =
      last?.shape[1] === rows &&
      last.shape[2] === columns &&
      last.offset + last.shape[0] * size === offset;
    if (last && follows) last.shape[0]++;
    else stacks.push({ offset, shape: [1, rows, columns] });
  }
  return stacks;
}

/** Muon's cost is the Newton–Schulz products': min(r, c)²·max(r, c) for an r × c matrix. */
function muonCost({ spec: { shape } }: Parameter): number {
  return Math.min(shape[0], shape[1]) * shape[0] * shape[1];
}

/** Largest first, each to the rank with the least so far; ties go to the lower rank. */
function assign(
  parameters: readonly Parameter[],
  worldSize: number,
  cost: (p: Parameter) => number,
): Parameter[][] {
  const owned: Parameter[][] = Array.from({ length: worldSize }, () => []);
  const load = new Array<number>(worldSize).fill(0);
  const order = [...parameters].sort((a, b) => cost(b) - cost(a) || a.offset - b.offset);
  for (const parameter of order) {
    const rank = load.indexOf(Math.min(...load));
    owned[rank].push(parameter);
    load[rank] += cost(parameter);
  }
  return owned.map((list) => list.sort((a, b) => a.offset - b.offset));
}

/**
 * Allocates state: shared, zero. Every rank calls it at the same point; gradients must be attached.
 */
export function createOptimizer(
  backend: Backend,
  store: ParameterStore,
  spec: OptimizerSpec,
): Optimizer {
  const { ranks } = backend;
  const { rank, worldSize } = ranks;
  const gradients = store.gradients;
  if (!gradients) throw new Error('attach gradients before making an optimizer');
  const useMuon = spec.matrices === 'muon' && store.matrixSize > 0;
  const adamFrom = useMuon ? store.matrixSize : 0;
  const adamSize = store.trainableSize - adamFrom;

  const momentum = useMuon ? backend.allocate('f32', [store.matrixSize], 'shared') : null;
  const first = backend.allocate('f32', [adamSize], 'shared');
  const second = backend.allocate('f32', [adamSize], 'shared');
  const squares = backend.allocate('f32', [worldSize], 'shared');
  const clipScale = backend.allocate('f32', [1]);
  const state = [
    { name: 'adamw.first', tensor: first },
    { name: 'adamw.second', tensor: second },
    ...(momentum ? [{ name: 'muon.momentum', tensor: momentum }] : []),
  ];
  if (rank === 0) for (const { tensor } of state) backend.fill({ out: tensor, value: 0 });

  // This rank's share: whole matrices, and a slice of AdamW's range (cut at multiples of 16 to keep
  // it aligned).
  const matrices = useMuon
    ? assign(
        store.parameters.filter((p) => p.spec.role === 'matrix'),
        worldSize,
        muonCost,
      )[rank]
    : [];
  const stacks = stacksOf(matrices);
  const cut = (r: number): number =>
    r === worldSize ? adamSize : Math.floor((adamSize * r) / worldSize / 16) * 16;
  const from = cut(rank);
  const share = cut(rank + 1) - from;
  const slice = (tensor: Tensor, offset: number): Tensor => backend.view(tensor, offset, [share]);

  async function update(multiplier: number, step: number): Promise<Tensor> {
    store.completeGradients();
    await ranks.barrier();
    const owned = matrices.map(({ offset, size }) =>
      backend.view(gradients as Tensor, offset, [size]),
    );
    const adamGradient = slice(gradients as Tensor, adamFrom + from);
    for (const gradient of owned) ranks.reduce(gradient);
    ranks.reduce(adamGradient);
    const mine = backend.view(squares, rank, [1]);
    backend.sumSquares({ out: mine, x: adamGradient, accumulate: false });
    for (const gradient of owned) backend.sumSquares({ out: mine, x: gradient, accumulate: true });
    await ranks.barrier();
    backend.clipScale({ out: clipScale, sumSquares: squares, maxNorm: spec.clip });
    for (const { offset, shape } of stacks) {
      const [parameter, moving, gradient] = [
        store.flat,
        momentum as Tensor,
        gradients as Tensor,
      ].map((flat) => backend.view(flat, offset, shape));
      backend.muon({
        parameter,
        momentum: moving,
        gradient,
        gradientScale: clipScale,
        lr: spec.muonLr * multiplier,
        beta: spec.muonMomentum,
        weightDecay: spec.weightDecay,
        nesterov: true,
        iterations: 5,
      });
    }
    backend.adamw({
      parameter: slice(store.flat, adamFrom + from),
      firstMoment: slice(first, from),
      secondMoment: slice(second, from),
      gradient: adamGradient,
      gradientScale: clipScale,
      lr: spec.lr * multiplier,
      beta1: spec.beta1,
      beta2: spec.beta2,
      epsilon: spec.epsilon,
      weightDecay: spec.weightDecay,
      step,
    });
    await ranks.barrier();
    return squares;
  }

  return { state, update };
}
