/**
 * @file Claims: published figures of what a model cost, and the steps between them. Pure; runs in a
 * browser.
 */
export { CLAIMS } from '../../catalog/data/claims/index.js';
export { type ClaimOptions, evaluateClaim, type PlannedHours } from './evaluate.js';
export { type ClaimModel, readClaim } from './model.js';
export { type ClaimTextOptions, claimText } from './print.js';
export { bySwings, type Interval, type Propagate, type Spread } from './propagation.js';
export {
  CLAIM_SCHEMA_VERSION,
  type ClaimDocument,
  claimDocument,
  claimListDocument,
} from './schema.js';
