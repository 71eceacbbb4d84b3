/**
 * @file The optimizer step of a data-parallel group: reduce, clip, update, each rank its share.
 *
 * Hidden matrices go to a rule of the table (optimizers/), everything else (adapters too) to AdamW.
 * State is sharded (ZeRO stage 1, Rajbhandari et al. 2020): each rank
 * adds up the gradients of the parameters it owns, in rank order, updates them, and writes the new
 * weights into the one shared copy. Matrices are owned whole where the rule needs the whole;
 * any other range is cut evenly.
 */
import { z } from 'zod';
import { rowOf } from '../base/rows.js';
import type { Parameter, ParameterStore } from '../models/index.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import { adamw } from './optimizers/adamw.js';
import { optimizers } from './optimizers/index.js';
import { muon } from './optimizers/muon.js';
import type { UpdateRule } from './optimizers/rule.js';

export const optimizerSchema = z
  .strictObject({
    /** What trains the hidden matrices. */
    matrices: rowOf(optimizers).default('muon'),
    ...adamw.options,
    ...muon.options,
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

/** Parameters of one rule, and those of them that this rank owns. */
interface Group {
  readonly rule: UpdateRule;
  readonly state: readonly { name: string; tensor: Tensor }[];
  /** From where in the flat parameters its state counts. */
  readonly from: number;
  /** What this rank reduces, from the start of the flat parameters. */
  readonly owned: readonly { offset: number; size: number }[];
  /** What one call updates. */
  readonly calls: readonly { offset: number; shape: readonly number[] }[];
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
  const { gradients } = store;
  if (!gradients) throw new Error('attach gradients before making an optimizer');

  /** `rule` for the parameters [from, from + size); matrices are owned whole, ranges cut evenly. */
  const groupOf = (name: string, from: number, size: number): Group => {
    const rule = optimizers[name];
    const state = rule.state.map((part) => ({
      name: `${name}.${part}`,
      tensor: backend.allocate('f32', [size], 'shared'),
    }));
    if (rule.unit === 'matrix') {
      const matrices = store.parameters.filter((p) => p.spec.role === 'matrix');
      const cost = ({ spec: { shape }, size: own }: Parameter) =>
        rule.cost?.(shape[0], shape[1]) ?? own;
      const owned = assign(matrices, worldSize, cost)[rank];
      return { rule, state, from, owned, calls: stacksOf(owned) };
    }
    // Cut at multiples of 16 to keep it aligned.
    const cut = (r: number): number =>
      r === worldSize ? size : Math.floor((size * r) / worldSize / 16) * 16;
    const share = cut(rank + 1) - cut(rank);
    const offset = from + cut(rank);
    return {
      rule,
      state,
      from,
      owned: [{ offset, size: share }],
      calls: [{ offset, shape: [share] }],
    };
  };
  const apart = spec.matrices !== 'adamw' && store.matrixSize > 0;
  const rest = apart ? store.matrixSize : 0;
  const groups = [groupOf('adamw', rest, store.trainableSize - rest)];
  if (apart) groups.push(groupOf(spec.matrices, 0, store.matrixSize));
  const squares = backend.allocate('f32', [worldSize], 'shared');
  const clipScale = backend.allocate('f32', [1]);
  const state = groups.flatMap((group) => group.state);
  if (rank === 0) for (const { tensor } of state) backend.fill({ out: tensor, value: 0 });

  async function update(multiplier: number, step: number): Promise<Tensor> {
    const flat = gradients as Tensor;
    store.completeGradients();
    await ranks.barrier();
    const owned = groups
      .flatMap((group) => group.owned)
      .map(({ offset, size }) => backend.view(flat, offset, [size]));
    for (const gradient of owned) ranks.reduce(gradient);
    const mine = backend.view(squares, rank, [1]);
    for (const [i, x] of owned.entries()) backend.sumSquares({ out: mine, x, accumulate: i > 0 });
    await ranks.barrier();
    backend.clipScale({ out: clipScale, sumSquares: squares, maxNorm: spec.clip });
    for (const { rule, state: own, from, calls } of groups) {
      for (const { offset, shape } of calls) {
        const parameters = {
          parameter: backend.view(store.flat, offset, shape),
          gradient: backend.view(flat, offset, shape),
          gradientScale: clipScale,
          state: own.map(({ tensor }) => backend.view(tensor, offset - from, shape)),
        };
        rule.update(backend, parameters, spec, { multiplier, step });
      }
    }
    await ranks.barrier();
    return squares;
  }

  return { state, update };
}
