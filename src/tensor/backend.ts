/**
 * @file The whole contract between Reckoner and a device.
 *
 * Everything above this file (operations, models, trainers) works with handles. Data may live in a
 * WebAssembly memory, in JavaScript arrays or in a GPU's buffers; nobody but the backend looks.
 * Methods enqueue work and return at once; the only ways to see data are `read` and `sync`, and
 * both are awaited. So a WebGPU backend can implement this interface without a change to any model
 * or trainer.
 *
 * Conventions, everywhere:
 * - Outputs come first. An output never overlaps an input unless the method says so.
 * - A tensor is row-major. A matrix view may have a `rowStride` larger than its row length (a
 *   column slice of a wider matrix); methods accept strided views exactly where they say "strided".
 *   Everything else must be contiguous.
 * - "rows" of a tensor are all its dimensions but the last, flattened.
 * - `accumulate: true` adds to what the output holds; `false` overwrites it (the output may be
 *   uninitialised).
 * - Any dimension may be 0; the call then does nothing, except that a non-accumulating output is
 *   still defined (zeros for a product over an empty inner dimension).
 * - The same call on the same bits gives the same bits.
 *
 * Memory is a stack, not a heap: `allocate` moves its top, `release(mark())` moves it back. A stage
 * marks the stack, puts its gradients and caches on it, and each step marks it again for
 * activations. Memory does not grow from step to step.
 */

/**
 * `bf16` tensors are frozen weights: they may live outside the device's working memory. They are
 * read as `b` by `matmul`, as the table by `embedding` and as the head by `tokenLogProbabilities`
 * and its derivative (which then has no `dHead`); nothing else takes them.
 */
export type DType = 'f32' | 'i32' | 'bf16';

/**
 * `local`: this rank's own. `shared`: one copy that every rank of a data-parallel group sees; every
 * rank must make the same sequence of shared allocations and releases. With one rank the two are
 * alike.
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
 * Grouped matmul (mixture of experts): rows offsets[g] … offsets[g+1] of a matrix belong to group
 * g.
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

/** How tokens are sent to experts: DeepSeek-V3's gate (arXiv:2412.19437, equations 12–16). */
export interface RouteOptions {
  /**
   * Groups of equally many experts; a token uses experts of `topGroups` of them. 1 and 1: any
   * expert.
   */
  groups: number;
  topGroups: number;
  /** Divides a token's weights by their sum. */
  normalize: boolean;
  /** Multiplies the weights. */
  scale: number;
}

/**
 * Where each active sequence's past keys and values lie: a shared prefix (its prompt) and its own
 * continuation.
 */
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

/**
 * Values of `policyLoss`'s metrics tensor, in order; all are sums over tokens, weighted as said.
 */
export const POLICY_METRICS = [
  'loss',
  'clippedTokens',
  'klWeighted',
  'tokens',
  'absoluteLogRatio',
] as const;

export interface AdamWOptions {
  lr: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** 1 at the first update. */
  step: number;
}

export interface MuonOptions {
  lr: number;
  /** Momentum, usually 0.95. */
  beta: number;
  /** Decoupled: the parameter shrinks by lr · weightDecay. */
  weightDecay: number;
  /** Looks one momentum step ahead. Default true. */
  nesterov?: boolean;
  /** Newton–Schulz iterations. Default 5. */
  iterations?: number;
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
  /**
   * Every rank gives `values` (equally many, at most 1024); every rank gets their sums, added in
   * rank order (float64).
   */
  sum(values: readonly number[]): Promise<number[]>;
  /**
   * Adds one tensor over all ranks: `tensor` must be the same local allocation in every rank. After
   * the call this rank's copy holds the sum, added in rank order. The caller puts a `barrier`
   * before (all ranks have written) and one after (before anyone overwrites); different ranks may
   * reduce different tensors or rows at the same time.
   */
  reduce(tensor: Tensor): void;
}

export interface Backend {
  readonly name: string;
  /**
   * What results rest on, for the snapshot: backend, kernel build, matrix-product library and
   * version.
   */
  readonly fingerprint: string;
  /** The host's own processor does the work; false where it waits for a device that does. */
  readonly onHost: boolean;
  readonly ranks: Ranks;

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────
  /**
   * Uninitialised. @throws UserError (state) when memory is exhausted; the message says how much
   * was asked for.
   */
  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement?: Placement): Tensor;
  mark(): Mark;
  /** Frees everything allocated since `mark`. */
  release(mark: Mark): void;
  memory(): MemoryUse;
  /**
   * A frozen BF16 matrix, kept outside the working memory. `bits` [rows, columns] is not copied and
   * must not change.
   */
  freeze(bits: Uint16Array, shape: readonly [number, number]): Tensor;
  /**
   * Another shape over the same numbers, starting `offset` elements in. `rowStride` defaults to the
   * last dimension.
   */
  view(tensor: Tensor, offset: number, shape: readonly number[], rowStride?: number): Tensor;
  /** Copies host data into the start of a contiguous tensor. */
  write(tensor: Tensor, data: HostArray | readonly number[]): void;
  /** A copy of a contiguous tensor's numbers. The only way to see them. */
  read(tensor: Tensor): Promise<HostArray>;
  /** Waits until everything enqueued is done. */
  sync(): Promise<void>;
  /** Releases workers, buffers and libraries. */
  close(): Promise<void>;

  // ── elementwise ────────────────────────────────────────────────────────────────────────────────
  fill(out: Tensor, value: number): void;
  /** out = a; both strided, same rows and columns. */
  copy(out: Tensor, a: Tensor): void;
  /** out = a + b; contiguous; `out` may be `a` or `b`. */
  add(out: Tensor, a: Tensor, b: Tensor): void;
  /** out = scale·a, or out += scale·a when accumulating; both strided. `out` may be `a`. */
  scale(out: Tensor, a: Tensor, scale: number, accumulate: boolean): void;
  /**
   * out = a · s[0] with a scalar that stays on the device, s f32 [1]; contiguous; `out` may be `a`.
   */
  scaleBy(out: Tensor, a: Tensor, s: Tensor): void;

  // ── matrix products ────────────────────────────────────────────────────────────────────────────
  /**
   * From now on a row of a product depends, to the last bit, on that row of `a` and on `b` alone,
   * not on how many rows there are. Slower; for what must come out the same whatever else is in a
   * batch. A backend without the method has it always.
   */
  independentRows?(on: boolean): void;
  /** out [M, N] = op(a) · op(b); all strided; `b` may be a frozen bf16 matrix. */
  matmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void;
  /** out [B, M, N] = op(a[i]) · op(b[i]) for every i; contiguous. */
  batchedMatmul(out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions): void;
  /**
   * See `GroupedKind`. offsets i32 [G + 1], ascending, offsets[0] = 0, offsets[G] = N. Contiguous.
   */
  groupedMatmul(
    out: Tensor,
    a: Tensor,
    b: Tensor,
    offsets: Tensor,
    kind: GroupedKind,
    accumulate: boolean,
  ): void;

  // ── the decoder's operations ───────────────────────────────────────────────────────────────────
  /**
   * Root-mean-square norm (Zhang and Sennrich 2019) over blocks of weight's length d: x and out [N,
   * H·d] (strided), weight [d], inverseRms [N, H]. H = 1 is the usual norm; H = heads is the norm
   * of each head of queries or keys.
   */
  rmsNorm(out: Tensor, inverseRms: Tensor, x: Tensor, weight: Tensor, epsilon: number): void;
  /**
   * dx (strided), dWeight [d] from dOut (contiguous). `null` for a derivative that nobody wants.
   */
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
   * Rotary position embedding (Su et al. 2021). In each head's d numbers, entry i is paired with i
   * + d/2 (the rotate-half form of Hugging Face's Llama) or, `interleaved`, entry 2i with 2i + 1
   * (the paper's, and DeepSeek's); results lie where their entries lay. x and out [N·R, H·d]
   * (strided), positions i32 [N]: R ≥ 1 rows after each other share a position. cosine and sine
   * [positions, d/2]. `inverse` rotates back, which is the derivative. `out` may be `x`.
   */
  rope(
    out: Tensor,
    x: Tensor,
    positions: Tensor,
    cosine: Tensor,
    sine: Tensor,
    options: { inverse: boolean; accumulate: boolean; interleaved?: boolean },
  ): void;
  /** out [N, F] = silu(gate) · up with gateUp [N, 2F] = [gate | up] (Shazeer 2020). Contiguous. */
  swiglu(out: Tensor, gateUp: Tensor): void;
  swigluBackward(dGateUp: Tensor, dOut: Tensor, gateUp: Tensor, accumulate: boolean): void;
  /**
   * out [N, D] = table[ids], ids i32 [N]. Out-of-range ids are the caller's fault and checked on
   * the host.
   */
  embedding(out: Tensor, table: Tensor, ids: Tensor): void;
  /** dTable[ids[n]] += dOut[n], in the order of n; not accumulating zeroes dTable first. */
  embeddingBackward(dTable: Tensor, dOut: Tensor, ids: Tensor, accumulate: boolean): void;
  /** out[n] = a[rows[n]]; a [M, D], rows i32 [N]. */
  gatherRows(out: Tensor, a: Tensor, rows: Tensor): void;
  /**
   * out[rows[n]] = a[n] (or +=); a (strided) [N, D], out [M, D]; rows are distinct. Untouched rows
   * of `out` stay.
   */
  scatterRows(out: Tensor, a: Tensor, rows: Tensor, accumulate: boolean): void;
  /**
   * Causal attention over packed sequences: rows segments[s] … segments[s+1] are sequence s (i32 [S
   * + 1], segments[0] = 0, segments[S] = N). q [N, heads·dk], k [N, kvHeads·dk], v [N, kvHeads·dv],
   * all strided; out [N, heads·dv]; logSumExp [N, heads] is kept for the derivative, which
   * recomputes the probabilities (Dao et al. 2022).
   */
  attention(
    out: Tensor,
    logSumExp: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Tensor,
    options: AttentionOptions,
  ): void;
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
   * One new token a sequence against cached keys and values: q and out [B, heads·d…], keys [R,
   * kvHeads·dk], values [R, kvHeads·dv], all strided (latent attention's values are the first
   * columns of its keys). Sequence b attends to rows prefixStart[b] … + prefixLength[b] and
   * ownStart[b] … + ownLength[b].
   */
  attentionCached(
    out: Tensor,
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: CachedAttentionTables,
    options: AttentionOptions,
  ): void;

  // ── latent attention and the mixture of experts ────────────────────────────────────────────────
  /**
   * The keys and values of latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): of each
   * of H heads, `up` [N, H·(dn + dv)] holds a key without position and a value; `shared` [N, dr]
   * (strided) is the positional part of every head's key. k [N, H·(dn + dr)] = [up's key | shared]
   * a head, v [N, H·dv]. All but `shared` are contiguous.
   */
  joinHeads(k: Tensor, v: Tensor, up: Tensor, shared: Tensor, heads: number): void;
  /** dUp, and dShared (strided), summed over heads in their order. */
  joinHeadsBackward(
    dUp: Tensor,
    dShared: Tensor,
    dk: Tensor,
    dv: Tensor,
    heads: number,
    accumulate: { dUp: boolean; dShared: boolean },
  ): void;
  /**
   * The gate: scores [N, E] = σ(logits). A token's K experts are those with the largest scores +
   * bias (bias f32 [E]) among the
   * `topGroups` groups whose two largest biased scores have the largest sums (the largest alone,
   * where a group is one expert); the larger first, equals by index. weights [N, K] are the scores
   * of those experts, normalised and scaled as the options say (sums + 1e-20, as the released code
   * has it). experts i32 [N, K]. Contiguous.
   */
  route(
    experts: Tensor,
    weights: Tensor,
    scores: Tensor,
    logits: Tensor,
    bias: Tensor,
    options: RouteOptions,
  ): void;
  /**
   * dLogits [N, E] from dWeights [N, K]; logits of experts that were not taken get 0. The choice
   * has no derivative.
   */
  routeBackward(
    dLogits: Tensor,
    dWeights: Tensor,
    experts: Tensor,
    scores: Tensor,
    options: RouteOptions,
    accumulate: boolean,
  ): void;
  /**
   * The complementary sequence-wise balance loss (arXiv:2412.19437, equations 17–20), value and
   * derivative at once, both added: for each sequence of T rows (segments as for attention),
   * loss[0] += coefficient·T·Σ f·P over experts e, where f = E/(K·T)·(rows that took e) and P =
   * mean over the sequence of e's share score/Σ scores; dLogits += its derivative (f has none). So
   * coefficient is per token.
   */
  balanceLoss(
    dLogits: Tensor,
    loss: Tensor,
    scores: Tensor,
    experts: Tensor,
    segments: Tensor,
    coefficient: number,
  ): void;
  /**
   * A stable counting sort of the N·K choices by expert. offsets i32 [E + 1]: rows offsets[e] …
   * offsets[e + 1] of the sorted order are expert e's; tokens i32 [N·K]: the row n that each sorted
   * row comes from; slots i32 [N, K]: the sorted row of each choice. load f32 [E] (may be null): +=
   * the number of choices of each expert.
   */
  sortByExpert(
    offsets: Tensor,
    tokens: Tensor,
    slots: Tensor,
    load: Tensor | null,
    experts: Tensor,
  ): void;
  /**
   * out[n] = Σ_k weights[n, k] · y[slots[n, k]] (or +=); weights null: 1. y [R, D], slots i32 [N,
   * K], out [N, D]. Contiguous.
   */
  combineRows(
    out: Tensor,
    y: Tensor,
    slots: Tensor,
    weights: Tensor | null,
    accumulate: boolean,
  ): void;
  /**
   * dY[slots[n, k]] = weights[n, k]·dOut[n], all of dY, since slots are a permutation of its rows;
   * dWeights[n, k] = dOut[n]·y[slots[n, k]].
   */
  combineRowsBackward(
    dY: Tensor,
    dWeights: Tensor,
    dOut: Tensor,
    y: Tensor,
    slots: Tensor,
    weights: Tensor,
  ): void;
  /**
   * FP8 training's quantisation, emulated (arXiv:2412.19437, section 3.3): in blocks of rows ×
   * columns (at the edges smaller) numbers are divided by the block's largest absolute value / 448,
   * rounded to the nearest E4M3 number (ties to even, subnormals kept), and multiplied back. A
   * block of zeros stays. a and out [N, D], contiguous; `out` may be `a`.
   */
  quantizeFp8(out: Tensor, a: Tensor, block: { rows: number; columns: number }): void;

  // ── the vocabulary ─────────────────────────────────────────────────────────────────────────────
  /**
   * logProbabilities[n] = log softmax(hidden[n] · headᵀ / temperature)[targets[n]], and the entropy
   * of that distribution (nats). hidden [N, D], head [V, D], targets i32 [N], outputs [N]. The
   * logits [N, V] are never materialised as a whole: rows go in chunks. `logSumExp` [N] is kept for
   * the derivative.
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
  /**
   * Derivatives from dLogProbabilities [N] (the entropy has none). `null` for a derivative that
   * nobody wants.
   */
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
   * Draws one token a row by inverting the cumulative softmax of logits [B, V] / temperature at
   * uniforms [B] (in [0, 1)): the first token whose cumulative probability exceeds the uniform.
   * Temperature 0 takes the first largest logit. ids i32 [B]; logProbabilities [B] under the same
   * tempered distribution (under temperature 1 when temperature is 0).
   */
  sample(
    ids: Tensor,
    logProbabilities: Tensor,
    logits: Tensor,
    uniforms: Tensor,
    temperature: number,
  ): void;

  // ── losses: value and derivative with respect to log-probabilities ─────────────────────────────
  /** loss[0] = −Σ weights·logProbabilities; dLogProbabilities = −weights. All [N], loss [1]. */
  crossEntropyLoss(
    dLogProbabilities: Tensor,
    loss: Tensor,
    logProbabilities: Tensor,
    weights: Tensor,
  ): void;
  /**
   * The clipped policy-gradient loss (PPO, Schulman et al. 2017; GRPO, Shao et al. 2024), a token
   * at a time, ρ = exp(new − old): loss = Σ weights · (−min(ρ·A, clip(ρ)·A) + β·k3), k3 = exp(ref −
   * new) − (ref − new) − 1. All inputs [N];
   * `reference` may be null when β is 0. metrics [POLICY_METRICS.length]: the loss; the number of
   * tokens where the clipped branch was taken and differs; Σ weights·k3; N; Σ |new − old|.
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

  // ── optimizers ─────────────────────────────────────────────────────────────────────────────────
  /** out[0] = Σ x² (or +=), accumulated in float64 where the device has it. Contiguous. */
  sumSquares(out: Tensor, x: Tensor, accumulate: boolean): void;
  /**
   * out[0] = min(1, maxNorm / (√Σ sumSquares + 1e-6)) over sumSquares [W]; NaN stays NaN. maxNorm
   * Infinity gives 1.
   */
  clipScale(out: Tensor, sumSquares: Tensor, maxNorm: number): void;
  /** out[0] = 1 / (√sumSquares[0] + epsilon). */
  inverseNorm(out: Tensor, sumSquares: Tensor, epsilon: number): void;
  /**
   * AdamW (Loshchilov and Hutter 2019), in place, on gradient · gradientScale[0]; all contiguous
   * and of one length.
   */
  adamw(
    parameter: Tensor,
    firstMoment: Tensor,
    secondMoment: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: AdamWOptions,
  ): void;
  /**
   * Muon (operations/muon.ts), in place, on gradient · gradientScale[0]: of a matrix [rows,
   * columns], or of each matrix of a stack [G, rows, columns]; all contiguous. The momentum is
   * zeros before the first update.
   */
  muon(
    parameter: Tensor,
    momentum: Tensor,
    gradient: Tensor,
    gradientScale: Tensor,
    options: MuonOptions,
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
  return backend.view(
    tensor,
    from * tensor.rowStride,
    [to - from, matrixOf(tensor).columns],
    tensor.rowStride,
  );
}
