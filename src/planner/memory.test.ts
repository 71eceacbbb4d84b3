import { describe, expect, it } from 'vitest';
import type { Architecture } from '../architecture/index.js';
import { Random } from '../base/random.js';
import { layerActivationBytes, microBatchesInFlight } from './activations.js';
import type { Layout, Recompute, Sharding } from './layout.js';
import { MEMORY_CALIBRATION, memoryOf, stageLayers } from './memory.js';

function gpt(layers: number, hidden: number, heads: number, vocab: number): Architecture {
  return {
    name: 'gpt',
    layers,
    hidden,
    vocab,
    attention: {
      kind: 'gqa',
      heads,
      kvHeads: heads,
      headDim: hidden / heads,
      bias: 'all',
      qkNorm: 'none',
      window: null,
    },
    intermediate: 4 * hidden,
    gated: false,
    moe: null,
    mtpLayers: 0,
    tiedEmbeddings: true,
    learnedPositions: 0,
    maxPositions: 2048,
  };
}

function llama(layers: number, hidden: number, heads: number, intermediate: number): Architecture {
  return {
    ...gpt(layers, hidden, heads, 128256),
    name: 'llama',
    attention: {
      kind: 'gqa',
      heads,
      kvHeads: 8,
      headDim: hidden / heads,
      bias: 'none',
      qkNorm: 'none',
      window: null,
    },
    intermediate,
    gated: true,
    tiedEmbeddings: false,
  };
}

const V3: Architecture = {
  name: 'DeepSeek-V3',
  layers: 61,
  hidden: 7168,
  vocab: 129280,
  attention: {
    kind: 'mla',
    heads: 128,
    qLoraRank: 1536,
    kvLoraRank: 512,
    qkNopeHeadDim: 128,
    qkRopeHeadDim: 64,
    vHeadDim: 128,
  },
  intermediate: 18432,
  gated: true,
  moe: {
    experts: 256,
    topK: 8,
    sharedExperts: 1,
    expertIntermediate: 2048,
    groups: 8,
    topGroups: 4,
    routerBias: true,
    denseLayers: 3,
  },
  mtpLayers: 1,
  tiedEmbeddings: false,
  learnedPositions: 0,
  maxPositions: 4096,
};

function layout(changes: Partial<Layout>): Layout {
  return {
    tensor: 1,
    pipeline: 1,
    data: 1,
    expert: 1,
    context: 1,
    expertTensor: 1,
    sequenceParallel: false,
    microBatch: 1,
    schedule: '1f1b',
    chunks: 1,
    recompute: 'none',
    sharding: 'none',
    precision: 'bf16',
    ...changes,
  };
}

const before2022 = { sequenceTokens: 2048, flashAttention: false };

describe('activations of a layer, Korthikanti et al. (arXiv:2205.05198)', () => {
  const model = gpt(96, 12288, 96, 51200);
  const [s, b, h, a, t] = [2048, 1, 12288, 96, 8];

  // Table 2, with b = 1.
  it.each([
    ['no parallelism', {}, s * b * h * (34 + (5 * a * s) / h)],
    ['tensor', { tensor: t }, s * b * h * (10 + 24 / t + (5 * a * s) / (h * t))],
    [
      'tensor and sequence',
      { tensor: t, sequenceParallel: true },
      ((s * b * h) / t) * (34 + (5 * a * s) / h),
    ],
    [
      'tensor, selective',
      { tensor: t, recompute: 'selective' as const },
      s * b * h * (10 + 24 / t),
    ],
    [
      'tensor, sequence, selective',
      { tensor: t, sequenceParallel: true, recompute: 'selective' as const },
      (s * b * h * 34) / t,
    ],
    ['full', { tensor: t, recompute: 'full' as const }, s * b * h * 2],
  ])('table 2: %s', (_, changes, expected) => {
    expect(layerActivationBytes(model, layout(changes), before2022) / expected).toBeCloseTo(1, 12);
  });

  // Figure 7, read off in the calculon repository: percent of tensor parallelism without recompute.
  it.each([
    ['22B', gpt(48, 6144, 64, 51200), [66.84, 49.42, 16.18, 7.64]],
    ['175B', model, [62.04, 56.53, 18.49, 8.71]],
    ['530B', gpt(105, 20480, 128, 51200), [58.31, 62.04, 20.27, 9.42]],
    ['1T', gpt(128, 25600, 160, 51200), [58.31, 62.04, 20.27, 9.42]],
  ] as const)('figure 7: %s', (_, architecture, percents) => {
    const bytes = (changes: Partial<Layout>) =>
      layerActivationBytes(architecture, layout({ tensor: 8, ...changes }), before2022);
    const choices: Partial<Layout>[] = [
      { sequenceParallel: true },
      { recompute: 'selective' },
      { recompute: 'selective', sequenceParallel: true },
      { recompute: 'full' },
    ];
    // Read from a plot: within 1.2% of the bar.
    choices.forEach((choice, i) => {
      expect(Math.abs((100 * bytes(choice)) / bytes({}) / percents[i] - 1)).toBeLessThan(0.012);
    });
  });

  it('stores no scores with FlashAttention', () => {
    const flash = layerActivationBytes(model, layout({}), { sequenceTokens: 2048 });
    expect(flash / (s * h * 34 + 4 * a * s)).toBeCloseTo(1, 12);
  });
});

describe('the pipeline', () => {
  it('holds p micro-batches, and 1 + (p − 1)/(p v) times that when interleaved', () => {
    const plain = layout({ pipeline: 8 });
    expect(microBatchesInFlight(plain, 0, 100)).toBe(8);
    expect(microBatchesInFlight(plain, 7, 100)).toBe(1);
    expect(microBatchesInFlight(plain, 0, 3)).toBe(3);
    const interleaved = layout({ pipeline: 8, chunks: 3, schedule: 'interleaved' });
    expect(microBatchesInFlight(interleaved, 0, 100)).toBeCloseTo(8 * (1 + 7 / 24), 12);
    expect(microBatchesInFlight(layout({ pipeline: 16, schedule: 'dualpipe' }), 5, 100)).toBe(17);
  });

  it('gives every layer to one rank', () => {
    for (const layers of [1, 61, 70, 96, 126]) {
      for (const pipeline of [1, 2, 5, 8, 12, 16, 35]) {
        let next = 0;
        for (let rank = 0; rank < pipeline; rank++) {
          const [from, to] = stageLayers(layers, pipeline, rank);
          expect(from).toBe(next);
          next = Math.max(from, to);
        }
        expect(next).toBe(layers);
      }
    }
    // BLOOM: 70 layers on 12 ranks, the embedding and the head in the place of one each.
    expect([0, 1, 11].map((rank) => stageLayers(70, 12, rank))).toEqual([
      [0, 5],
      [5, 11],
      [65, 70],
    ]);
  });
});

describe('memory of an accelerator', () => {
  it('counts bytes a parameter by what is shared', () => {
    const model = gpt(24, 2048, 16, 51200);
    // Weights of the layers with biases and norms, one tied table, one final norm.
    const parameters = 24 * (12 * 2048 ** 2 + 13 * 2048) + 51200 * 2048 + 2048;
    const at = (sharding: Sharding) =>
      memoryOf(model, layout({ data: 64, sharding }), { sequenceTokens: 2048 });
    const plain = at('none');
    expect(plain.weights / (2 * parameters)).toBeCloseTo(1, 4);
    expect(plain.gradients / (4 * parameters)).toBeCloseTo(1, 4);
    expect(plain.optimizer / (12 * parameters)).toBeCloseTo(1, 4);
    expect(at('optimizer').optimizer).toBeCloseTo(plain.optimizer / 64, 0);
    expect(at('gradients').gradients).toBeCloseTo(plain.gradients / 64, 0);
    expect(at('weights').weights / ((4 * parameters) / 64)).toBeCloseTo(1, 4);
    const { weights, gradients, optimizer, activations, workspace, moeBuffers, framework, total } =
      plain;
    expect(
      weights + gradients + optimizer + activations + workspace + moeBuffers + framework,
    ).toBeCloseTo(total, 0);
    expect(plain.interval.high / plain.interval.value).toBeCloseTo(MEMORY_CALIBRATION.factor90, 12);
  });

  it('leaves gradients and optimizer of frozen weights away', () => {
    const model = llama(32, 4096, 32, 14336);
    const full = memoryOf(model, layout({}), { sequenceTokens: 2048 });
    const adapters = memoryOf(model, layout({}), { sequenceTokens: 2048, training: 'adapters' });
    expect(adapters.weights).toBe(full.weights);
    expect(adapters.gradients + adapters.optimizer).toBeLessThan(
      0.01 * (full.gradients + full.optimizer),
    );
    // 8 billion parameters: 16 GB of weights trained with adapters on a card that full training
    // needs twice over.
    expect(adapters.total).toBeLessThan(80e9);
    expect(full.total).toBeGreaterThan(140e9);
  });

  // Peaks that nvidia-smi showed on Jean Zay's A100s, full recompute, ZeRO-1; bigscience
  // tr11-176B-ml/chronicles-prequel.md.
  it.each([
    [72, 14336, 64, 8, 12, 4, 1, 'fp16', 29],
    [72, 14336, 64, 8, 12, 4, 4, 'fp16', 49],
    [72, 14336, 64, 8, 12, 4, 8, 'fp16', 69],
    [72, 14336, 64, 8, 2, 24, 1, 'fp16', 65],
    [72, 14336, 64, 4, 6, 16, 2, 'fp16', 57],
    [72, 14336, 64, 2, 24, 8, 2, 'fp16', 53],
    [96, 12288, 64, 1, 48, 8, 1, 'fp16', 58],
    [70, 14336, 112, 4, 12, 8, 2, 'bf16', 59],
    [106, 12288, 96, 4, 12, 8, 4, 'bf16', 79],
  ] as const)(
    '%i layers of %i, %i heads: tp%i pp%i dp%i mb%i %s',
    (layers, hidden, heads, tensor, pipeline, data, microBatch, precision, gb) => {
      const { interval } = memoryOf(
        gpt(layers, hidden, heads, 250680),
        layout({
          tensor,
          pipeline,
          data,
          microBatch,
          precision,
          recompute: 'full',
          sharding: 'optimizer',
        }),
        { ...before2022, gradientBytes: precision === 'bf16' ? 6 : 2 },
      );
      expect(interval.low / 1e9).toBeLessThan(gb);
      expect(interval.high / 1e9).toBeGreaterThan(gb);
    },
  );

  // pytorch/torchtitan, benchmarks/llama3_h100_202412_torchtitan.md: GiB on H100s of 96 GB.
  it.each([
    [
      '8B FSDP8',
      llama(32, 4096, 32, 14336),
      { data: 8, microBatch: 2, recompute: 'selective' },
      8192,
      77,
    ],
    [
      '8B FSDP128',
      llama(32, 4096, 32, 14336),
      { data: 128, microBatch: 2, recompute: 'selective' },
      8192,
      67,
    ],
    [
      '8B CP8',
      llama(32, 4096, 32, 14336),
      { data: 1, context: 8, recompute: 'full' },
      262144,
      84.5,
    ],
    [
      '70B TP8',
      llama(80, 8192, 64, 28672),
      { tensor: 8, data: 32, microBatch: 16, recompute: 'full' },
      8192,
      67.6,
    ],
    [
      '405B',
      llama(126, 16384, 128, 53248),
      { tensor: 8, pipeline: 8, data: 8, recompute: 'full' },
      32768,
      75.3,
    ],
  ] as const)('%s', (_, architecture, changes, sequenceTokens, gib) => {
    const { total } = memoryOf(
      architecture,
      layout({ sharding: 'weights', sequenceParallel: true, ...changes }),
      {
        sequenceTokens,
      },
    );
    expect(total / 2 ** 30 / gib).toBeGreaterThan(0.9);
    expect(total / 2 ** 30 / gib).toBeLessThan(1.1);
  });

  // Korthikanti et al., figure 1, with the layouts of their table 3: tensor parallelism alone does
  // not fit into 80 GB; sequence parallelism with selective recomputation does.
  it.each([
    ['22B', gpt(48, 6144, 64, 51200), { microBatch: 4 }],
    ['175B', gpt(96, 12288, 96, 51200), { pipeline: 8, chunks: 3, schedule: 'interleaved' }],
    ['530B', gpt(105, 20480, 128, 51200), { pipeline: 35, chunks: 3, schedule: 'interleaved' }],
    ['1T', gpt(128, 25600, 160, 51200), { pipeline: 64 }],
  ] as const)('figure 1: %s', (_, architecture, changes) => {
    const total = (more: Partial<Layout>) =>
      memoryOf(architecture, layout({ tensor: 8, precision: 'fp16', ...changes, ...more }), {
        ...before2022,
        gradientBytes: 4,
      }).total;
    expect(total({})).toBeGreaterThan(80e9);
    expect(total({ sequenceParallel: true, recompute: 'selective' })).toBeLessThan(80e9);
  });

  it("fits DeepSeek-V3's published layout into an H800, and not without sharing the optimizer or the experts", () => {
    const published = layout({
      pipeline: 16,
      data: 128,
      expert: 64,
      schedule: 'dualpipe',
      recompute: 'selective',
      sharding: 'optimizer',
      precision: 'fp8',
    });
    const options = { sequenceTokens: 4096, optimizerBytes: 8, fp8Activations: true };
    const bytes = (changes: Partial<Layout>) => memoryOf(V3, { ...published, ...changes }, options);
    expect(bytes({}).total).toBeLessThan(80e9);
    expect(bytes({}).total).toBeGreaterThan(30e9);
    expect(bytes({}).moeBuffers).toBeGreaterThan(0);
    expect(bytes({ expert: 8 }).total).toBeGreaterThan(80e9);
    expect(bytes({ recompute: 'none' }).activations).toBeGreaterThan(1.4 * bytes({}).activations);
  });

  it('never rises with more data-parallel ranks, all else fixed', () => {
    const models = [gpt(96, 12288, 96, 51200), llama(80, 8192, 64, 28672), V3];
    const random = new Random(3, 'layouts');
    for (let i = 0; i < 120; i++) {
      const architecture = random.pick(models);
      const pipeline = 2 ** random.integer(0, 4);
      const base = layout({
        tensor: 2 ** random.integer(0, 3),
        pipeline,
        context: 2 ** random.integer(0, 1),
        expert: architecture.moe === null ? 1 : 2 ** random.integer(0, 4),
        sequenceParallel: random.chance(0.5),
        microBatch: 2 ** random.integer(0, 2),
        chunks: pipeline > 1 ? random.integer(1, 2) : 1,
        recompute: random.pick<Recompute>(['none', 'selective', 'full']),
        sharding: random.pick<Sharding>(['none', 'optimizer', 'gradients', 'weights']),
      });
      let previous = Number.POSITIVE_INFINITY;
      for (const data of [1, 2, 4, 16, 48, 1024].map((each) => each * base.expert)) {
        const { total } = memoryOf(
          architecture,
          { ...base, data },
          { sequenceTokens: 4096, microBatches: 32 },
        );
        expect(total).toBeLessThanOrEqual(previous);
        previous = total;
      }
    }
  });
});
