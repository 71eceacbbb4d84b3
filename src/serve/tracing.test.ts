import { context, propagation, trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, expect, it } from 'vitest';
import { endSpan, startSpan } from './tracing.js';

const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
);
afterAll(() => {
  trace.disable();
  context.disable();
  propagation.disable();
});

it('makes a span a request, named by the conventions, failed where the request was', () => {
  endSpan(startSpan('chat', 'small', new Headers()), null, { 'gen_ai.usage.output_tokens': 7 });
  endSpan(startSpan('chat', 'small', new Headers()), '400');
  const [good, bad] = exporter.getFinishedSpans();
  expect(good.name).toBe('chat small');
  expect(good.attributes).toMatchObject({
    'gen_ai.request.model': 'small',
    'gen_ai.usage.output_tokens': 7,
  });
  expect([good.status.code, bad.status.code]).toEqual([0, 2]);
});
