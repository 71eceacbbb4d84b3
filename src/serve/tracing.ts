/**
 * @file OpenTelemetry: one span a completion request, with the attributes of the GenAI conventions.
 *
 * Only the API is a dependency: without an SDK in the process it does nothing. Who wants traces
 * loads one before the command (`NODE_OPTIONS='--import ./telemetry.mjs'`), with the exporter of
 * their choice.
 */
import {
  context,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';

export type { Span };

/** A span under the caller's, when the request's headers name one. */
export function startSpan(operation: string, model: string, headers: Headers): Span {
  const parent = propagation.extract(context.active(), Object.fromEntries(headers.entries()));
  const attributes = {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': 'reckoner',
    'gen_ai.request.model': model,
  };
  return trace
    .getTracer('reckoner')
    .startSpan(`${operation} ${model}`, { kind: SpanKind.SERVER, attributes }, parent);
}

export function endSpan(
  span: Span,
  error: string | null,
  attributes: Record<string, string | number | string[]> = {},
): void {
  span.setAttributes(attributes);
  if (error !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
  span.end();
}
