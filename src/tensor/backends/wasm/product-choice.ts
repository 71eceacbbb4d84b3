/**
 * @file What multiplies matrices: our machine code, the system's BLAS, or the WASM kernels.
 *
 * Our machine code is the default wherever the processor and the system allow it: it needs no
 * library, and it gives the same bits whatever libraries a machine has. Without it a BLAS is looked
 * for, and the faster one of it and the WASM kernels is taken (gemm.ts measures).
 */
import { UserError } from '../../../base/errors.js';
import type { TargetName } from '../../native/program.js';

/**
 * - `auto`: machine code; without it the faster of BLAS and WASM. The default.
 * - `native`: machine code; without it WASM, although there may be a BLAS (`--no-blas`).
 * - `blas`: the system's BLAS (`--blas`).
 * - `portable`: the faster of BLAS and WASM (`--no-native`).
 * - `wasm`: the WASM kernels (`--no-native --no-blas`).
 */
export const PRODUCTS = ['auto', 'native', 'blas', 'portable', 'wasm'] as const;
export type Products = (typeof PRODUCTS)[number];

/** A decision, as plain data for other threads and for fingerprints. */
export interface GemmChoice {
  /** The BLAS to load; null for our own kernels. */
  library: string | null;
  /** The kind of our machine code; null for WASM. */
  native?: TargetName | null;
  /** The name that `Gemm` will have. */
  name: string;
}

/** What to ask for, to have the same choice again. */
export const productsOf = ({ library, native }: GemmChoice): Products =>
  native ? 'native' : library === null ? 'wasm' : 'blas';

/** How attention and batch-invariant rows must treat a product. */
export const isOwn = (name: string): boolean => name.startsWith('wasm');

/** machine code needs Node, and the WASM kernels must load in a browser. */
const environment = (): Record<string, string | undefined> =>
  typeof process === 'undefined' || !process.versions?.node ? {} : process.env;

/** `RECKONER_NATIVE`: off, or the kind of machine code to take instead of the tried one. */
const KINDS = ['off', 'avx2', 'avx512'];

/**
 * The machine code that this process would take; null where there is none.
 * @throws UserError when `RECKONER_NATIVE` asks for what this processor has not
 */
export async function chooseNative(products: Products): Promise<GemmChoice | null> {
  if (products !== 'auto' && products !== 'native') return null;
  const asked = environment().RECKONER_NATIVE || undefined;
  if (asked === 'off' || typeof process === 'undefined' || !process.versions?.node) return null;
  const { nativeName, supportedTargets } = await import('../../native/kernels.js');
  const supported = supportedTargets();
  if (asked !== undefined) {
    const known = KINDS.includes(asked);
    if (!known || !supported?.has(asked as TargetName)) {
      const why = known ? 'is not what this processor and system can run' : 'is unknown';
      throw new UserError('usage', `RECKONER_NATIVE=${asked} ${why}; give avx2, avx512 or off.`);
    }
  }
  const native = (asked ?? 'avx2') as TargetName;
  return supported?.has(native) ? { library: null, native, name: nativeName(native) } : null;
}
