/**
 * @file One text for one value, so that results can be compared outside the interpreter.
 *
 * The function is self-contained: its source is also run inside the sandbox, in a realm that is
 * frozen by then. Arrays, plain objects (keys sorted), maps, sets, numbers (with NaN, infinities;
 * -0 is 0), big integers, strings, undefined and null differ from each other; what is
 * no plain object has its class before it; functions and symbols are only named. Nesting and size end in an error.
 */
export function canonical(value: unknown, exact = false): string {
  let left = 100_000;
  const write = (v: unknown, depth: number): string => {
    if (--left < 0 || depth > 200) throw new RangeError('too large a result');
    if (v === null) return 'null';
    switch (typeof v) {
      case 'string':
        left -= v.length;
        return JSON.stringify(v);
      case 'number':
        return v === 0 ? (exact && Object.is(v, -0) ? '-0' : '0') : `${v}`;
      case 'bigint':
        return `${v}n`;
      case 'boolean':
      case 'undefined':
        return `${v}`;
      case 'object':
        break;
      default:
        return `[${typeof v}]`;
    }
    if (Array.isArray(v)) {
      const length = v.length;
      if (length > left) throw new RangeError('too large a result');
      const items: string[] = [];
      for (let i = 0; i < length; i++) items[i] = write(v[i], depth + 1);
      return `[${items.join(',')}]`;
    }
    // By its tag, since a map of the other realm is no instance of this one's.
    const tag = Object.prototype.toString.call(v).slice(8, -1);
    if (tag === 'Map' || tag === 'Set') {
      const items: string[] = [];
      for (const item of v as Iterable<unknown>) items[items.length] = write(item, depth + 1);
      return `${tag}[${items.sort().join(',')}]`;
    }
    const object = v as Record<string, unknown>;
    // What is no plain object differs from one by its name, and by what its properties do not show.
    const type = object.constructor as { name?: unknown } | undefined;
    const named = Object.hasOwn(object, 'constructor') ? 'Object' : (type?.name ?? 'Object');
    const plain = tag === 'Object' && named === 'Object';
    const inside =
      tag === 'Date' || tag === 'RegExp' || tag === 'Error' ? JSON.stringify(`${v}`) : '';
    const mark = plain ? '' : `${tag} ${String(named)}${inside}`;
    const keys = Object.keys(object).sort();
    if (keys.length > left) throw new RangeError('too large a result');
    const items: string[] = [];
    for (const key of keys)
      items[items.length] = `${JSON.stringify(key)}:${write(object[key], depth + 1)}`;
    return `${mark}{${items.join(',')}}`;
  };
  return write(value, 0);
}
