/**
 * @file A backend from its memory and its kernels: every call is checked against the operation's
 * declaration, and the kernel gets tensors of the backend's own kind and solved numbers.
 */
import type { Backend, Methods, OperationName, Operations } from '../../backend.js';
import { analyse, type LastOf } from '../../operations/check.js';
import type { Declaration, NumbersOf, TensorsOf } from '../../operations/declare.js';
import { checkedMethod, type Method, type Run } from '../../operations/fast-check.js';
import { OPERATIONS } from '../../operations/index.js';
import type { Handle } from './handle.js';

/** Operations that are made of others where a backend has no kernel for them. */
type ComposedName = {
  [K in OperationName]: Operations[K] extends { composed: true } ? K : never;
}[OperationName];

export type Kernel<K extends OperationName, C, T> = (
  context: C,
  tensors: TensorsOf<Operations[K], T>,
  numbers: NumbersOf<Operations[K]>,
) => void;

/** Kernels of some operations, for handles of type T, with what they need in C. */
export type KernelsOf<K extends OperationName, C, T> = { readonly [N in K]: Kernel<N, C, T> };

/** A backend's kernels: one for each operation, but that composed ones may be left out. */
export type Kernels<C, T> = KernelsOf<Exclude<OperationName, ComposedName>, C, T> &
  Partial<KernelsOf<ComposedName, C, T>>;

/** What a backend has besides operations. */
export type BackendCore = Omit<Backend, OperationName>;

/**
 * @param lastOf for backends on the host: looks at a tensor's last number
 * @returns `core` itself, with a method for each operation
 */
export function withOperations<C, T extends Handle, B extends BackendCore>(
  core: B,
  context: C,
  kernels: Kernels<C, T>,
  lastOf: ((tensor: T) => number) | null,
): B & Methods {
  const methods: Record<string, Method> = {};
  const backend = core as B & Methods;
  const last = lastOf as LastOf | null;
  for (const [name, declaration] of Object.entries(OPERATIONS)) {
    const own = (kernels as unknown as Record<string, Run | undefined>)[name];
    const { compose } = declaration as unknown as Declaration;
    const run = own ?? (compose as unknown as Run | undefined);
    if (!run) throw new Error(`${core.name} has no kernel for ${name}`);
    const analysis = analyse(name, declaration as unknown as Declaration);
    methods[name] = checkedMethod(analysis, run, own ? context : backend, last);
  }
  return Object.assign(backend, methods);
}
