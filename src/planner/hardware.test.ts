import { describe, expect, it } from 'vitest';
import { acceleratorOf } from './hardware.js';

describe('names of accelerators', () => {
  it.each([
    ['H100-SXM-80GB', 'h100'],
    ['NVIDIA A100 SXM4 40 GB', 'a100-40gb'],
    ['NVIDIA Tesla V100 DGXS 32 GB', 'v100'],
    ['TPU-v6e (Trillium)', 'tpu-v6e'],
    ['Google TPU v5p', 'tpu-v5p'],
    ['H100-SXM-96GB-HBM2e-500W', 'h100-500w'],
    ['h800', 'h800'],
    ['TPU v5p-128', 'tpu-v5p'],
    ['Intel Gaudi2', 'gaudi2'],
    ['NVIDIA A800 PCIe 40 GB', 'a800-pcie'],
    ['NVIDIA RTX PRO 6000 Blackwell Server Edition', 'rtx-pro-6000'],
    ['AMD Instinct MI350X', 'mi350x'],
    ['TPU7x', 'tpu-v7x'],
    ['TPU v7', 'tpu-v7x'],
    ['Ironwood', 'tpu-v7x'],
    ['AWS Trainium2', 'trainium2'],
    ['NVIDIA GB300 NVL72', 'gb300'],
  ])('%s is %s', (name, id) => {
    expect(acceleratorOf(name)?.id).toBe(id);
  });
  it('does not guess', () => {
    expect(acceleratorOf('NVIDIA A100,NVIDIA Tesla V100 SXM2')).toBeUndefined();
    expect(acceleratorOf('abacus')).toBeUndefined();
  });
});
