/**
 * @file A backend from its memory and its kernels: every call is checked against the operation's
 * declaration, and the kernel gets tensors of the backend's own kind and solved numbers.
 */
import type { Backend, Methods, OperationName, Operations } from '../../backend.js';
import { compile, type LastOf } from '../../operations/check.js';
import type { Declaration, NumbersOf, TensorsOf } from '../../operations/declare.js';
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

type AnyKernel<C> = (context: C, tensors: unknown, numbers: unknown) => void;

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
  const methods: Record<string, (call: never) => void> = {};
  const backend = core as B & Methods;
  const last = lastOf as LastOf | null;
  for (const [name, declaration] of Object.entries(OPERATIONS)) {
    const check = compile(name, declaration as unknown as Declaration);
    const kernel = (kernels as unknown as Record<string, AnyKernel<C> | undefined>)[name];
    const { compose } = declaration as unknown as Declaration;
    if (kernel) methods[name] = (call) => kernel(context, call, check(call, last));
    else if (compose)
      methods[name] = (call) => compose(backend as never, call, check(call, last) as never);
    else throw new Error(`${core.name} has no kernel for ${name}`);
  }
  return Object.assign(backend, methods);
}
