/**
 * @file Names of metrics in logs of earlier versions, and what they are called now: TRL's names, or
 * verl's where its definition is ours (`kl_loss`).
 */
import type { RunEvent } from './events.js';

const FORMER: Readonly<Record<string, string>> = {
  length: 'completions/mean_length',
  truncated: 'completions/clipped_ratio',
  maxTokens: 'max_completion_length',
  silentGroups: 'frac_reward_zero_std',
  wellFormed: 'well_formed',
  gradientNorm: 'grad_norm',
  learningRate: 'learning_rate',
  clipFraction: 'clip_ratio',
  klWeighted: 'kl_loss',
  policyShift: 'abs_log_ratio',
  sampleMismatch: 'sampling/sampling_logp_difference/mean',
  draftAcceptance: 'draft_acceptance_rate',
  mtpLoss: 'mtp_loss',
  maxVio: 'max_vio',
  balanceLoss: 'balance_loss',
  seconds: 'step_time',
  tokensPerSecond: 'tokens_per_second',
};

/** A layer's own metric has its number after a dot: `maxVio.1`. */
function nameNow(name: string): string {
  const dot = name.indexOf('.');
  const whole = dot < 0 ? name : name.slice(0, dot);
  return Object.hasOwn(FORMER, whole) ? FORMER[whole] + name.slice(whole.length) : name;
}

/** An event of any version's log, with its metrics under the names of this version. */
export function withNamesOfNow<E extends RunEvent>(event: E): E {
  if (event.type !== 'metrics') return event;
  const values: Record<string, number> = {};
  for (const name in event.values) values[nameNow(name)] = event.values[name];
  return { ...event, values };
}
