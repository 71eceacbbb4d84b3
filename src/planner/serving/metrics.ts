/**
 * @file The names and units of published serving figures.
 *
 * Sources spell the same quantity differently (`mean_tpot`, `itl_ms`, `inter_token_latency`), and
 * one name may count output tokens, input tokens or both, for an accelerator, a node or a machine.
 * A name is read into what it measures; what it leaves open stays open.
 */

export type Kind =
  | 'throughput'
  | 'requests'
  | 'tpot'
  | 'ttft'
  | 'latency'
  | 'user'
  | 'power'
  | 'cost';
export type Counted = 'output' | 'input' | 'total';
/** What a metric's name says. */
export interface Metric {
  kind: Kind;
  /** Which tokens a throughput or a cost counts; `phase`: those that the row's phase makes. */
  tokens: Counted | 'phase';
  per: 'gpu' | 'node' | 'total';
  /** From a metric's own name (`tpot_conc4`). */
  concurrency: number | null;
}

const COUNTED: Readonly<Record<string, Counted>> = {
  output: 'output',
  generation: 'output',
  generated: 'output',
  decode: 'output',
  input: 'input',
  prompt: 'input',
  prefill: 'input',
  total: 'total',
};
const WORD = '(?:(output|generation|generated|decode|input|prompt|prefill|total)_)?';
const MEAN = '(?:(?:mean|median|avg|average|p50)_)?';
const AFTER = '(?:_(?:mean|median|avg|p50|ms|s))*';
const FIGURES: readonly {
  pattern: RegExp;
  kind: Kind;
  per?: Metric['per'];
  tokens?: Metric['tokens'];
}[] = [
  {
    pattern: new RegExp(
      `^${WORD}(?:tokens|throughput)_per_s(?:ec)?_per_(?:gpu|device|accelerator|chip)$`,
    ),
    kind: 'throughput',
  },
  {
    pattern: new RegExp(`^${WORD}(?:tokens)_per_s(?:ec)?_per_(?:node|server)$`),
    kind: 'throughput',
    per: 'node',
  },
  {
    pattern: new RegExp(`^${WORD}(?:tokens)_per_s(?:ec)?(?:_total)?$`),
    kind: 'throughput',
    per: 'total',
  },
  {
    pattern: /^(?:requests|samples|queries)_per_s(?:ec)?(?:_total)?$/,
    kind: 'requests',
    per: 'total',
  },
  { pattern: /^(?:requests|samples|queries)_per_s(?:ec)?_per_(?:gpu|device)$/, kind: 'requests' },
  { pattern: /^(?:output_)?tokens_per_s(?:ec)?_per_user$|^interactivity$/, kind: 'user' },
  {
    pattern: new RegExp(`^${MEAN}(?:tpot|itl|time_per_output_token|inter_token_latency)${AFTER}$`),
    kind: 'tpot',
  },
  { pattern: new RegExp(`^${MEAN}(?:ttft|time_to_first_token)${AFTER}$`), kind: 'ttft' },
  {
    pattern: new RegExp(`^${MEAN}(?:latency|e2e|e2el|(?:e2e|end_to_end|request)_latency)${AFTER}$`),
    kind: 'latency',
  },
  { pattern: new RegExp(`^${WORD}tokens_per_s_per_(?:provisioned_)?mw$`), kind: 'power' },
  { pattern: new RegExp(`^cost_per_m(?:illion)?_${WORD}tokens$`), kind: 'cost', tokens: 'total' },
];

/** @returns null for what is no speed, latency or cost of serving */
export function metricOf(name: string): Metric | null {
  const suffix = /_conc(\d+)$/.exec(name);
  const concurrency = suffix === null ? null : Number(suffix[1]);
  const base = (suffix === null ? name : name.slice(0, suffix.index)).toLowerCase();
  for (const { pattern, kind, per = 'gpu', tokens = 'phase' } of FIGURES) {
    const found = pattern.exec(base);
    if (found !== null)
      return { kind, per, tokens: COUNTED[found[1] ?? ''] ?? tokens, concurrency };
  }
  return null;
}

/**
 * What a value in SI (seconds, tokens a second, dollars a million tokens) is multiplied by; null
 * for an unknown unit.
 */
export function scaleOf({ kind }: Metric, unit: string): number | null {
  const word = unit.toLowerCase().trim();
  if (kind === 'tpot' || kind === 'ttft' || kind === 'latency') {
    if (/^(ms|milliseconds?)\b/.test(word)) return 1e3;
    if (/^(us|µs|microseconds?)\b/.test(word)) return 1e6;
    return /^(s|sec|seconds?)\b/.test(word) ? 1 : null;
  }
  if (kind === 'cost') return /usd|\$/.test(word) ? (/\/ ?k/.test(word) ? 1e-3 : 1) : null;
  if (kind === 'requests') return 1;
  if (/^k ?tok/.test(word)) return 1e-3;
  return word === '' || /tok/.test(word) ? 1 : null;
}
