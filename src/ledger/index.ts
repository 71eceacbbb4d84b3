/**
 * @file The ledger, for other rooms. In a browser import `bill.ts`, `pricebook.ts` and `print.ts`
 * directly: only `files.ts` needs Node.
 */

export { type CostMeter, costRates, createCostMeter } from './book/cost-meter.js';
export {
  type BookPrice,
  defaultPriceBook,
  type PriceBook,
  type PriceMode,
  parsePriceBook,
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
export { billMarkdown, billText } from './render/bill.js';
export {
  type Bill,
  type BilledRun,
  type BillLine,
  type BillOptions,
  type Column,
  computeBill,
} from './statement/bill.js';
export { billDocument, priceBookSchema } from './statement/bill-schema.js';
export { BILL_FILE, loadPriceBook, priceBookOfRun, readRun, writeBill } from './statement/files.js';
export type { Gain } from './statement/gain.js';
export { keptEvents } from './statement/lineage.js';
export {
  isPlan,
  type OtherCosts,
  parsePricedPlan,
  statementOfPlan,
} from './statement/plan.js';
export type { Predicted, PredictedStage } from './statement/predicted.js';
