/**
 * @file The whole contract between Reckoner and a device.
 *
 * Everything above this file (operations, models, trainers) works with handles. Data may live in a WebAssembly memory, in
 * JavaScript arrays or in a GPU's buffers; nobody but the backend looks. Methods enqueue work and return at once; the only
 * ways to see data are `read` and `sync`, and both are awaited. So a WebGPU backend can implement this interface without a
 * change to any model or trainer.
 *
 * Conventions, everywhere:
 * - Outputs come first. An output never overlaps an input unless the method says so.
 * - A tensor is row-major. A matrix view may have a `rowStride` larger than its row length (a column slice of a wider
 *   matrix); methods accept strided views exactly where they say "strided". Everything else must be contiguous.
 * - "rows" of a tensor are all its dimensions but the last, flattened.
 * - `accumulate: true` adds to what the output holds; `false` overwrites it (the output may be uninitialised).
 * - Any dimension may be 0; the call then does nothing, except that a non-accumulating output is still defined (zeros for
 *   a product over an empty inner dimension).
 * - The same call on the same bits gives the same bits.
 *
 * Memory is a stack, not a heap: `allocate` moves its top, `release(mark())` moves it back. A stage marks the stack, puts its
 * gradients and caches on it, and each step marks it again for activations. Memory does not grow from step to step.
 */

/** `bf16` tensors are frozen weights: they may live outside the device's working memory and are read by `matmul` alone. */
export type DType = 'f32' | 'i32' | 'bf16';

/**
 * `local`: this rank's own. `shared`: one copy that every rank of a data-parallel group sees; every rank must make the same
 * sequence of shared allocations and releases. With one rank the two are alike.
 */
export type Placement = 'local' | 'shared';

/** A handle to numbers on a device. Make views with `Backend.view`, `columns` and `rows`. */
export interface Tensor {
  readonly dtype: DType;
  /** Row-major dimensions. */
  readonly shape: readonly number[];
  /** Elements from the start of one row to the next; equals the last dimension when contiguous. */
  readonly rowStride: number;
  readonly placement: Placement;
  /** The backend's own business: a byte address, a buffer and an offset, an array. */
  readonly storage: unknown;
}

/** A position of both stacks, from `mark`. */
export type Mark = { readonly local: number; readonly shared: number };

export type HostArray = Float32Array | Float64Array | Int32Array;

export interface MatmulOptions {
  /** Multiply by aᵀ (a is stored [inner, rows]). */
  transposeA?: boolean;
  /** Multiply by bᵀ (b is stored [columns, inner]). */
  transposeB?: boolean;
  accumulate?: boolean;
  /** Scales the product (not what is accumulated to). Default 1. */
  alpha?: number;
}

/**
 * Grouped matmul (mixture of experts): rows offsets[g] … offsets[g+1] of a matrix belong to group g.
 * - `forward`: out[rows of g] = a[rows of g] · b[g]ᵀ,   a [N, K], b [G, M, K], out [N, M]
 * - `input`:   out[rows of g] = a[rows of g] · b[g],    a [N, M], b [G, M, K], out [N, K]
 * - `weight`:  out[g] = a[rows of g]ᵀ · b[rows of g],   a [N, M], b [N, K],    out [G, M, K]
 */
export type GroupedKind = 'forward' | 'input' | 'weight';

export interface AttentionOptions {
  /** Query heads; `kvHeads` divides it (grouped-query attention). */
  heads: number;
  kvHeads: number;
  /** Multiplies the scores before the softmax, usually 1/√headDim. */
  scale: number;
}

/** Where each active sequence's past keys and values lie: a shared prefix (its prompt) and its own continuation. */
export interface CachedAttentionTables {
  /** i32 [B]: first row of the prefix in the cache. */
  prefixStart: Tensor;
  /** i32 [B]: rows in the prefix. */
  prefixLength: Tensor;
  /** i32 [B]: first row of the sequence's own part in the cache. */
  ownStart: Tensor;
  /** i32 [B]: rows in the own part, the current token included. */
  ownLength: Tensor;
}

export interface PolicyLossOptions {
  /** The ratio is clipped to [1 − clipLow, 1 + clipHigh]. */
  clipLow: number;
  clipHigh: number;
  /** Weight β of the k3 estimate of KL(policy ‖ reference); 0 switches it off. */
  klCoefficient: number;
}

/** Values of `policyLoss`'s metrics tensor, in order; all are sums over tokens, weighted as said. */
export const POLICY_METRICS = ['loss', 'clippedTokens', 'klWeighted', 'tokens', 'absoluteLogRatio'] as const;

export interface AdamWOptions {
  lr: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** 1 at the first update. */
  step: number;
}

export interface MemoryUse {
  localBytes: number;
  /** Largest `localBytes` since the backend was made. */
  localHighWaterBytes: number;
  sharedBytes: number;
  sharedHighWaterBytes: number;
}

/** The ranks of a data-parallel group, all running the same program. */
export interface Ranks {
  readonly rank: number;
  readonly worldSize: number;
  /** Waits until every rank has come here. @throws UserError when another rank has failed. */
  barrier(): Promise<void>;
  /** Every rank gives `values` (equally many, at most 1024); every rank gets their sums, added in rank order (float64). */
  sum(values: readonly number[]): Promise<number[]>;
  /**
   * Adds one tensor over all ranks: `tensor` must be the same local allocation in every rank. After the call this rank's
   * copy holds the sum, added in rank order. The caller puts a `barrier` before (all ranks have written) and one after
   * (before anyone overwrites); different ranks may reduce different tensors or rows at the same time.
   */
  reduce(tensor: Tensor): void;
}

export interface Backend {
  readonly name: string;
  /** What results rest on, for the snapshot: backend, kernel build, matrix-product library and version. */
  readonly fingerprint: string;
  readonly ranks: Ranks;

  // ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Uninitialised. @throws UserError (state) when memory is exhausted; the message says how much was asked for. */
  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement?: Placement): Tensor;
  mark(): Mark;
  /** Frees everything allocated since `mark`. */
  release(mark: Mark): void;
  memory(): MemoryUse;
  /** A frozen BF16 matrix, kept outside the working memory. `bits` [rows, columns] is not copied and must not change. */
  freeze(bits: Uint16Array, shape: readonly [number, number]): Tensor;
  /** Another shape over the same numbers, starting `offset` elements in. `rowStride` defaults to the last dimension. */
  view(tensor: Tensor, offset: number, shape: readonly number[], rowStride?: number): Tensor;
  /** Copies host data into the start of a contiguous tensor. */
  write(tensor: Tensor, data: HostArray | readonly number[]): void;
  /** A copy of a contiguous tensor's numbers. The only way to see them. */
  read(tensor: Tensor): Promise<HostArray>;
  /** Waits until everything enqueued is done. */
  sync(): Promise<void>;
  /** Releases workers, buffers and libraries. */
  close(): Promise<void>;

  // ── elementwise ───────────────────────────────────────────────────────────────────────────────────────────────────
  fill(out: Tensor, value: number): void;
  /** out = a; both strided, same rows and columns. */
  copy(out: Tensor, a: Tensor): void;
  /** out = a + b; contiguous; `out` may be `a` or `b`. */
  add(out: Tensor, a: Tensor, b: Tensor): void;
  /** out = scale·a, or out += scale·a when accumulating; both strided. `out` may be `a`. */
  scale(out: Tensor, a: Tensor, scale: number, accumulate: boolean): void;
  /** out = a · s[0] with a scalar that stays on the device, s f32 [1]; contiguous; `out` may be `a`. */
  scaleBy(out: Tensor, a: Tensor, s: Tensor): void;

  // ── matrix products ───────────────────────────────────────────────────────────────────────────────────────────────
  /** out [M, N] = op(a) · op(b); all strided; `b` may be a frozen bf16 matrix. */
  matmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void;
  /** out [B, M, N] = op(a[i]) · op(b[i]) for every i; contiguous. */
  batchedMatmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void;
  /** See `GroupedKind`. offsets i32 [G + 1], ascending, offsets[0] = 0, offsets[G] = N. Contiguous. */
  groupedMatmul(out: Tensor, a: Tensor, b: Tensor, offsets: Tensor, kind: GroupedKind, accumulate: boolean): void;

  // ── the decoder's operations ──────────────────────────────────────────────────────────────────────────────────────
  /**
   * Root-mean-square norm (Zhang and Sennrich 2019) over blocks of weight's length d: x and out [N, H·d] (strided), weight
   * [d], inverseRms [N, H]. H = 1 is the usual norm; H = heads is the norm of each head of queries or keys.
   */
  rmsNorm(out: Tensor, inverseRms: Tensor, x: Tensor, weight: Tensor, epsilon: number): void;
  /** dx (strided), dWeight [d] from dOut (contiguous). `null` for a derivative that nobody wants. */
  rmsNormBackward(
    dx: Tensor | null,
    dWeight: Tensor | null,
    dOut: Tensor,
    x: Tensor,
    weight: Tensor,
    inverseRms: Tensor,
    accumulate: { dx: boolean; dWeight: boolean },
  ): void;
  /**
   * Rotary position embedding (Su et al. 2021), rotate-half form of Hugging Face's Llama: in each head's d numbers, entry i
   * is paired with i + d/2. x and out [N, H·d] (strided), positions i32 [N], cosine and sine [positions, d/2]. `inverse`
   * rotates back, which is the derivative.
   */
  rope(
    out: Tensor,
    x: Tensor,
    positions: Tensor,
    cosine: Tensor,
    sine: Tensor,
    options: { inverse: boolean; accumulate: boolean },
  ): void;
  /** out [N, F] = silu(gate) · up with gateUp [N, 2F] = [gate | up] (Shazeer 2020). Contiguous. */
  swiglu(out: Tensor, gateUp: Tensor): void;
  swigluBackward(dGateUp: Tensor, dOut: Tensor, gateUp: Tensor, accumulate: boolean): void;
  /** out [N, D] = table[ids], ids i32 [N]. Out-of-range ids are the caller's fault and checked on the host. */
  embedding(out: Tensor, table: Tensor, ids: Tensor): void;
  /** dTable[ids[n]] += dOut[n], in the order of n; not accumulating zeroes dTable first. */
  embeddingBackward(dTable: Tensor, dOut: Tensor, ids: Tensor, accumulate: boolean): void;
  /** out[n] = a[rows[n]]; a [M, D], rows i32 [N]. */
  gatherRows(out: Tensor, a: Tensor, rows: Tensor): void;
  /** out[rows[n]] = a[n] (or +=); a (strided) [N, D], out [M, D]; rows are distinct. Untouched rows of `out` stay. */
  scatterRows(out: Tensor, a: Tensor, rows: Tensor, accumulate: boolean): void;
  /**
   * Causal attention over packed sequences: rows segments[s] … segments[s+1] are sequence s (i32 [S + 1], segments[0] = 0,
   * segments[S] = N). q [N, heads·dk], k [N, kvHeads·dk], v [N, kvHeads·dv], all strided; out [N, heads·dv];
   * logSumExp [N, heads] is kept for the derivative, which recomputes the probabilities (Dao et al. 2022).
   */
  attention(out: Tensor, logSumExp: Tensor, q: Tensor, k: Tensor, v: Tensor, segments: Tensor, options: AttentionOptions): void;
  /** dq, dk, dv (strided, like q, k, v). */
  attentionBackward(
    d: { q: Tensor; k: Tensor; v: Tensor },
    dOut: Tensor,
    out: Tensor,
    logSumExp: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    options: AttentionOptions,
    accumulate: { q: boolean; k: boolean; v: boolean },
  ): void;
  /**
   * One new token a sequence against cached keys and values: q and out [B, heads·d…], keys [R, kvHeads·dk], values
   * [R, kvHeads·dv]. Sequence b attends to rows prefixStart[b] … + prefixLength[b] and ownStart[b] … + ownLength[b].
   */
  attentionCached(
    out: Tensor,
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: CachedAttentionTables,
    options: AttentionOptions,
  ): void;

  // ── the vocabulary ────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * logProbabilities[n] = log softmax(hidden[n] · headᵀ / temperature)[targets[n]], and the entropy of that distribution
   * (nats). hidden [N, D], head [V, D], targets i32 [N], outputs [N]. The logits [N, V] are never materialised as a
   * whole: rows go in chunks. `logSumExp` [N] is kept for the derivative.
   */
  tokenLogProbabilities(
    logProbabilities: Tensor,
    entropy: Tensor,
    logSumExp: Tensor,
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    temperature: number,
  ): void;
  /** Derivatives from dLogProbabilities [N] (the entropy has none). `null` for a derivative that nobody wants. */
  tokenLogProbabilitiesBackward(
    dHidden: Tensor | null,
    dHead: Tensor | null,
    dLogProbabilities: Tensor,
    logSumExp: Tensor,
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    temperature: number,
    accumulate: { dHidden: boolean; dHead: boolean },
  ): void;
  /**
   * Draws one token a row by inverting the cumulative softmax of logits [B, V] / temperature at uniforms [B] (in [0, 1)):
   * the first token whose cumulative probability exceeds the uniform. Temperature 0 takes the first largest logit.
   * ids i32 [B]; logProbabilities [B] under the same tempered distribution (under temperature 1 when temperature is 0).
   */
  sample(ids: Tensor, logProbabilities: Tensor, logits: Tensor, uniforms: Tensor, temperature: number): void;

  // ── losses: value and derivative with respect to log-probabilities ────────────────────────────────────────────────
  /** loss[0] = −Σ weights·logProbabilities; dLogProbabilities = −weights. All [N], loss [1]. */
  crossEntropyLoss(dLogProbabilities: Tensor, loss: Tensor, logProbabilities: Tensor, weights: Tensor): void;
  /**
   * The clipped policy-gradient loss (PPO, Schulman et al. 2017; GRPO, Shao et al. 2024), a token at a time, ρ = exp(new −
   * old): loss = Σ weights · (−min(ρ·A, clip(ρ)·A) + β·k3), k3 = exp(ref − new) − (ref − new) − 1. All inputs [N];
   * `reference` may be null when β is 0. metrics [POLICY_METRICS.length]: the loss; the number of tokens where the clipped
   * branch was taken and differs; Σ weights·k3; N; Σ |new − old|.
   */
  policyLoss(
    dLogProbabilities: Tensor,
    metrics: Tensor,
    logProbabilities: Tensor,
    old: Tensor,
    reference: Tensor | null,
    advantages: Tensor,
    weights: Tensor,
    options: PolicyLossOptions,
  ): void;

  // ── optimizers ────────────────────────────────────────────────────────────────────────────────────────────────────
  /** out[0] = Σ x² (or +=), accumulated in float64 where the device has it. Contiguous. */
  sumSquares(out: Tensor, x: Tensor, accumulate: boolean): void;
  /** out[0] = min(1, maxNorm / (√Σ sumSquares + 1e-6)) over sumSquares [W]; NaN stays NaN. maxNorm Infinity gives 1. */
  clipScale(out: Tensor, sumSquares: Tensor, maxNorm: number): void;
  /** out[0] = 1 / (√sumSquares[0] + epsilon). */
  inverseNorm(out: Tensor, sumSquares: Tensor, epsilon: number): void;
  /**
   * AdamW (Loshchilov and Hutter 2019), in place, on gradient · gradientScale[0]; all contiguous and of one length.
   */
  adamw(
    parameter: Tensor,
    firstMoment: Tensor,
    secondMoment: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: AdamWOptions,
  ): void;
}

/** The number of elements. */
export function sizeOf(tensor: { readonly shape: readonly number[] }): number {
  let size = 1;
  for (const dimension of tensor.shape) size *= dimension;
  return size;
}

/** Rows and columns of a tensor seen as a matrix: all dimensions but the last, and the last. */
export function matrixOf(tensor: Tensor): { rows: number; columns: number } {
  const columns = tensor.shape.length === 0 ? 1 : tensor.shape[tensor.shape.length - 1];
  let rows = 1;
  for (let i = 0; i < tensor.shape.length - 1; i++) rows *= tensor.shape[i];
  return { rows, columns };
}

/** True when rows follow each other without a gap. */
export function isContiguous(tensor: Tensor): boolean {
  const { rows, columns } = matrixOf(tensor);
  return tensor.rowStride === columns || rows <= 1;
}

/** Columns [from, to) of a matrix, as a strided view. */
export function columns(backend: Backend, tensor: Tensor, from: number, to: number): Tensor {
  return backend.view(tensor, from, [matrixOf(tensor).rows, to - from], tensor.rowStride);
}

/** Rows [from, to) of a matrix, as a view. */
export function rows(backend: Backend, tensor: Tensor, from: number, to: number): Tensor {
  return backend.view(tensor, from * tensor.rowStride, [to - from, matrixOf(tensor).columns], tensor.rowStride);
}
