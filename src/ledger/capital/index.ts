/**
 * @file Capital: what it costs to own accelerators. Pure; runs in a browser.
 */
export {
  type Asset,
  annuity,
  bookValue,
  type CapitalMethod,
  costOfCapital,
  type Depreciation,
  depreciation,
} from './depreciation.js';
export {
  type Amount,
  breakEvenUtilisation,
  catalogGroup,
  type Fleet,
  type FleetGroup,
  HOURS_A_YEAR,
  type OwnershipCost,
  type OwnershipItem,
  type OwnershipLine,
  type OwnershipPeriod,
  ownershipCost,
} from './ownership.js';
export {
  catalogTerm,
  type OwnershipTerms,
  ownershipTerms,
  type Term,
  type TermChanges,
  type TermName,
} from './terms.js';
