/** @file Every operation, as a table. A new operation is not done before it has a row here. */
import type { OperationCase } from '../problem.js';
import { decoder } from './decoder.js';
import { elementwise } from './elementwise.js';
import { experts } from './experts.js';
import { optimizers } from './optimizers.js';
import { products } from './products.js';
import { vocabulary } from './vocabulary.js';

export const operationCases: readonly OperationCase[] = [
  ...elementwise,
  ...products,
  ...decoder,
  ...experts,
  ...vocabulary,
  ...optimizers,
];
