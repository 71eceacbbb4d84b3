/** @file The float64 reference backend; see the folder of the same name. */
export { createReferenceBackend } from './reference/index.js';
