/**
 * @file Which rows of the key-value cache belong to whom, and which of them spare computing a
 * prompt again.
 *
 * A sequence gets one run of rows, as many as its prompt and completion may need. When it ends, the
 * run shrinks to what was written and stays as long as nobody needs the room: the next prompt that
 * begins with the same tokens (a system prompt, the earlier turns of a conversation) takes them
 * over. Where the whole run is a beginning of the prompt and the rows after it are free, the run
 * itself grows on; otherwise the common rows are copied, which costs a thousandth of computing
 * them. The same idea as vLLM's automatic prefix caching and SGLang's radix attention (Zheng et al.
 * 2024), by runs instead of pages, because the attention kernel reads a run faster than a table of
 * pages. The least recently used run goes first.
 */

export interface Run {
  /** First row of the cache. */
  start: number;
  /** Rows reserved. */
  capacity: number;
  /** The tokens whose keys and values are in the first rows. */
  tokens: number[];
  /** A sequence is writing to it. */
  busy: boolean;
  /** Every row was computed by itself, whatever was in the batch; see `Backend.independentRows`. */
  exact: boolean;
  lastUsed: number;
}

export interface Acquired {
  run: Run;
  /** Tokens of the prompt that need not be computed. */
  reused: number;
  /** Copy `reused` rows from here to `run.start`; null when they are in place. */
  copyFrom: number | null;
}

export class PrefixCache {
  /** By their first row. */
  private runs: Run[] = [];
  private clock = 0;

  constructor(readonly rows: number) {}

  /** Rows in use by sequences now. */
  get busyRows(): number {
    return this.runs.reduce((sum, run) => sum + (run.busy ? run.capacity : 0), 0);
  }

  /**
   * Rows for a sequence, or null when there is no room until others end. At least the prompt's last
   * token is always computed, since its hidden state is wanted.
   * @param exact take over only rows that were computed exactly
   */
  acquire(prompt: readonly number[], capacity: number, exact: boolean): Acquired | null {
    const { source, common } = this.longestPrefix(prompt, exact);
    if (
      source !== null &&
      !source.busy &&
      common === source.tokens.length &&
      this.grow(source, capacity)
    ) {
      source.busy = true;
      source.lastUsed = ++this.clock;
      return { run: source, reused: common, copyFrom: null };
    }
    const start = this.allocate(capacity, source);
    if (start === null) return null;
    // To make room, the source itself may have had to go; its rows are still there unless the new
    // run covers them.
    const kept = source !== null && this.runs.includes(source);
    const reused = kept ? common : 0;
    const run: Run = {
      start,
      capacity,
      tokens: prompt.slice(0, reused),
      busy: true,
      exact: reused === 0 || (source as Run).exact,
      lastUsed: ++this.clock,
    };
    if (kept) source.lastUsed = this.clock;
    this.insert(run);
    return { run, reused, copyFrom: reused > 0 ? (source as Run).start : null };
  }

  /** A sequence has ended: what it wrote stays for others, the rest of its rows are free. */
  release(run: Run): void {
    run.busy = false;
    run.capacity = run.tokens.length;
    run.lastUsed = ++this.clock;
    if (run.capacity === 0) this.runs = this.runs.filter((other) => other !== run);
  }

  private longestPrefix(
    prompt: readonly number[],
    exact: boolean,
  ): { source: Run | null; common: number } {
    let source: Run | null = null;
    let common = 0;
    for (const run of this.runs) {
      if (exact && !run.exact) continue;
      const limit = Math.min(run.tokens.length, prompt.length - 1);
      if (limit <= common) continue;
      let same = 0;
      while (same < limit && run.tokens[same] === prompt[same]) same++;
      if (same > common) [source, common] = [run, same];
    }
    return { source, common };
  }

  /** True when the run now has room for `capacity` rows. */
  private grow(run: Run, capacity: number): boolean {
    const next = this.runs[this.runs.indexOf(run) + 1];
    if ((next?.start ?? this.rows) - run.start < capacity) return false;
    run.capacity = Math.max(capacity, run.tokens.length);
    return true;
  }

  private allocate(capacity: number, keep: Run | null): number | null {
    if (capacity > this.rows) return null;
    for (;;) {
      const start = this.gap(capacity);
      if (start !== null) return start;
      let oldest: Run | null = null;
      for (const run of this.runs) {
        if (!run.busy && run !== keep && (oldest === null || run.lastUsed < oldest.lastUsed))
          oldest = run;
      }
      // The run that would be copied from goes last.
      oldest ??= keep !== null && !keep.busy && this.runs.includes(keep) ? keep : null;
      if (oldest === null) return null;
      this.runs = this.runs.filter((run) => run !== oldest);
    }
  }

  private gap(capacity: number): number | null {
    let at = 0;
    for (const run of this.runs) {
      if (run.start - at >= capacity) return at;
      at = run.start + run.capacity;
    }
    return this.rows - at >= capacity ? at : null;
  }

  private insert(run: Run): void {
    const at = this.runs.findIndex(({ start }) => start > run.start);
    this.runs.splice(at < 0 ? this.runs.length : at, 0, run);
  }
}
