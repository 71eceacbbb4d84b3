/**
 * @file Numbers of a Hugging Face `config.json`, looked up under each name that is in use, with an
 * error that names the field.
 */
import { UserError } from '../base/errors.js';

export type Fields = Readonly<Record<string, unknown>>;

/**
 * A whole number under the first of these names that is written; `otherwise` where none is.
 * @throws UserError when it is missing without `otherwise`, or is no number in [0, 10⁹]
 */
export type Reader = (names: readonly string[], otherwise?: number) => number;

export function readerOf(fields: Fields, label: string): Reader {
  return (names, otherwise) => {
    const name = names.find(
      (candidate) => fields[candidate] !== undefined && fields[candidate] !== null,
    );
    if (name === undefined) {
      if (otherwise !== undefined) return otherwise;
      throw new UserError(
        'data',
        `${label}: ${names[0]} is missing from the configuration`,
        names[0],
      );
    }
    const value = fields[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 1e9) {
      throw new UserError(
        'data',
        `${label}: ${name} is ${JSON.stringify(value)}; it must be a whole number`,
        name,
      );
    }
    if (value === 0 && otherwise === undefined)
      throw new UserError('data', `${label}: ${name} is 0; it must be positive`, name);
    return value;
  };
}

/** How often a value stands in a list of one entry a layer; undefined where there is no list. */
export function countIn(list: unknown, ...values: readonly unknown[]): number | undefined {
  return Array.isArray(list) ? list.filter((value) => values.includes(value)).length : undefined;
}
