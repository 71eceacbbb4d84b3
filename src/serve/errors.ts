/**
 * @file Errors in OpenAI's shape: `{error: {message, type, param, code}}`.
 */

/** An error that the client gets to see, with its HTTP status. */
export class ApiError extends Error {
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 408 | 413 | 415 | 429 | 500 | 503,
    message: string,
    readonly type: string,
    readonly param: string | null = null,
    readonly code: string | null = null,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  toJSON(): unknown {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

/** The request itself is wrong. */
export class BadRequest extends ApiError {
  constructor(message: string, param?: string, code = 'invalid_value') {
    super(400, message, 'invalid_request_error', param ?? null, code);
  }
}
