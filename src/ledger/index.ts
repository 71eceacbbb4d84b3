/**
 * @file The ledger, for other rooms. A browser imports `statement/runs.ts`, `statement/plan.ts`,
 * `book/` and `render/` directly: only `statement/files.ts`, `import/` and Parquet need Node.
 */

export { type CostMeter, costRates, createCostMeter } from './book/cost-meter.js';
export { deviceUsd, type HourPrice, hourOfCore } from './book/device-price.js';
export {
  type BookPrice,
  defaultPriceBook,
  type PriceBook,
  type PriceMode,
  parsePriceBook,
  priceBookSchema,
  unitPrices,
} from './book/price-book.js';
export {
  breakEvenUtilisation,
  catalogGroup,
  type Fleet,
  type OwnershipCost,
  ownershipCost,
  ownershipTerms,
} from './capital/index.js';
export { CLAIMS, type ClaimDocument, claimText, evaluateClaim, readClaim } from './claims/index.js';
export { statementText } from './render/text.js';
export { BILL_FILE, loadPriceBook, priceBookOfRun, readRun, writeBill } from './statement/files.js';
export type { Gain } from './statement/gain.js';
export { keptEvents } from './statement/lineage.js';
export type { Column } from './statement/lines.js';
export {
  isPlan,
  type OtherCosts,
  parsePricedPlan,
  statementOfPlan,
} from './statement/plan.js';
export type { Predicted, PredictedStage } from './statement/predicted.js';
export {
  type BilledRun,
  type BillOptions,
  computeBill,
  type RunStatement,
} from './statement/runs.js';
export {
  STATEMENT_SCHEMA_VERSION,
  type Statement,
  type StatementLine,
} from './statement/statement.js';
