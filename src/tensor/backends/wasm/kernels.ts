/**
 * @file The types of the kernels' exports. Written by scripts/build.mjs from assembly/*.ts: do not
 * edit. Addresses are bytes, strides and sizes are elements.
 */
export interface KernelExports {
  adamw(
    parameter: number,
    firstMoment: number,
    secondMoment: number,
    gradient: number,
    n: number,
    gradientScale: number,
    beta1: number,
    oneMinusBeta1: number,
    beta2: number,
    oneMinusBeta2: number,
    keep: number,
    rate: number,
    correction: number,
    epsilon: number,
  ): void;
  add(out: number, a: number, b: number, n: number): void;
  anyNonZero(x: number, n: number): number;
  attentionBackward(
    dq: number,
    dqStride: number,
    addQ: boolean,
    dk: number,
    dkStride: number,
    addK: boolean,
    dv: number,
    dvStride: number,
    addV: boolean,
    dOut: number,
    dOutStride: number,
    out: number,
    outStride: number,
    logSumExp: number,
    q: number,
    qStride: number,
    k: number,
    kStride: number,
    v: number,
    vStride: number,
    segments: number,
    prefixes: number,
    from: number,
    to: number,
    heads: number,
    kvHeads: number,
    keyDim: number,
    valueDim: number,
    scale: number,
    scratch: number,
  ): void;
  attentionCached(
    out: number,
    outStride: number,
    q: number,
    qStride: number,
    keys: number,
    keysStride: number,
    values: number,
    valuesStride: number,
    prefixStart: number,
    prefixLength: number,
    ownStart: number,
    ownLength: number,
    batch: number,
    heads: number,
    kvHeads: number,
    keyDim: number,
    valueDim: number,
    scale: number,
    scratch: number,
  ): void;
  attentionClear(x: number, stride: number, rows: number, columns: number): void;
  attentionForward(
    out: number,
    outStride: number,
    logSumExp: number,
    q: number,
    qStride: number,
    k: number,
    kStride: number,
    v: number,
    vStride: number,
    segments: number,
    prefixes: number,
    from: number,
    to: number,
    heads: number,
    kvHeads: number,
    keyDim: number,
    valueDim: number,
    scale: number,
    scratch: number,
  ): void;
  attentionSoftmax(
    scores: number,
    width: number,
    rows: number,
    first: number,
    logSumExp: number,
    heads: number,
  ): void;
  attentionSoftmaxBackward(
    scores: number,
    dScores: number,
    width: number,
    rows: number,
    first: number,
    logSumExp: number,
    heads: number,
    dOut: number,
    dOutStride: number,
    out: number,
    outStride: number,
    valueDim: number,
    scale: number,
  ): void;
  balanceLoss(
    dLogits: number,
    scores: number,
    chosen: number,
    segments: number,
    prefixes: number,
    sequences: number,
    experts: number,
    topK: number,
    coefficient: number,
    shares: number,
  ): number;
  combineRows(
    out: number,
    y: number,
    slots: number,
    weights: number,
    rows: number,
    columns: number,
    topK: number,
    accumulate: boolean,
  ): void;
  combineRowsBackward(
    dY: number,
    dWeights: number,
    dOut: number,
    y: number,
    slots: number,
    weights: number,
    rows: number,
    columns: number,
    topK: number,
  ): void;
  copyRows(
    out: number,
    outStride: number,
    a: number,
    aStride: number,
    rows: number,
    columns: number,
  ): void;
  crossEntropyLoss(
    dLogProbabilities: number,
    loss: number,
    logProbabilities: number,
    weights: number,
    n: number,
  ): void;
  expandBf16(out: number, bits: number, n: number): void;
  expandF16(out: number, from: number, n: number): void;
  expandF32(out: number, from: number, n: number): void;
  expandQ4_0(out: number, from: number, n: number): void;
  expandQ4_1(out: number, from: number, n: number): void;
  expandQ4_K(out: number, from: number, n: number): void;
  expandQ5_0(out: number, from: number, n: number): void;
  expandQ5_1(out: number, from: number, n: number): void;
  expandQ5_K(out: number, from: number, n: number): void;
  expandQ6_K(out: number, from: number, n: number): void;
  expandQ8_0(out: number, from: number, n: number): void;
  fill(out: number, n: number, value: number): void;
  fillInteger(out: number, n: number, value: number): void;
  gatherRows(out: number, table: number, ids: number, rows: number, columns: number): void;
  geglu(out: number, gateUp: number, rows: number, columns: number): void;
  gegluBackward(
    dGateUp: number,
    dOut: number,
    gateUp: number,
    rows: number,
    columns: number,
    accumulate: boolean,
    powers: number,
  ): void;
  joinHeads(
    k: number,
    v: number,
    up: number,
    shared: number,
    sharedStride: number,
    rows: number,
    heads: number,
    dn: number,
    dr: number,
    dv: number,
  ): void;
  joinHeadsBackward(
    dUp: number,
    dShared: number,
    dSharedStride: number,
    dk: number,
    dvs: number,
    rows: number,
    heads: number,
    dn: number,
    dr: number,
    dv: number,
    addUp: boolean,
    addShared: boolean,
  ): void;
  policyLoss(
    dLogProbabilities: number,
    metrics: number,
    logProbabilities: number,
    old: number,
    reference: number,
    advantages: number,
    weights: number,
    n: number,
    clipLow: number,
    clipHigh: number,
    klCoefficient: number,
  ): void;
  prefixOf(prefixes: number, s: number): number;
  quantizeFp8(
    out: number,
    a: number,
    rows: number,
    columns: number,
    blockRows: number,
    blockColumns: number,
  ): void;
  rmsNorm(
    out: number,
    outStride: number,
    inverseRms: number,
    x: number,
    xStride: number,
    weight: number,
    rows: number,
    blocks: number,
    d: number,
    epsilon: number,
  ): void;
  rmsNormBackward(
    dx: number,
    dxStride: number,
    dWeight: number,
    dOut: number,
    x: number,
    xStride: number,
    weight: number,
    inverseRms: number,
    rows: number,
    blocks: number,
    d: number,
    accumulate: boolean,
  ): void;
  rope(
    out: number,
    outStride: number,
    x: number,
    xStride: number,
    positions: number,
    cosine: number,
    sine: number,
    rows: number,
    repeat: number,
    heads: number,
    half: number,
    inverse: boolean,
    accumulate: boolean,
    interleaved: boolean,
  ): void;
  route(
    chosen: number,
    weights: number,
    scores: number,
    logits: number,
    bias: number,
    rows: number,
    experts: number,
    topK: number,
    groups: number,
    topGroups: number,
    normalize: boolean,
    scale: number,
    softmax: boolean,
    scratch: number,
  ): void;
  routeBackward(
    dLogits: number,
    dWeights: number,
    chosen: number,
    scores: number,
    rows: number,
    experts: number,
    topK: number,
    normalize: boolean,
    scale: number,
    softmax: boolean,
    accumulate: boolean,
  ): void;
  sample(
    ids: number,
    logProbabilities: number,
    logits: number,
    uniforms: number,
    rows: number,
    vocabulary: number,
    inverseTemperature: number,
    powers: number,
  ): void;
  scaleRows(
    out: number,
    outStride: number,
    a: number,
    aStride: number,
    rows: number,
    columns: number,
    scale: number,
    accumulate: boolean,
  ): void;
  scatterRows(
    out: number,
    a: number,
    aStride: number,
    ids: number,
    rows: number,
    columns: number,
    accumulate: boolean,
  ): void;
  sgemm(
    transposeA: boolean,
    transposeB: boolean,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    b: number,
    ldb: number,
    beta: number,
    c: number,
    ldc: number,
    scratch: number,
  ): void;
  sgemmLimit(repeats: number, k: number, scratch: number): void;
  sortByExpert(
    offsets: number,
    tokens: number,
    slots: number,
    amounts: number,
    chosen: number,
    n: number,
    experts: number,
    topK: number,
    next: number,
  ): void;
  sumCopies(out: number, first: number, stride: number, copies: number, n: number): void;
  sumSquares(x: number, n: number): number;
  swiglu(out: number, gateUp: number, rows: number, columns: number): void;
  swigluBackward(
    dGateUp: number,
    dOut: number,
    gateUp: number,
    rows: number,
    columns: number,
    accumulate: boolean,
    powers: number,
  ): void;
  tokenLogProbabilities(
    logProbabilities: number,
    entropy: number,
    logSumExp: number,
    logits: number,
    targets: number,
    rows: number,
    vocabulary: number,
    powers: number,
  ): void;
  tokenLogProbabilitiesBackward(
    logits: number,
    dLogProbabilities: number,
    logSumExp: number,
    targets: number,
    rows: number,
    vocabulary: number,
    scale: number,
  ): void;
}
