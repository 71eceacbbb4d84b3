/**
 * @file Requests per minute: a token bucket for each key (Turner 1986), full at first.
 */
export interface RateLimiter {
  /** 0 when the request may go on, else seconds until it may. */
  take(name: string, perMinute: number): number;
}

/** @param now monotonic milliseconds */
export function createRateLimiter(now: () => number = () => performance.now()): RateLimiter {
  const buckets = new Map<string, { level: number; time: number }>();
  return {
    take(name, perMinute) {
      const time = now();
      const size = Math.max(1, perMinute);
      const bucket = buckets.get(name) ?? { level: size, time };
      bucket.level = Math.min(size, bucket.level + ((time - bucket.time) / 60_000) * perMinute);
      bucket.time = time;
      buckets.set(name, bucket);
      if (bucket.level < 1) return ((1 - bucket.level) * 60) / perMinute;
      bucket.level--;
      return 0;
    },
  };
}
