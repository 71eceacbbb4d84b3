/**
 * @file What a replica serves: tokens a second, time to the first token (TTFT) and time per output
 * token (TPOT).
 *
 * In-flight batching in the steady state. `batch` sequences decode together; each step, `batch /
 * output` of them end and as many prompts are processed, which delays the others. So with d the
 * time of a decoding step and p that of a prompt
 *
 *     TPOT = d(batch) + (batch − 1) / output × p            (a request does not wait for its own prompt twice)
 *     requests a second = concurrency / (TTFT + output × TPOT)     (Little's law, every user asking again at once)
 *
 * Without a stated concurrency the batch is what the cache's memory holds, and throughput is the
 * highest. A request that finds the memory full waits, in TTFT. Disaggregated serving (DistServe,
 * arXiv:2401.09670; Splitwise, arXiv:2311.18677) puts prompts and decoding on accelerators of their
 * own, in the ratio that keeps both busy.
 */
import type { ServingCalibration } from './calibration.js';
import { replicaSize } from './layout.js';
import { cacheMemory, type Lengths } from './memory.js';
import { type Deployment, type PassSeconds, passSeconds } from './step.js';

/** Tokens of prompts that engines process in one pass of a copy. */
const PREFILL_TOKENS = 8192;

export interface ServingOptions {
  calibration: ServingCalibration;
  /** Requests in the system, over the replica; null: as many as give the highest throughput. */
  concurrency: number | null;
  /** Sequences that an engine decodes at most, for each copy of attention. */
  maxBatch: number;
}

export interface Served {
  /** Sequences decoding at once, over the replica, and what bounds them. */
  batch: number;
  boundBy: 'concurrency' | 'memory' | 'engine';
  /** Seconds. */
  ttftSeconds: number;
  tpotSeconds: number;
  latencySeconds: number;
  /** A second, over the replica. */
  requestsPerSecond: number;
  outputTokensPerSecond: number;
  /** Of prompts: what is computed, and what a cache of earlier prompts held. */
  inputTokensPerSecond: number;
  cachedTokensPerSecond: number;
  /** A second, of one user after the first token. */
  tokensPerSecondPerUser: number;
  /** Share of the accelerators' time that goes to prompts. */
  prefillShare: number;
  /** Of the time for prompts, the share in which they attend to what was cached. */
  cachedShare: number;
  step: PassSeconds;
}

/**
 * Seconds that one prompt takes of the replica, and that it waits for its own pass, when `together`
 * are processed at once.
 * @param input tokens that are computed
 * @param cached tokens before them whose cache is there already
 */
export function promptSeconds(
  served: Deployment,
  input: number,
  together: number,
  calibration: ServingCalibration,
  cached = 0,
) {
  const lanes = served.layout.dataAttention * served.layout.pipeline;
  const perLane = Math.max(1, Math.min(together / lanes, PREFILL_TOKENS / Math.max(1, input)));
  const requests = perLane * lanes;
  // A long prompt goes through in chunks, each reading what came before.
  const pass = passSeconds(
    served,
    { tokens: requests * input, sequences: requests, context: cached, prompt: input },
    calibration,
  );
  return {
    pass: pass.total,
    each: pass.total / Math.min(requests, Math.max(1, together)),
    attention: pass.attention,
  };
}

/**
 * The steady state of a replica that takes whole requests. The batch may be fractional: it is a
 * mean.
 */
export function serve(
  served: Deployment,
  lengths: Lengths,
  options: ServingOptions,
): Served | { fault: string } {
  const { calibration, concurrency } = options;
  const { input, output } = lengths;
  const memory = cacheMemory(served, lengths, calibration);
  if (memory.cacheBytes === 0)
    return {
      fault: `weights of ${gigabytes(memory.weightBytes)} GB an accelerator leave no memory for the cache`,
    };
  if (memory.sequences < 1)
    return { fault: `the cache holds ${Math.floor(memory.tokens)} tokens, fewer than one request` };
  const engine = options.maxBatch * served.layout.dataAttention * served.layout.pipeline;
  const room = Math.min(memory.sequences, engine);
  const batch = Math.min(concurrency ?? Number.POSITIVE_INFINITY, room);
  const boundBy =
    concurrency !== null && concurrency <= room
      ? 'concurrency'
      : memory.sequences <= engine
        ? 'memory'
        : 'engine';
  const saturated = boundBy !== 'concurrency';

  const cached = Math.min(lengths.cached ?? 0, input - 1);
  const fresh = input - cached;
  const together = saturated ? batch : batch / 8;
  const prompt = promptSeconds(served, fresh, together, calibration, cached);
  const alone = cached > 0 ? promptSeconds(served, fresh, together, calibration) : prompt;
  const own = calibration.requestSeconds + prompt.pass;
  let decoding = batch;
  let step = decodeStep(served, lengths, decoding, calibration);
  let tpot = step.total;
  let ttft = own;
  // Requests whose prompt is still processed do not decode: a few rounds settle how many.
  for (let round = 0; round < 4; round++) {
    const others = Math.max(0, batch - 1) / Math.max(1, output);
    tpot = step.total + others * prompt.each;
    ttft = own + (batch > 1 ? tpot / 2 : 0);
    const share = (output * tpot) / (output * tpot + ttft);
    decoding = Math.max(Math.min(1, batch), batch * share);
    step = decodeStep(served, lengths, decoding, calibration);
  }
  const efficiency = saturated ? calibration.schedulingEfficiency : 1;
  const service = ttft + Math.max(0, output - 1) * tpot;
  const requestsPerSecond = (batch / service) * efficiency;
  const waiting =
    concurrency === null ? 0 : Math.max(0, concurrency / requestsPerSecond - service / efficiency);
  ttft += waiting;
  return {
    batch,
    boundBy,
    ttftSeconds: ttft,
    tpotSeconds: tpot,
    latencySeconds: ttft + Math.max(0, output - 1) * tpot,
    requestsPerSecond,
    outputTokensPerSecond: requestsPerSecond * output,
    inputTokensPerSecond: requestsPerSecond * fresh,
    cachedTokensPerSecond: requestsPerSecond * cached,
    tokensPerSecondPerUser: 1 / tpot,
    prefillShare: Math.min(1, requestsPerSecond * prompt.each),
    cachedShare: (prompt.attention - alone.attention) / prompt.pass,
    step,
  };
}

function decodeStep(
  served: Deployment,
  { input, output }: Lengths,
  batch: number,
  calibration: ServingCalibration,
): PassSeconds {
  return passSeconds(
    served,
    { tokens: batch, sequences: batch, context: input + output / 2, prompt: 0 },
    calibration,
  );
}

export interface PromptPool {
  /** A second, over the replica. */
  inputTokensPerSecond: number;
  /** Of a prompt that does not wait. */
  ttftSeconds: number;
}

/** Prompts alone (a prefill pool), as many together as a pass takes. */
export function servePrompts(
  served: Deployment,
  input: number,
  calibration: ServingCalibration,
): PromptPool | { fault: string } {
  const memory = cacheMemory(served, { input, output: 0 }, calibration);
  if (memory.sequences < 1)
    return {
      fault: `the memory holds ${Math.floor(memory.tokens)} tokens beside the weights, no prompt`,
    };
  const { pass, each } = promptSeconds(served, input, Number.MAX_SAFE_INTEGER, calibration);
  return {
    inputTokensPerSecond: (input / each) * calibration.schedulingEfficiency,
    ttftSeconds: pass + calibration.requestSeconds,
  };
}

export interface DecodingPool {
  /** Sequences over the replica. */
  batch: number;
  step: PassSeconds;
  tpotSeconds: number;
  outputTokensPerSecond: number;
}

/** Decoding alone (a decoding pool). */
export function serveDecoding(
  served: Deployment,
  lengths: Lengths,
  options: ServingOptions,
): DecodingPool | { fault: string } {
  const memory = cacheMemory(served, lengths, options.calibration);
  if (memory.sequences < 1)
    return {
      fault: `the memory holds ${Math.floor(memory.tokens)} tokens beside the weights, no request`,
    };
  const engine = options.maxBatch * served.layout.dataAttention * served.layout.pipeline;
  const batch = Math.min(options.concurrency ?? Number.POSITIVE_INFINITY, memory.sequences, engine);
  const step = decodeStep(served, lengths, batch, options.calibration);
  const efficiency = batch === options.concurrency ? 1 : options.calibration.schedulingEfficiency;
  return {
    batch,
    step,
    tpotSeconds: step.total,
    outputTokensPerSecond: (batch / step.total) * efficiency,
  };
}

export interface Disaggregated {
  /** Of the accelerators, the share that processes prompts. */
  prefillShare: number;
  outputTokensPerSecondPerAccelerator: number;
  inputTokensPerSecondPerAccelerator: number;
  ttftSeconds: number;
  tpotSeconds: number;
  batch: number;
}

/**
 * Two pools in the ratio that keeps both busy. Moving the cache between them is overlapped and not
 * counted.
 */
export function serveDisaggregated(
  prefill: Deployment,
  decode: Deployment,
  lengths: Lengths,
  options: ServingOptions,
): Disaggregated | { fault: string } {
  const prompts = servePrompts(prefill, lengths.input, options.calibration);
  if ('fault' in prompts) return { fault: `prefill: ${prompts.fault}` };
  const decoding = serveDecoding(decode, lengths, options);
  if ('fault' in decoding) return { fault: `decode: ${decoding.fault}` };
  const prefillEach = lengths.input / (prompts.inputTokensPerSecond / replicaSize(prefill.layout));
  const decodeEach = lengths.output / (decoding.outputTokensPerSecond / replicaSize(decode.layout));
  const requests = 1 / (prefillEach + decodeEach);
  return {
    prefillShare: prefillEach * requests,
    outputTokensPerSecondPerAccelerator: requests * lengths.output,
    inputTokensPerSecondPerAccelerator: requests * lengths.input,
    ttftSeconds: prompts.ttftSeconds,
    tpotSeconds: decoding.tpotSeconds,
    batch: decoding.batch,
  };
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}
