/**
 * @file Random numbers keyed by what they are for.
 *
 * A stream is named by a list of integers, for example (seed, step, prompt, sample). Nothing is
 * carried from one stream to the next, so a resumed run, or one with another number of workers,
 * draws the same numbers for the same purpose. The generator is SplitMix-style hashing into a
 * 32-bit state (xoshiro128**, Blackman and Vigna 2018); the key is mixed with the finaliser of
 * MurmurHash3.
 */

const rotateLeft = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

/** Mixes 32 bits so that every input bit reaches every output bit (MurmurHash3's finaliser). */
export function mix32(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A 32-bit hash of a string (FNV-1a, then mixed). */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix32(h);
}

export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** @param key integers (the low 32 bits of each count) or names that identify this stream. */
  constructor(...key: (number | string)[]) {
    let h = 0x9e3779b9;
    for (const part of key) {
      const word = typeof part === 'string' ? hashString(part) : part >>> 0;
      const high = typeof part === 'number' ? Math.floor(part / 0x1_0000_0000) >>> 0 : 0;
      h = mix32(
        (Math.imul(h, 5) + 0xe6546b64) ^ mix32(word + 0x9e3779b9) ^ mix32(high ^ 0x7f4a7c15),
      );
    }
    const next = (): number => {
      h = (h + 0x9e3779b9) | 0;
      return mix32(h);
    };
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = next() | 1;
  }

  /** Uniform over the 2^32 unsigned integers. */
  uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.b, 5), 7), 9) >>> 0;
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = rotateLeft(this.d, 11);
    return result;
  }

  /**
   * Uniform in [0, 1), in steps of 2^-24, so that it survives rounding to float32 and never becomes
   * 1.
   */
  uniform(): number {
    return (this.uint32() >>> 8) / 16777216;
  }

  /** Uniform integer in [low, high], both included. */
  integer(low: number, high: number): number {
    return (
      low +
      Math.floor(((this.uint32() + this.uint32() / 4294967296) / 4294967296) * (high - low + 1))
    );
  }

  /** Normal with mean 0 and standard deviation 1 (Box and Muller 1958). */
  normal(): number {
    const u = 1 - this.uniform();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** True with probability p. */
  chance(p: number): boolean {
    return this.uniform() < p;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)];
  }

  /** A shuffled copy (Fisher and Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(0, i);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
}
