/**
 * @file Dimensions written as small expressions (`N`, `H*d`, `heads*(dn + dr)`, `E + 1`): parsed
 * once into a polynomial, evaluated for known names, and solved for one unknown name that it is
 * linear in.
 */

/** coefficient · Π names. */
interface Monomial {
  readonly coefficient: number;
  readonly names: readonly string[];
}

export type Polynomial = readonly Monomial[];

/** The names in an expression, as a type: `Names<'heads*(dn + dr)'>` is `'heads' | 'dn' | 'dr'`. */
export type Names<S extends string> = S extends `${infer A}<=${infer B}`
  ? Names<A> | Names<B>
  : S extends `${infer A}=${infer B}`
    ? Names<A> | Names<B>
    : S extends `${infer A}*${infer B}`
      ? Names<A> | Names<B>
      : S extends `${infer A}+${infer B}`
        ? Names<A> | Names<B>
        : S extends `${infer A}(${infer B}`
          ? Names<A> | Names<B>
          : S extends `${infer A})${infer B}`
            ? Names<A> | Names<B>
            : S extends ` ${infer A}` | `${infer A} `
              ? Names<A>
              : S extends '' | `${number}`
                ? never
                : S;

/** Parses sums and products of names, whole numbers and parentheses. */
export function parse(text: string): Polynomial {
  const tokens = text.match(/[A-Za-z]\w*|\d+|[*+()]/g) ?? [];
  let next = 0;
  const factor = (): Polynomial => {
    const token = tokens[next++];
    if (token === '(') {
      const inner = sum();
      next++; // the closing parenthesis
      return inner;
    }
    return /^\d/.test(token)
      ? [{ coefficient: Number(token), names: [] }]
      : [{ coefficient: 1, names: [token] }];
  };
  const product = (): Polynomial => {
    let result = factor();
    while (tokens[next] === '*') {
      next++;
      const right = factor();
      result = result.flatMap((a) =>
        right.map((b) => ({
          coefficient: a.coefficient * b.coefficient,
          names: [...a.names, ...b.names],
        })),
      );
    }
    return result;
  };
  const sum = (): Polynomial => {
    const terms = [...product()];
    while (tokens[next] === '+') {
      next++;
      terms.push(...product());
    }
    return terms;
  };
  return sum();
}

export const namesIn = (polynomial: Polynomial): Set<string> =>
  new Set(polynomial.flatMap(({ names }) => names));

/** A function of the values, by index: specialised where it is one name or one number. */
export type Evaluate = (values: readonly number[]) => number;

export function evaluator(polynomial: Polynomial, indexOf: (name: string) => number): Evaluate {
  const terms = polynomial.map(({ coefficient, names }) => ({
    coefficient,
    at: names.map(indexOf),
  }));
  if (terms.length === 1 && terms[0].coefficient === 1) {
    const [a, b] = terms[0].at;
    if (terms[0].at.length === 1) return (values) => values[a];
    if (terms[0].at.length === 2) return (values) => values[a] * values[b];
  }
  return (values) => {
    let total = 0;
    for (const { coefficient, at } of terms) {
      let value = coefficient;
      for (const i of at) value *= values[i];
      total += value;
    }
    return total;
  };
}

/**
 * The polynomial as slope · name + rest, where it is linear in the name; null where it is not.
 */
export function linearIn(
  polynomial: Polynomial,
  name: string,
): { slope: Polynomial; rest: Polynomial } | null {
  const slope: Monomial[] = [];
  const rest: Monomial[] = [];
  for (const { coefficient, names } of polynomial) {
    const others = names.filter((other) => other !== name);
    if (names.length - others.length > 1) return null;
    if (others.length === names.length) rest.push({ coefficient, names });
    else slope.push({ coefficient, names: others });
  }
  return { slope, rest };
}
