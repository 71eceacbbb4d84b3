/**
 * @file What stands between a model's program and the tests: values are copied in both directions.
 *
 * The program has a realm of its own and may change everything in it. The tests run in another one,
 * which the program never reaches: arguments are copied into the program's realm before a call, and
 * results out of it as plain data, so that no getter, no method of an array's own, no patched
 * `every` and no argument emptied in place says anything to a test. Errors come out as errors of
 * the same class, functions as functions that copy in turn.
 *
 * The two functions are given to the interpreter by their source, so they use nothing but their
 * arguments and built-in names; what they need of their realm they take before the program runs.
 */

/** Copies values of the other realm into this one. */
export type Copier = (value: unknown) => unknown;

/**
 * Makes the copier of the realm that it runs in.
 * @param foreignObject `Object.prototype` of the other realm: what is plain there
 * @param call calls a function of the other realm with copied arguments; gives the copied result
 */
export function createCopier(
  foreignObject: object | null,
  call: (f: unknown, args: unknown[]) => unknown,
): Copier {
  const { getPrototypeOf, keys, create, defineProperty, getOwnPropertyDescriptor } = Object;
  const { isArray } = Array;
  const { apply } = Reflect;
  const Errors: Record<string, new (message: string) => Error> = {
    TypeError,
    RangeError,
    SyntaxError,
    ReferenceError,
    EvalError,
    URIError,
  };
  const brand = (prototype: object, name: string): ((value: unknown) => unknown) => {
    const { get, value } = getOwnPropertyDescriptor(prototype, name) ?? {
      value: (prototype as Record<string, unknown>)[name],
    };
    const method = get ?? value;
    return (object) => {
      try {
        return apply(method, object, []);
      } catch {
        return undefined;
      }
    };
  };
  const mapSize = brand(Map.prototype, 'size');
  const setSize = brand(Set.prototype, 'size');
  const time = brand(Date.prototype, 'getTime');
  const typed = brand(getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag as never);
  const source = brand(RegExp.prototype, 'source');
  const flags = brand(RegExp.prototype, 'flags');
  const forEachOf = { map: Map.prototype.forEach, set: Set.prototype.forEach };
  const [mapSet, setAdd] = [Map.prototype.set, Set.prototype.add];
  const Known = WeakMap;
  const [knownGet, knownSet] = [WeakMap.prototype.get, WeakMap.prototype.set];
  const wrapped = new Known();
  const classes = new Known();
  const put = (object: object, key: string | number, value: unknown): void =>
    void defineProperty(object, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });

  return (root) => {
    let left = 100_000;
    const seen = new Known();
    const copy = (v: unknown, depth: number): unknown => {
      if (--left < 0 || depth > 400) throw new RangeError('too large a value');
      if (typeof v === 'function') {
        let own = apply(knownGet, wrapped, [v]) as unknown;
        if (own === undefined) {
          own = (...args: unknown[]) => call(v, args);
          apply(knownSet, wrapped, [v, own]);
        }
        return own;
      }
      if (typeof v !== 'object' || v === null) return v;
      const before = apply(knownGet, seen, [v]) as unknown;
      if (before !== undefined) return before;
      const remember = <T extends object>(made: T): T => {
        apply(knownSet, seen, [v, made]);
        return made;
      };
      if (isArray(v)) {
        const out = remember([] as unknown[]);
        const { length } = v;
        if (typeof length !== 'number' || length > left) throw new RangeError('too large a value');
        for (let i = 0; i < length; i++) put(out, i, copy(v[i], depth + 1));
        return out;
      }
      if (mapSize(v) !== undefined) {
        const out = remember(new Map());
        apply(forEachOf.map, v, [
          (value: unknown, key: unknown) =>
            void apply(mapSet, out, [copy(key, depth + 1), copy(value, depth + 1)]),
        ]);
        return out;
      }
      if (setSize(v) !== undefined) {
        const out = remember(new Set());
        apply(forEachOf.set, v, [
          (value: unknown) => void apply(setAdd, out, [copy(value, depth + 1)]),
        ]);
        return out;
      }
      const at = time(v);
      if (at !== undefined) return remember(new Date(at as number));
      const kind = typed(v);
      if (kind !== undefined) {
        const list = v as unknown as { length: number; [i: number]: number };
        const Type = (globalThis as unknown as Record<string, new (n: number) => typeof list>)[
          kind as string
        ];
        const out = remember(new Type(list.length));
        for (let i = 0; i < list.length; i++) out[i] = list[i];
        return out;
      }
      const pattern = source(v);
      if (typeof pattern === 'string') return remember(new RegExp(pattern, String(flags(v) ?? '')));
      const prototype = getPrototypeOf(v) as object | null;
      const plain = prototype === null || prototype === foreignObject;
      const object = v as Record<string, unknown>;
      let out: Record<string, unknown>;
      if (plain) out = remember(prototype === null ? create(null) : {});
      else {
        let name = 'Object';
        try {
          const type = object.constructor as { name?: unknown } | undefined;
          if (typeof type?.name === 'string') name = type.name;
        } catch {}
        let isError = false;
        try {
          isError = typeof object.message === 'string' && typeof object.stack === 'string';
        } catch {}
        if (isError) {
          const errorName = typeof object.name === 'string' ? object.name : name;
          const known = Errors[errorName] as (typeof Errors)[string] | undefined;
          const error = new (known ?? Error)(String(object.message));
          if (known === undefined && errorName !== 'Error')
            defineProperty(error, 'name', { value: errorName, configurable: true, writable: true });
          out = remember(error) as unknown as Record<string, unknown>;
        } else {
          // An instance of a class is no plain object, and two of one class are alike.
          let own = apply(knownGet, classes, [prototype]) as object | undefined;
          if (own === undefined) {
            own = create(Object.prototype, {
              constructor: { value: defineProperty(() => {}, 'name', { value: name }) },
            }) as object;
            apply(knownSet, classes, [prototype, own]);
          }
          out = remember(create(own) as Record<string, unknown>);
        }
      }
      const names = keys(object);
      for (let i = 0; i < names.length; i++) put(out, names[i], copy(object[names[i]], depth + 1));
      return out;
    };
    return copy(root, 0);
  };
}
