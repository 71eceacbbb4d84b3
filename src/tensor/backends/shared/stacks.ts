/** @file The contract's two stacks of memory, whatever a stack is made of. */
import type { Mark, MemoryUse, Placement } from '../../backend.js';

/** What grows by `push` and is cut back to a position. */
export interface Stack {
  /** The position of the top. */
  readonly top: number;
  readonly bytes: number;
  readonly highWater: number;
  cutTo(top: number): void;
}

export class Stacks<S extends Stack> {
  constructor(
    readonly local: S,
    readonly shared: S,
  ) {}

  of(placement: Placement): S {
    return placement === 'local' ? this.local : this.shared;
  }

  mark(): Mark {
    return { local: this.local.top, shared: this.shared.top };
  }

  release(mark: Mark): void {
    if (mark.local > this.local.top || mark.shared > this.shared.top)
      throw new Error(
        'release: the mark lies above the top of the stack; marks are released innermost first.',
      );
    this.local.cutTo(mark.local);
    this.shared.cutTo(mark.shared);
  }

  use(): MemoryUse {
    return {
      localBytes: this.local.bytes,
      localHighWaterBytes: this.local.highWater,
      sharedBytes: this.shared.bytes,
      sharedHighWaterBytes: this.shared.highWater,
    };
  }
}
