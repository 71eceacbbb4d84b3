/**
 * @file A schema for the name of a row of a table, such as a loss or an optimizer.
 *
 * The names are those that the table has when a value is checked, so a row that a program adds is
 * accepted at once, and is in the JSON Schema.
 */
import { z } from 'zod';

/** A key of `table`. */
export const rowOf = (table: Readonly<Record<string, unknown>>) =>
  z
    .string()
    .superRefine((value, context) => {
      const checked = z.enum(Object.keys(table)).safeParse(value);
      if (!checked.success) context.addIssue({ ...checked.error.issues[0] });
    })
    .meta({
      get enum() {
        return Object.keys(table);
      },
    });
