// TensorFlow.js with the two backends that bench/webgpu.mjs measures, for a page; Node takes the
// packages' CommonJS.
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgpu';

export { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
export { tf };
