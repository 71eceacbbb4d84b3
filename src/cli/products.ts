/**
 * @file The flags that say what multiplies matrices: `--no-native`, `--blas`, `--no-blas`.
 */
import { Option } from 'commander';
import type { Products } from '../tensor/backends/wasm/index.js';

export interface ProductFlags {
  native: boolean;
  /** Without either flag: undefined. */
  blas?: boolean;
}

export const NO_NATIVE = new Option(
  '--no-native',
  "do not run Reckoner's machine code: multiply with a BLAS or the WASM kernels",
);
export const BLAS = new Option('--blas', "multiply with the system's BLAS");
export const NO_BLAS = new Option(
  '--no-blas',
  'without machine code, multiply with the WASM kernels, never a BLAS',
);

/** What the flags ask for; undefined without any. */
export function productsOfFlags({ native, blas }: ProductFlags): Products | undefined {
  if (blas === true) return 'blas';
  if (native) return blas === false ? 'native' : undefined;
  return blas === false ? 'wasm' : 'portable';
}
