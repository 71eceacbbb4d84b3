/**
 * @file The table of operations: what every backend computes. A row is the record of declarations
 * of one file, by the names that a backend has them under. What models call (functions of variables
 * on a tape) is exported beside the rows.
 */

import type { Operations } from '../backend.js';
import { adamwOperations } from './adamw.js';
import { attentionOperations } from './attention.js';
import { attentionCachedOperations } from './attention-cached.js';
import { elementwiseOperations } from './elementwise.js';
import { embeddingOperations } from './embedding.js';
import { expertOperations } from './experts.js';
import { gatherRowsOperations } from './gather-rows.js';
import { gegluOperations } from './geglu.js';
import { gradientNormOperations } from './gradient-norm.js';
import { groupedMatmulOperations } from './grouped-matmul.js';
import { joinHeadsOperations } from './join-heads.js';
import { lossOperations } from './losses.js';
import { matmulOperations } from './matmul.js';
import { muonOperations } from './muon.js';
import { quantizeFp8Operations } from './quantize-fp8.js';
import { rmsNormOperations } from './rms-norm.js';
import { ropeOperations } from './rope.js';
import { routeOperations } from './route.js';
import { sampleOperations } from './sample.js';
import { swigluOperations } from './swiglu.js';
import { tokenLogProbabilitiesOperations } from './token-log-probabilities.js';

export { attention } from './attention.js';
export { concatColumns } from './concat-columns.js';
export { add, scaled } from './elementwise.js';
export { embedding } from './embedding.js';
export {
  combineRows,
  dispatchRows,
  type ExpertOrder,
  sortByExpert,
} from './experts.js';
export { gatherRows } from './gather-rows.js';
export { geglu } from './geglu.js';
export { groupedMatmul } from './grouped-matmul.js';
export { joinHeads } from './join-heads.js';
export { type LinearOptions, type LowRank, linear } from './linear.js';
export { groupedMatmulFp8, linearFp8 } from './linear-fp8.js';
export { batchedMatmul, matmul, type TransposeOptions } from './matmul.js';
export { rmsNorm } from './rms-norm.js';
export {
  type RopeTable,
  type RopeTableOptions,
  rope,
  ropeInPlace,
  ropeTable,
  type Yarn,
} from './rope.js';
export { type BalanceOptions, type RouteOptions, type Routing, route } from './route.js';
export { splitColumns } from './split-columns.js';
export { swiglu } from './swiglu.js';
export {
  type TokenLogProbabilities,
  tokenLogProbabilities,
} from './token-log-probabilities.js';

export const OPERATIONS: Operations = {
  ...elementwiseOperations,
  ...matmulOperations,
  ...groupedMatmulOperations,
  ...rmsNormOperations,
  ...ropeOperations,
  ...swigluOperations,
  ...gegluOperations,
  ...embeddingOperations,
  ...gatherRowsOperations,
  ...attentionOperations,
  ...attentionCachedOperations,
  ...joinHeadsOperations,
  ...routeOperations,
  ...expertOperations,
  ...quantizeFp8Operations,
  ...tokenLogProbabilitiesOperations,
  ...sampleOperations,
  ...lossOperations,
  ...gradientNormOperations,
  ...adamwOperations,
  ...muonOperations,
};
