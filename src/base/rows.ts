/**
 * @file A schema for the name of a row of a table, such as a loss or an optimizer.
 *
 * The names are those that the table has when a value is checked, so a row that a program adds is
 * accepted at once, and is in the JSON Schema.
 */
import { z } from 'zod';

/** A key of `table`; of those rows alone that `fits` takes, if given. */
export function rowOf<Row>(
  table: Readonly<Record<string, Row>>,
  fits: (row: Row) => boolean = () => true,
) {
  const names = (): string[] => Object.keys(table).filter((name) => fits(table[name]));
  return z
    .string()
    .superRefine((value, context) => {
      const checked = z.enum(names()).safeParse(value);
      if (!checked.success) context.addIssue({ ...checked.error.issues[0] });
    })
    .meta({
      get enum() {
        return names();
      },
    });
}
