/**
 * @file What `reckoner eval` shows: a bar while it works, and the report for people.
 */
import {
  formatAbout,
  formatCount,
  formatDuration,
  formatNumber,
  formatShare,
  formatUsd,
} from '../base/text/index.js';
import { usdOf } from '../evaluation/price.js';
import type { Progress } from '../evaluation/run.js';
import type { Estimate } from '../evaluation/statistics.js';
import type { Transcript, TranscriptHeader } from '../evaluation/transcripts.js';
import type { EvalDocument } from './documents.js';
import { forTerminal, type Style } from './output.js';

const BAR = 24;

/**
 * `━━━━━━──────── 512/4,000 · 62.1% right · $0.0012 · 2 min left`. @param seconds since `first`
 * completions were there
 */
export function progressLine(
  transcripts: readonly Transcript[],
  total: number,
  pricing: TranscriptHeader['pricing'],
  seconds: number,
  first: number,
): string {
  const done = transcripts.length;
  const filled = Math.round((BAR * done) / Math.max(1, total));
  const right = transcripts.filter(({ correct }) => correct).length;
  let usd: number | null = 0;
  for (const transcript of transcripts) {
    const own = usdOf(transcript, pricing);
    usd = usd === null || own === null ? null : usd + own;
  }
  const parts = [
    `${'━'.repeat(filled)}${'─'.repeat(BAR - filled)} ${formatCount(done)}/${formatCount(total)}`,
  ];
  if (done > 0) parts.push(`${formatShare(right / done)} right`);
  if (usd !== null && usd > 0) parts.push(formatUsd(usd));
  if (done > first) parts.push(`${formatAbout(((total - done) * seconds) / (done - first))} left`);
  return parts.join(' · ');
}

/** In place on a terminal, a line every few seconds elsewhere. */
export function createEvalProgress(
  stream: NodeJS.WriteStream,
  { pricing }: TranscriptHeader,
): Progress & { say(line: string): void; done(): void } {
  const live = stream.isTTY === true;
  const safe = (line: string): string => forTerminal(line, stream);
  const start = performance.now();
  let lastAt = start;
  let first: number | null = null;
  return {
    show(transcripts, total) {
      first ??= transcripts.length;
      const now = performance.now();
      if (now - lastAt < (live ? 100 : 5000)) return;
      lastAt = now;
      const text = safe(progressLine(transcripts, total, pricing, (now - start) / 1000, first));
      stream.write(live ? `\r\x1b[K${text.slice(0, (stream.columns ?? 80) - 1)}` : `${text}\n`);
    },
    say(line) {
      stream.write(live ? `\r\x1b[K${safe(line)}\n` : `${safe(line)}\n`);
    },
    done() {
      if (live) stream.write('\r\x1b[K');
    },
  };
}

/** The document for people. */
export function renderEvaluation(document: EvalDocument, style: Style): string {
  const { pass1, majority, greedy, samples, problems, length, stopReasons, tokens } = document;
  const range = ({ low, high }: Estimate): string =>
    style.dim(`95%: ${formatShare(low)} – ${formatShare(high)}`);
  const interval = (estimate: Estimate): string =>
    `${style.bold(formatShare(estimate.mean).padStart(6))}  ${range(estimate)}`;
  const rows: [name: string, text: string][] = [];
  rows.push([
    'pass@1',
    `${interval(pass1)}${style.dim(`, mean of ${samples} at temperature ${document.temperature}`)}`,
  ]);
  for (const { k, ...estimate } of document.passAtK)
    if (k > 1) rows.push([`pass@${k}`, interval(estimate)]);
  if (samples > 2) rows.push([`majority of ${samples}`, interval(majority)]);
  if (greedy !== null) rows.push(['greedy', interval(greedy)]);
  rows.push([
    'right form',
    `${formatShare(document.format.mean).padStart(6)}  ${range(document.format)}`,
  ]);
  const cut = `${formatShare(stopReasons.length)} cut off`;
  const refused = stopReasons.refused > 0 ? `, ${formatShare(stopReasons.refused)} refused` : '';
  const mean =
    length === null
      ? 'not said by the endpoint'
      : `${formatNumber(length.mean).padStart(6)} tokens (${formatNumber(length.low)} – ${formatNumber(length.high)})`;
  rows.push(['length', `${mean}, ${cut}${refused}`]);
  for (const { part, pass1: own } of document.parts) rows.push([`  ${part}`, interval(own)]);
  if (tokens !== null) {
    const cached = tokens.cached > 0 ? ` (${formatCount(tokens.cached)} from the cache)` : '';
    const took = `${formatDuration(document.seconds)}${document.endpoint === null ? '' : ' of requests'}`;
    rows.push([
      'tokens',
      `${formatCount(tokens.prompt)} read${cached}, ${formatCount(tokens.completion)} written in ${took}`,
    ]);
  }
  const each = document.usdPerCorrectAnswer;
  const unknown = 'not known; say what tokens cost with --usd-per-mtok';
  rows.push([
    'cost',
    document.usd === null
      ? unknown
      : `${formatUsd(document.usd)}${each === null ? '' : `, ${formatUsd(each)} per correct answer`}`,
  ]);
  if (document.pricing !== null) {
    const { source, date } = document.pricing;
    rows.push(['prices', style.dim(`${source}${date === null ? '' : ` (${date})`}`)]);
  }
  rows.push(['transcripts', document.transcripts]);
  const { have, of } = document.answers;
  if (document.stopped !== null) {
    rows.push([
      'stopped',
      `at --max-usd with ${formatCount(have)} of ${formatCount(of)} answers; with more, the same command goes on`,
    ]);
  }
  const title = `${style.bold(document.model)} on ${formatCount(problems)} unseen problems of ${style.bold(document.task)}, seed ${document.seed}`;
  return [title, ...rows.map(([name, text]) => `  ${name.padEnd(15)} ${text}`)].join('\n');
}
