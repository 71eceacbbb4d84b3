/**
 * @file One text for one value, so that results can be compared outside the interpreter.
 *
 * The function is self-contained: its source is also run inside the sandbox, in a realm that is
 * frozen by then. Arrays, plain objects (keys sorted), maps, sets, numbers (with NaN, infinities;
 * -0 is 0), big integers, strings, undefined and null differ from each other; functions and symbols
 * are only named. Nesting and size end in an error.
 */
export function canonical(value: unknown): string {
  let left = 100_000;
  const write = (v: unknown, depth: number): string => {
    if (--left < 0 || depth > 200) throw new RangeError('too large a result');
    if (v === null) return 'null';
    switch (typeof v) {
      case 'string':
        left -= v.length;
        return JSON.stringify(v);
      case 'number':
        return v === 0 ? '0' : `${v}`;
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
      return `${tag}[${items.join(',')}]`;
    }
    const object = v as Record<string, unknown>;
    const keys = Object.keys(object).sort();
    if (keys.length > left) throw new RangeError('too large a result');
    const items: string[] = [];
    for (const key of keys)
      items[items.length] = `${JSON.stringify(key)}:${write(object[key], depth + 1)}`;
    return `{${items.join(',')}}`;
  };
  return write(value, 0);
}
