/**
 * @file The table of operations: what every backend computes. A row is the record of declarations
 * of one file, by the names that a backend has them under.
 */

import type { Operations } from '../backend.js';
import { adamwOperations } from './adamw.js';
import { attentionOperations } from './attention.js';
import { attentionCachedOperations } from './attention-cached.js';
import { elementwiseOperations } from './elementwise.js';
import { embeddingOperations } from './embedding.js';
import { expertOperations } from './experts.js';
import { gatherRowsOperations } from './gather-rows.js';
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

export const OPERATIONS: Operations = {
  ...elementwiseOperations,
  ...matmulOperations,
  ...groupedMatmulOperations,
  ...rmsNormOperations,
  ...ropeOperations,
  ...swigluOperations,
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
