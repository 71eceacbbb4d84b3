/**
 * @file What the page of webgpu.browser.ts runs: every case of every operation, on the browser's
 * WebGPU.
 */
import {
  createWebGpuBackend,
  describeAdapter,
  findAdapter,
} from '../../src/tensor/backends/webgpu/index.js';
import { disagreement, judge } from '../../src/tensor/testing/agree.js';
import { operationCases } from '../../src/tensor/testing/cases/index.js';
import { Draw } from '../../src/tensor/testing/problem.js';

/**
 * Every disagreement with the reference over so many problems an operation, for both families of
 * kernels, and what was compared.
 */
async function parity(
  problems: number,
): Promise<{ adapter: string; operations: number; wrong: string[] }> {
  const adapter = await findAdapter();
  if (!adapter)
    return { adapter: 'none', operations: 0, wrong: ['the browser has no WebGPU adapter'] };
  const wrong: string[] = [];
  for (const plain of [true, false]) {
    const backend = await createWebGpuBackend({ plain });
    for (const operation of operationCases) {
      for (let index = 0; index < problems; index++) {
        const problem = operation.draw(new Draw(operation.name, index, 'large'));
        const difference = await disagreement(problem, backend, await judge(problem));
        if (difference) wrong.push(`${operation.name}${plain ? ', plain' : ''}: ${difference}`);
      }
    }
    await backend.close();
  }
  return { adapter: describeAdapter(adapter).name, operations: operationCases.length, wrong };
}

Object.assign(globalThis, { parity });
