/**
 * @file The types of the kernels' exports, as assembly/*.ts defines them. Addresses are bytes,
 * strides and sizes are elements.
 */
export interface KernelExports {
  fill(out: number, n: number, value: number): void;
  fillInteger(out: number, n: number, value: number): void;
  copyRows(
    out: number,
    outStride: number,
    a: number,
    aStride: number,
    rows: number,
    columns: number,
  ): void;
  add(out: number, a: number, b: number, n: number): void;
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
  sumCopies(out: number, first: number, stride: number, copies: number, n: number): void;
  expandBf16(out: number, bits: number, n: number): void;
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
  gatherRows(out: number, table: number, ids: number, rows: number, columns: number): void;
  scatterRows(
    out: number,
    a: number,
    aStride: number,
    ids: number,
    rows: number,
    columns: number,
    accumulate: boolean,
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
    accumulate: boolean,
  ): void;
  balanceLoss(
    dLogits: number,
    scores: number,
    chosen: number,
    segments: number,
    sequences: number,
    experts: number,
    topK: number,
    coefficient: number,
    shares: number,
  ): number;
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
  quantizeFp8(
    out: number,
    a: number,
    rows: number,
    columns: number,
    blockRows: number,
    blockColumns: number,
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
  anyNonZero(x: number, n: number): number;
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
  crossEntropyLoss(
    dLogProbabilities: number,
    loss: number,
    logProbabilities: number,
    weights: number,
    n: number,
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
  sumSquares(x: number, n: number): number;
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
}
