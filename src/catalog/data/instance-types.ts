/**
 * @file Cloud instance types with accelerators: AWS, Azure, Google Cloud, Oracle, Lambda, CoreWeave.
 *
 * A billing export names a machine (`p4d.24xlarge`, `ND96asr v4`, `a3-highgpu-8g`) and not its
 * GPUs, so the ledger looks the machine up here. `cpu` is a pattern of the cloud's naming scheme
 * for machines without an accelerator. A type that is neither listed nor matched is unknown.
 *
 * Types stand in lists, each with the document that it was compared with, row by row. A list that
 * is `recalled` was written from memory, and no document confirms it yet.
 */

/** Type → [accelerator, how many of them]. A part of a GPU is a fraction. */
export type Types = Readonly<Record<string, readonly [accelerator: string, count: number]>>;

/** Types that were compared with one document. */
export interface InstanceList {
  source: string;
  /** Year of the document, and month where it is known. */
  date: string;
  /** True where the document was named and not compared with. */
  recalled?: true;
  types: Types;
}

export interface CloudInstances {
  lists: readonly InstanceList[];
  /** RE2 alternatives for series with accelerators, by the cloud's documented naming scheme. */
  acceleratedSeries: readonly string[];
  /** RE2 alternatives for machines without an accelerator, by the same scheme. */
  cpu: readonly string[];
}

/** Sizes of one family that share an accelerator. */
const family = (
  prefix: string,
  accelerator: string,
  counts: Readonly<Record<string, number>>,
): Types =>
  Object.fromEntries(
    Object.entries(counts).map(([size, count]) => [`${prefix}${size}`, [accelerator, count]]),
  );

/** The sizes that most AWS G families have: one GPU up to 16xlarge, then four and eight. */
const G_SIZES = {
  xlarge: 1,
  '2xlarge': 1,
  '4xlarge': 1,
  '8xlarge': 1,
  '16xlarge': 1,
  '12xlarge': 4,
  '24xlarge': 4,
  '48xlarge': 8,
};

/** The sizes of AWS G families since the seventh generation. */
const G7_SIZES = {
  '2xlarge': 1,
  '4xlarge': 1,
  '8xlarge': 1,
  '12xlarge': 2,
  '24xlarge': 4,
  '48xlarge': 8,
};

const aws: CloudInstances = {
  lists: [
    {
      // Written by a program from the answers of AWS's DescribeInstanceTypes.
      source:
        'https://github.com/aws/karpenter-provider-aws/blob/1d927085d/website/content/en/docs/reference/instance-types.md',
      date: '2026-08',
      types: {
        ...family('p3dn.', 'V100', { '24xlarge': 8 }),
        ...family('p4d.', 'A100', { '24xlarge': 8 }),
        ...family('p4de.', 'A100', { '24xlarge': 8 }),
        ...family('p5.', 'H100', { '4xlarge': 1, '48xlarge': 8 }),
        ...family('p5e.', 'H200', { '48xlarge': 8 }),
        ...family('p5en.', 'H200', { '48xlarge': 8 }),
        ...family('p6-b200.', 'B200', { '48xlarge': 8 }),
        ...family('p6-b300.', 'B300', { '48xlarge': 8 }),
        ...family('g4dn.', 'T4', {
          ...{ xlarge: 1, '2xlarge': 1, '4xlarge': 1, '8xlarge': 1, '16xlarge': 1 },
          ...{ '12xlarge': 4, metal: 8 },
        }),
        ...family('g4ad.', 'Radeon Pro V520', {
          ...{ xlarge: 1, '2xlarge': 1, '4xlarge': 1, '8xlarge': 2, '16xlarge': 4 },
        }),
        ...family('g5.', 'A10G', G_SIZES),
        ...family('g5g.', 'T4G', {
          ...{ xlarge: 1, '2xlarge': 1, '4xlarge': 1, '8xlarge': 1, '16xlarge': 2, metal: 2 },
        }),
        ...family('g6.', 'L4', G_SIZES),
        ...family('gr6.', 'L4', { '4xlarge': 1, '8xlarge': 1 }),
        ...family('g6e.', 'L40S', G_SIZES),
        ...family('g7.', 'RTX PRO 4500', G7_SIZES),
        ...family('g7e.', 'RTX PRO 6000', G7_SIZES),
        ...family('trn1.', 'Trainium', { '2xlarge': 1, '32xlarge': 16 }),
        ...family('trn1n.', 'Trainium', { '32xlarge': 16 }),
        ...family('trn2.', 'Trainium 2', { '48xlarge': 16 }),
        ...family('inf1.', 'Inferentia', { xlarge: 1, '2xlarge': 1, '6xlarge': 4, '24xlarge': 16 }),
        ...family('inf2.', 'Inferentia 2', {
          ...{ xlarge: 1, '8xlarge': 1, '24xlarge': 6, '48xlarge': 12 },
        }),
        ...family('dl2q.', 'Qualcomm AI 100', { '24xlarge': 8 }),
      },
    },
    {
      source: 'https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html',
      date: '2025-11',
      recalled: true,
      types: {
        ...family('p2.', 'K80', { xlarge: 1, '8xlarge': 8, '16xlarge': 16 }),
        ...family('p3.', 'V100', { '2xlarge': 1, '8xlarge': 4, '16xlarge': 8 }),
        ...family('p6e-gb200.', 'GB200', { '36xlarge': 4 }),
        ...family('g3s.', 'M60', { xlarge: 1 }),
        ...family('g3.', 'M60', { '4xlarge': 1, '8xlarge': 2, '16xlarge': 4 }),
        ...family('g6f.', 'L4', {
          ...{ large: 1 / 8, xlarge: 1 / 8, '2xlarge': 1 / 4, '4xlarge': 1 / 2 },
        }),
        ...family('gr6f.', 'L4', { '4xlarge': 1 / 2 }),
        ...family('trn2.', 'Trainium 2', { '3xlarge': 1 }),
        ...family('trn2u.', 'Trainium 2', { '48xlarge': 16 }),
        ...family('dl1.', 'Gaudi', { '24xlarge': 8 }),
      },
    },
  ],
  // "Instance type names": the letters before the digit are the family; P and G have GPUs.
  acceleratedSeries: ['(?:p|g|gr|trn|inf|dl)\\d+[a-z]*(?:-[a-z]+\\d+)?\\.(?:\\d*x?large|metal)'],
  cpu: [
    'u-\\d+tb\\d+\\.(?:\\d*x?large|metal)',
    '(?:a|c|d|h|hpc|i|im|is|m|mac|r|t|u|x|z)\\d+[a-z]*(?:-[a-z0-9]+)*\\.(?:nano|micro|small|medium|\\d*x?large|metal)',
  ],
};

const azure: CloudInstances = {
  lists: [
    {
      // "Accelerators" of each series' page.
      source:
        'https://github.com/MicrosoftDocs/azure-compute-docs/tree/main/articles/virtual-machines/sizes/gpu-accelerated',
      date: '2025-12',
      types: {
        ...family('NC', 'RTX PRO 6000', {
          ...{ '128ds_xl_RTXPRO6000BSE_v6': 1, '128lds_xl_RTXPRO6000BSE_v6': 1 },
          ...{ '256ds_xl_RTXPRO6000BSE_v6': 2, '256lds_xl_RTXPRO6000BSE_v6': 2 },
          ...{ '320ds_xl_RTXPRO6000BSE_v6': 2, '320lds_xl_RTXPRO6000BSE_v6': 2 },
        }),
        ...family('ND', 'V100', { '40rs_v2': 8 }),
        ...family('ND', 'MI300X', { '96isr_MI300X_v5': 8, '96is_MI300X_v5': 8 }),
        ...family('ND', 'GB200', { '128isr_NDR_GB200_v6': 4 }),
        ...family('ND', 'GB300', { '128isr_GB300_v6': 4 }),
        ...family('NV', 'MI25', {
          ...{ '4as_v4': 1 / 8, '8as_v4': 1 / 4, '16as_v4': 1 / 2, '32as_v4': 1 },
        }),
        ...family('NV', 'A10', {
          ...{ '6ads_A10_v5': 1 / 6, '12ads_A10_v5': 1 / 3, '18ads_A10_v5': 1 / 2 },
          ...{ '36ads_A10_v5': 1, '36adms_A10_v5': 1, '72ads_A10_v5': 2 },
        }),
        ...family('NV', 'Radeon Pro V710', {
          ...{ '4ads_V710_v5': 1 / 6, '8ads_V710_v5': 1 / 3, '12ads_V710_v5': 1 / 2 },
          ...{ '24ads_V710_v5': 1, '28adms_V710_v5': 1 },
        }),
        ...family('NG', 'Radeon Pro V620', {
          ...{ '8ads_V620_v1': 1 / 4, '16ads_V620_v1': 1 / 2 },
          ...{ '32ads_V620_v1': 1, '32adms_V620_v1': 1 },
        }),
      },
    },
    {
      source: 'https://huggingface.co/docs/microsoft-azure/azure-ai/hardware',
      date: '2026',
      types: {
        ...family('NC', 'T4', {
          ...{ '4as_T4_v3': 1, '8as_T4_v3': 1, '16as_T4_v3': 1, '64as_T4_v3': 4 },
        }),
        ...family('NC', 'A100', { '24ads_A100_v4': 1, '48ads_A100_v4': 2, '96ads_A100_v4': 4 }),
        ...family('NC', 'H100', { '40ads_H100_v5': 1, '80adis_H100_v5': 2 }),
        ...family('ND', 'A100', { '96asr_v4': 8, '96amsr_A100_v4': 8 }),
        ...family('ND', 'H100', { '96isr_H100_v5': 8 }),
      },
    },
    {
      source:
        'https://aspire.dev/reference/api/csharp/aspire.hosting.azure.kubernetes/standardndisrh200v5/fields.md',
      date: '2026-05',
      types: family('ND', 'H200', { '96isr_H200_v5': 8 }),
    },
    {
      source: 'https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated',
      date: '2025-11',
      recalled: true,
      types: {
        ...family('NC', 'K80', { '6': 1, '12': 2, '24': 4, '24r': 4 }),
        ...family('NC', 'P100', { '6s_v2': 1, '12s_v2': 2, '24s_v2': 4, '24rs_v2': 4 }),
        ...family('NC', 'V100', { '6s_v3': 1, '12s_v3': 2, '24s_v3': 4, '24rs_v3': 4 }),
        ...family('NC', 'A10', { '8ads_A10_v4': 1 / 3, '16ads_A10_v4': 1 / 2, '32ads_A10_v4': 1 }),
        ...family('NCC', 'H100', { '40ads_H100_v5': 1 }),
        ...family('ND', 'P40', { '6s': 1, '12s': 2, '24s': 4, '24rs': 4 }),
        ...family('ND', 'A100', { '96ams_A100_v4': 8 }),
        ...family('ND', 'H100', { '96is_H100_v5': 8 }),
        ...family('NV', 'M60', { '6': 1, '12': 2, '24': 4, '6s_v2': 1, '12s_v2': 2, '24s_v2': 4 }),
        ...family('NV', 'M60', { '12s_v3': 1, '24s_v3': 2, '48s_v3': 4 }),
      },
    },
  ],
  // Sizes are written Standard_ND96asr_v4, ND96asr v4, and as a series "NDasrv4 Series"; N is the
  // family with accelerators, and NP the one with FPGAs.
  acceleratedSeries: [
    '(?:standard[ _])?n(?:c|cc|d|v|g)\\d+[a-z]*(?:[ _][a-z0-9]+)*?(?:[ _]?v\\d)?',
    'n(?:c|cc|d|v|g)[a-z0-9]*v\\d+ series',
  ],
  cpu: [
    'standard[ _](?:a|b|d|dc|e|ec|f|fx|g|gs|h|hb|hc|hx|l|m)\\d+(?:-\\d+)?[a-z]*(?:[ _]v\\d+)?',
    '(?:a|b|d|dc|e|ec|f|fx|hb|hc|hx|l|m)\\d+(?:-\\d+)?[a-z]*[ _]v\\d+',
    '(?:b\\d+(?:ms|ls|s)|ds\\d+|h[bcx]\\d+(?:-\\d+)?rs|l\\d+s|fx\\d+mds)',
    'm\\d+(?:-\\d+)?[a-z]*s(?:[ _]\\d+)?(?:[ _]v\\d+)?',
    '(?:dc|ec)\\d+[a-z]+[ _]cc[ _]v\\d+',
    '[a-m][a-z]*v\\d+ series',
  ],
};

const google: CloudInstances = {
  lists: [
    {
      source:
        'https://github.com/GoogleCloudPlatform/cluster-toolkit/blob/00774fd48be8acb25f51bb0cfcec1c864c30a143/pkg/config/hardware.go',
      date: '2026',
      types: {
        ...family('a2-highgpu-', 'A100', { '1g': 1, '2g': 2, '4g': 4, '8g': 8 }),
        ...family('a2-megagpu-', 'A100', { '16g': 16 }),
        ...family('a2-ultragpu-', 'A100', { '1g': 1, '2g': 2, '4g': 4, '8g': 8 }),
        ...family('a3-highgpu-', 'H100', { '1g': 1, '2g': 2, '4g': 4, '8g': 8 }),
        ...family('a3-megagpu-', 'H100', { '8g': 8 }),
        ...family('a3-ultragpu-', 'H200', { '8g': 8 }),
        ...family('a4-highgpu-', 'B200', { '8g': 8 }),
        ...family('a4x-highgpu-', 'GB200', { '4g': 4 }),
        ...family('g2-standard-', 'L4', { '12': 1, '24': 2, '48': 4, '96': 8 }),
        ...family('g4-standard-', 'RTX PRO 6000', { '48': 1, '96': 2, '192': 4, '384': 8 }),
        ...family('ct4p-hightpu-', 'TPU v4', { '4t': 4 }),
        ...family('ct5lp-hightpu-', 'TPU v5e', { '1t': 1, '4t': 4, '8t': 8 }),
        ...family('ct5p-hightpu-', 'TPU v5p', { '1t': 1, '2t': 2, '4t': 4 }),
        ...family('ct6e-standard-', 'TPU v6e', { '1t': 1, '4t': 4, '8t': 8 }),
        ...family('tpu7x-standard-', 'TPU v7', { '4t': 4 }),
      },
    },
    {
      source: 'https://cloud.google.com/compute/docs/gpus',
      date: '2025-11',
      recalled: true,
      types: {
        ...family('a3-edgegpu-', 'H100', { '8g': 8 }),
        ...family('a4x-maxgpu-', 'GB300', { '4g-metal': 4 }),
        ...family('g2-standard-', 'L4', { '4': 1, '8': 1, '16': 1, '32': 1 }),
      },
    },
  ],
  // Machine types, and the SKUs of the processors and the memory of these machines.
  acceleratedSeries: [
    'a[2-9]x?-[a-z]+gpu-\\d+g',
    'g[24]-standard-\\d+',
    'ct\\d[a-z]*-[a-z]+-\\d+t',
    'tpu\\d+x?-[a-z]+-\\d+t',
    '(?:a[2-9]x?|g[24])(?: [a-z]+)? instance (?:core|ram)',
  ],
  cpu: [
    '(?:n1|n2d?|n4[ad]?|e2|c2d?|c3d?|c4[ad]?|t2[ad]|m[1-4]|z3|h3|h4d|x4)-(?:standard|highmem|highcpu|micro|small|medium|ultramem|megamem|hypermem|custom|node|metal)[a-z0-9-]*',
    '(?:n1 predefined|n1 custom|custom|n2d?|n4|e2|c2d?|compute optimized|c3d?|c4[ad]?|t2[ad]|memory[- ]optimized|m[1-4]|z3|h3) (?:amd |arm )?instance (?:core|ram)',
  ],
};

const oracle: CloudInstances = {
  lists: [
    {
      source:
        'https://github.com/skypilot-org/skypilot-catalog/blob/0588751183820cf2dab5c8a89447e8aac9f73fd5/catalogs/v8/oci/vms.csv',
      date: '2026',
      types: {
        ...{ 'VM.GPU2.1': ['P100', 1], 'BM.GPU2.2': ['P100', 2], 'BM.GPU3.8': ['V100', 8] },
        ...family('VM.GPU3.', 'V100', { '1': 1, '2': 2, '4': 4 }),
        ...{ 'BM.GPU4.8': ['A100', 8], 'BM.GPU.A100-v2.8': ['A100', 8] },
        ...{ 'VM.GPU.A10.1': ['A10', 1], 'VM.GPU.A10.2': ['A10', 2], 'BM.GPU.A10.4': ['A10', 4] },
        ...{ 'BM.GPU.L40S.4': ['L40S', 4], 'BM.GPU.H100.8': ['H100', 8] },
        ...{ 'BM.GPU.H200.8': ['H200', 8], 'BM.GPU.B200.8': ['B200', 8] },
        ...{ 'BM.GPU.B300.8': ['B300', 8], 'BM.GPU.GB200.4': ['GB200', 4] },
        ...{ 'BM.GPU.GB300.4': ['GB300', 4], 'BM.GPU.MI300X.8': ['MI300X', 8] },
        ...{ 'BM.GPU.MI355X.8': ['MI355X', 8], 'BM.GPU.RTXPRO.8': ['RTX PRO 6000', 8] },
      },
    },
    {
      source: 'https://docs.oracle.com/iaas/Content/Compute/References/computeshapes.htm',
      date: '2025-11',
      recalled: true,
      types: {
        ...{ 'BM.GPU.B4.8': ['A100', 8], 'BM.GPU.L40S-NC.4': ['L40S', 4] },
        ...{ 'BM.GPU.H100-NC.8': ['H100', 8], 'BM.GPU.H200-NC.8': ['H200', 8] },
      },
    },
  ],
  acceleratedSeries: ['(?:vm|bm)\\.gpu\\d*(?:\\.[a-z0-9-]+)+'],
  cpu: [
    '(?:vm|bm)\\.(?:standard|denseio|optimized|hpc)[a-z0-9-]*(?:\\.[a-z0-9$-]+)*',
    'standard - [aex]\\d+',
  ],
};

const lambda: CloudInstances = {
  lists: [
    {
      source:
        'https://github.com/skypilot-org/skypilot-catalog/blob/0f4070387edc953d7004cff197940e1918a1d6aa/catalogs/v8/lambda/vms.csv',
      date: '2026',
      types: {
        ...family('gpu_', 'V100', { '8x_v100': 8, '8x_v100_n': 8 }),
        ...family('gpu_', 'A6000', { '1x_a6000': 1, '2x_a6000': 2, '4x_a6000': 4 }),
        ...family('gpu_', 'A100', {
          ...{ '1x_a100': 1, '1x_a100_sxm4': 1, '2x_a100': 2, '4x_a100': 4, '8x_a100': 8 },
        }),
      },
    },
    {
      source: 'https://docs.lambda.ai/public-cloud/on-demand/',
      date: '2025-11',
      recalled: true,
      types: {
        ...family('gpu_', 'A10', { '1x_a10': 1 }),
        ...family('gpu_', 'RTX 6000', { '1x_rtx6000': 1 }),
        ...family('gpu_', 'A100', { '8x_a100_80gb_sxm4': 8 }),
        ...family('gpu_', 'H100', {
          ...{ '1x_h100_pcie': 1, '1x_h100_sxm5': 1, '2x_h100_sxm5': 2, '4x_h100_sxm5': 4 },
          ...{ '8x_h100_sxm5': 8 },
        }),
        ...family('gpu_', 'GH200', { '1x_gh200': 1 }),
        ...family('gpu_', 'B200', {
          ...{ '1x_b200_sxm6': 1, '2x_b200_sxm6': 2, '4x_b200_sxm6': 4, '8x_b200_sxm6': 8 },
        }),
      },
    },
  ],
  acceleratedSeries: ['gpu_\\d+x_[a-z0-9_]+'],
  cpu: ['cpu_\\d+x_[a-z0-9_]+'],
};

const coreweave: CloudInstances = {
  lists: [
    {
      source:
        'https://github.com/kubernetes/autoscaler/blob/309215411136582304249e45712cbe2c915e76ce/cluster-autoscaler/cloudprovider/coreweave/coreweave_instance_types.go',
      date: '2025',
      types: {
        ...{ 'gd-8xa100-i128': ['A100', 8], 'gd-8xl40-i128': ['L40', 8] },
        ...{ 'gd-8xl40s-i128': ['L40S', 8], 'gd-8xh100ib-i128': ['H100', 8] },
        ...{ 'gd-8xh200ib-i128': ['H200', 8], 'gd-1xgh200': ['GH200', 1] },
        ...{ 'b200-8x': ['B200', 8], 'rtxp6000-8x': ['RTX PRO 6000', 8] },
      },
    },
    {
      source: 'https://docs.coreweave.com/docs/platform/instances/gb200',
      date: '2025-11',
      types: { 'gb200-4x': ['GB200', 4] },
    },
    {
      source: 'https://docs.coreweave.com/platform/instances',
      date: '2025-11',
      recalled: true,
      types: { 'b300-8x': ['B300', 8], 'gb300-4x': ['GB300', 4] },
    },
  ],
  acceleratedSeries: ['gd-\\d+x[a-z0-9]+(?:-[a-z0-9]+)?', '(?:g?b\\d00|rtxp\\d+)-\\d+x[a-z0-9-]*'],
  cpu: ['c[dp]-[a-z]+(?:-l)?-[aix]\\d+[a-z]*(?:-[a-z0-9]+)?', 'turin-gp(?:-l)?'],
};

export const CLOUDS: Readonly<Record<string, CloudInstances>> = {
  aws,
  azure,
  google,
  oracle,
  lambda,
  coreweave,
};
