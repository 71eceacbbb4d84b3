/**
 * @file Every operation of the table: the reference against itself, and its derivatives against
 * finite differences.
 */
import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../backends/reference.js';
import { derivativeError } from '../testing/agree.js';
import { operationCases } from '../testing/cases/index.js';
import { describeBackend } from '../testing/describe-backend.js';
import { Draw } from '../testing/problem.js';

// The reference agrees with itself; what this shows is that it keeps the contract, strictly checks
// every problem and repeats.
describeBackend('reference', async () => createReferenceBackend(), 8);

describe('derivatives pass finite differences in float64:', () => {
  const differentiable = operationCases.filter(
    (operation) => operation.draw(new Draw(operation.name, 2, 'small')).derivative,
  );
  for (const operation of differentiable) {
    it(operation.name, async () => {
      for (let index = 0; index < 12; index++) {
        const { error, where } = await derivativeError(
          operation.draw(new Draw(operation.name, index, 'small')),
        );
        expect(error, where).toBeLessThan(1e-7);
      }
    });
  }
});
