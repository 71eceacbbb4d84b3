/**
 * @file The `Usage` record as a schema, for documents that hold records (a log's lines are checked
 * by hand, `validate.ts`).
 */
import { z } from 'zod';
import type { Usage } from './usage.js';

const amount = z.number().min(0);
const basis = z.enum(['measured', 'estimated', 'predicted', 'published', 'assumed']);

export const usageSchema: z.ZodType<Usage> = z.object({
  stage: z.string(),
  purpose: z.enum(['training', 'evaluation', 'inference', 'data', 'overhead']),
  wallSeconds: amount,
  workerSeconds: amount,
  acceleratorSeconds: amount.optional(),
  device: z.string().optional(),
  tokensIn: amount,
  tokensOut: amount,
  modelFlops: amount,
  energyJoules: amount,
  energyBasis: basis,
  peakMemoryBytes: amount,
  storedBytes: amount,
  basis,
});
