/**
 * @file What Prometheus may scrape at `/metrics`.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineClient } from './engine-client.js';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface Metrics {
  readonly registry: Registry;
  requests: Counter<'endpoint' | 'status'>;
  requestSeconds: Histogram<'endpoint'>;
  firstTokenSeconds: Histogram<'endpoint'>;
  tokens: Counter<'kind'>;
  usd: Counter;
}

export function createMetrics(engine: EngineClient): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `reckoner_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge(
    'completions_waiting',
    'Completions that wait for a place in the batch.',
    () => engine.stats.waiting,
  );
  gauge('completions_running', 'Completions in the batch.', () => engine.stats.running);
  gauge('completions_outstanding', 'Completions accepted and not ended.', () => engine.outstanding);
  gauge('cache_rows', 'Rows of the key-value cache.', () => engine.stats.cacheRows);
  gauge(
    'cache_rows_busy',
    'Rows of the key-value cache that running completions hold.',
    () => engine.stats.busyRows,
  );
  gauge('engine_steps', 'Passes of the model.', () => engine.stats.steps);
  gauge(
    'engine_rows',
    'Tokens that went through the model, prompts included.',
    () => engine.stats.rows,
  );
  gauge('engine_seconds', 'Seconds of all passes.', () => engine.stats.seconds);
  return {
    registry,
    requests: new Counter({
      name: 'reckoner_requests_total',
      help: 'Answers.',
      labelNames: ['endpoint', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'reckoner_request_seconds',
      help: 'From the request to the end of its answer.',
      labelNames: ['endpoint'],
      buckets: SECONDS,
      registers,
    }),
    firstTokenSeconds: new Histogram({
      name: 'reckoner_first_token_seconds',
      help: 'From the request to the first token.',
      labelNames: ['endpoint'],
      buckets: SECONDS,
      registers,
    }),
    tokens: new Counter({
      name: 'reckoner_tokens_total',
      help: 'Tokens: prompt, cached (part of it), completion.',
      labelNames: ['kind'],
      registers,
    }),
    usd: new Counter({
      name: 'reckoner_usd_total',
      help: 'Dollars that completions cost.',
      registers,
    }),
  };
}
