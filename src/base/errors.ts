/**
 * @file Errors for the person who caused them.
 *
 * A `UserError` is one line: what was wrong, where, and what to do. The command line prints its
 * message without a stack trace and maps `usage` errors to exit code 2, all others to 1.
 */

/**
 * `usage`: wrong arguments or a wrong recipe; `data`: a bad file; `state`: the run cannot go on;
 * `interrupted`: Ctrl-C.
 */
export type ErrorCode = 'usage' | 'data' | 'state' | 'interrupted' | 'diverged' | 'disk';

export class UserError extends Error {
  /** @param field the argument, recipe field or file that was wrong, when there is one. */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly field?: string,
  ) {
    super(message);
    this.name = 'UserError';
  }
}
