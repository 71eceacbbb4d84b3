/**
 * @file The ledger, for other rooms. In a browser import `bill.ts`, `pricebook.ts` and `print.ts`
 * directly: only `files.ts` needs Node.
 */
export {
  type Bill,
  type BilledRun,
  type BillLine,
  type BillOptions,
  type Column,
  computeBill,
} from './bill.js';
export {
  breakEvenUtilisation,
  catalogGroup,
  type Fleet,
  type OwnershipCost,
  ownershipCost,
  ownershipTerms,
} from './capital/index.js';
export { CLAIMS, type ClaimDocument, claimText, evaluateClaim, readClaim } from './claims/index.js';
export { type CostMeter, costRates, createCostMeter } from './cost-meter.js';
export { BILL_FILE, loadPriceBook, priceBookOfRun, readRun, writeBill } from './files.js';
export type { Gain } from './gain.js';
export { keptEvents } from './lineage.js';
export type { Predicted, PredictedStage } from './predicted.js';
export {
  type BookPrice,
  defaultPriceBook,
  type PriceBook,
  type PriceMode,
  parsePriceBook,
  unitPrices,
} from './pricebook.js';
export { billMarkdown, billText, type PrintStyle } from './print.js';
export { billDocument, priceBookSchema } from './schema.js';
