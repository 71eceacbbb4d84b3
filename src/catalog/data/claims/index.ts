/**
 * @file The claims that ship.
 */
import type { ClaimFile } from '../../claim.js';
import { DEEPSEEK } from './deepseek.js';
import { LLAMA_405B } from './llama-405b.js';
import { OLMO_3 } from './olmo-3.js';

export const CLAIMS: readonly ClaimFile[] = [DEEPSEEK, LLAMA_405B, OLMO_3];
