// What the benchmarks share: what machine this is, medians, Markdown tables, and the models that
// are measured.
import { existsSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Seconds that all cores together have spent working. */
const workSeconds = () =>
  cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) /
  1000;

/**
 * Cores that other programs keep busy, over a second before the start. Speeds measured beside other
 * work are no speeds: a program with two threads suffers more from it than one with one, so even
 * ratios are wrong.
 */
const busyCores = await (async () => {
  const before = workSeconds();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return workSeconds() - before;
})();

/** Every figure is printed with this: a number without its machine says nothing. */
export function machine(command) {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
    memoryGB: Math.round(totalmem() / 1e9),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    busyCores,
    date: new Date().toISOString().slice(0, 10),
    command,
  };
}

/** @param speed false for figures that other work on the machine does not change */
export function describe(about, speed = true) {
  const line =
    `${about.cpu}, ${about.cores} cores, ${about.memoryGB} GB, ${about.platform}; Node ${about.node}; ` +
    `${about.date}; \`${about.command}\``;
  if (!speed || about.busyCores < 0.25) return line;
  return `${line}\n\n**Other programs kept ${about.busyCores.toFixed(1)} cores busy at the start: do not quote these figures.**`;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The functions that print tables and numbers everywhere else, too. */
const text = await import('../dist/base/text/index.js').catch(() => demandBuild());

/** A Markdown table; all but the first column are numbers. */
export function table(header, rows) {
  const cells = rows.map((row) => row.map((cell) => String(cell ?? text.NONE)));
  const right = header.map((_, i) => i > 0);
  return text.markdownTable({ head: header, right, rows: cells }, (cell) => cell);
}

/** 12345.6 → '12,346'. */
export const whole = (x) => (x === null || x === undefined ? null : text.formatCount(x));
export const times = (x) => (x === null || x === undefined ? null : `${x.toFixed(2)}×`);

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/**
 * A Llama decoder as `config.json` writes it: grouped-query attention two to one, hidden width ≈
 * 8/3 in steps of 32.
 */
export function decoder(width, layers, headDim) {
  const heads = width / headDim;
  return {
    model_type: 'llama',
    vocab_size: 256,
    hidden_size: width,
    intermediate_size: Math.ceil((8 * width) / 3 / 32) * 32,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads / 2,
    head_dim: headDim,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    tie_word_embeddings: false,
    initializer_range: 0.02,
  };
}

/** The decoders that are measured, by width. */
export const DECODERS = {
  128: decoder(128, 4, 32),
  256: decoder(256, 6, 32),
  512: decoder(512, 8, 64),
};

/**
 * A DeepSeek-V3 with as many active parameters as the decoder of that width: 3 of 8 experts and a
 * shared one, no prediction of further tokens.
 */
function deepseek(width, layers, rank, latent, head, rope) {
  const { num_attention_heads, intermediate_size, ...dense } = DECODERS[width];
  return {
    ...dense,
    model_type: 'deepseek_v3',
    intermediate_size,
    num_hidden_layers: layers,
    num_attention_heads,
    num_key_value_heads: num_attention_heads,
    head_dim: undefined,
    q_lora_rank: rank,
    kv_lora_rank: latent,
    qk_nope_head_dim: head,
    qk_rope_head_dim: rope,
    v_head_dim: head,
    first_k_dense_replace: 1,
    n_routed_experts: 8,
    num_experts_per_tok: 3,
    n_shared_experts: 1,
    moe_intermediate_size: intermediate_size / 4,
    n_group: 1,
    topk_group: 1,
    routed_scaling_factor: 1,
    norm_topk_prob: true,
    num_nextn_predict_layers: 0,
  };
}
export const V3 = {
  256: deepseek(256, 6, 128, 64, 32, 16),
  512: deepseek(512, 8, 256, 128, 64, 32),
};

/**
 * The Python that has PyTorch: `--python`, or the virtual environment that bench/peers/README.md
 * makes; null when absent.
 */
export function findPython(given) {
  const candidate =
    given ?? process.env.RECKONER_BENCH_PYTHON ?? `${root}bench/peers/.venv/bin/python`;
  return given !== undefined || existsSync(candidate) ? candidate : null;
}

/** Resident size of this process, all its threads included, bytes. */
export const residentBytes = () => process.memoryUsage.rss();

/** Fails early, with what to do, when there is nothing built to measure. */
export function demandBuild() {
  if (existsSync(`${root}dist/tensor/backends/wasm/kernels.wasm`)) return;
  console.error('dist/ is missing; run `npm run build` first');
  process.exit(1);
}
