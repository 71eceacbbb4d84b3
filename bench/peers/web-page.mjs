// The page of bench/webgpu.mjs.
import * as jax from '@jax-js/jax';
import { hasRelaxedSimd, provideKernels } from '../../dist/tensor/backends/wasm/load.js';
import * as modules from './web-reckoner.mjs';
import { jaxjs, measure, reckoner, tensorflow } from './web-sides.mjs';
import { setWasmPaths, tf } from './web-tensorflow.mjs';

setWasmPaths('/');
const relaxed = hasRelaxedSimd();
provideKernels(
  new Uint8Array(
    await (await fetch(relaxed ? '/kernels-relaxed.wasm' : '/kernels.wasm')).arrayBuffer(),
  ),
  relaxed,
);
const makers = ['wasm', 'webgpu'].flatMap((kind) => [
  () => reckoner(kind, modules),
  () => tensorflow(kind, { tf }),
  () => jaxjs(kind, { jax }),
]);
Object.assign(globalThis, {
  measureAll: (options) => measure(makers, { ...options, say: (message) => console.log(message) }),
});
