/**
 * @file Published measurements of serving: throughput and latency of served models, one figure a
 * row. A data file: each row stands on its own source. What `plan serve` puts beside its own
 * figures; no prediction reads a value.
 */

/** The columns of `docs/guides/validate.md`. */
export type ServingMeasurement = {
  source: string;
  model: string;
  gpu: string;
  /** Accelerators; empty where the source gives none. */
  n_gpus: string;
  engine: string;
  precision: string;
  parallelism: string;
  /** Tokens of the prompt and of the answer. */
  isl: string;
  osl: string;
  concurrency: string;
  phase: string;
  metric: string;
  value: string;
  unit: string;
  note: string;
};

const SOURCES = [
  'deepseek-ai/open-infra-index day 6 (2025-03-01)',
  'SGLang large-scale EP blog (2025-05)',
  'vLLM large-scale serving blog (2025-12)',
  'NVIDIA TensorRT-LLM perf-overview (1.x)',
  'SemiAnalysisAI/InferenceX issue #870 (bot-run sweep 2026-03-05)',
  'InferenceMAX/InferenceX launch + v2 articles',
  'tenstorrent/tt-inference-server#356',
  'sgl-project/sglang#3361',
  'SemiAnalysisAI/InferenceX issue #828 (nvidia-smi, 1 s)',
];

/** A figure a line; the first column is the number of its source. */
const TABLE = `
0|DeepSeek-V3/R1|H800-SXM-80GB|144|DeepSeek in-house|fp8 GEMM+dispatch / bf16 MLA+combine|EP144 DP144 (18 nodes, 2 routed+1 shared experts/GPU)||||decode|tokens_per_s_per_node|14800|tokens/s/node(8 GPU)|avg over 24 h; avg KV length 4,989
1|DeepSeek-V3/R1|H100-SXM-80GB|96|SGLang PD-disagg|fp8|EP32-class|2000|||prefill|tokens_per_s_per_node|52300|tokens/s/node(8 GPU)|12 nodes total
1|DeepSeek-V3/R1|H100-SXM-80GB|96|SGLang PD-disagg|fp8|EP72-class|2000|||decode|tokens_per_s_per_node|22300|tokens/s/node(8 GPU)|quoted cost $0.20/M output tokens
2|DeepSeek-V3/R1|H200||vLLM wide-EP|fp8|EP, DP attention||||decode|tokens_per_s_per_gpu|2200|tokens/s/GPU|earlier release 1,500
3|DeepSeek-R1-0528|B200|4|TensorRT-LLM|fp4|DEP4|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|6463|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|B200|4|TensorRT-LLM|fp4|DEP4|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|6430|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|B200|4|TensorRT-LLM|fp4|DEP4|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|3862|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|B200|4|TensorRT-LLM|fp4|DEP4|1024|32768||mixed max-throughput|output_tokens_per_s_per_gpu|1451|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|B200|4|TensorRT-LLM|fp4|DEP4|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1168|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|GB200|4|TensorRT-LLM|fp4|DEP4|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|6939|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|GB200|4|TensorRT-LLM|fp4|DEP4|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|6924|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|GB200|4|TensorRT-LLM|fp4|DEP4|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|4379|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|GB200|4|TensorRT-LLM|fp4|DEP4|1024|32768||mixed max-throughput|output_tokens_per_s_per_gpu|1465|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|GB200|4|TensorRT-LLM|fp4|DEP4|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1192|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|H200|8|TensorRT-LLM|fp8|DEP8|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|1627|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|H200|8|TensorRT-LLM|fp8|DEP8|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1620|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|H200|8|TensorRT-LLM|fp8|DEP8|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|1218|tokens/s/GPU|offline max throughput, in-flight batching
3|DeepSeek-R1-0528|H200|8|TensorRT-LLM|fp8|DEP8|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|438|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|B200|2|TensorRT-LLM|fp4|DEP2|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|25943|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|B200|2|TensorRT-LLM|fp4|DEP2|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|25870|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|B200|2|TensorRT-LLM|fp4|DEP2|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|17289|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|B200|2|TensorRT-LLM|fp4|DEP2|1024|32768||mixed max-throughput|output_tokens_per_s_per_gpu|6279|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|B200|2|TensorRT-LLM|fp4|DEP2|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|6111|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|B200|2|TensorRT-LLM|fp4|DEP2|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1392|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|GB200|1|TensorRT-LLM|fp4|TP1|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|27198|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|GB200|1|TensorRT-LLM|fp4|TP1|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|26609|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|GB200|1|TensorRT-LLM|fp4|TP1|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|14800|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|GB200|1|TensorRT-LLM|fp4|TP1|1024|32768||mixed max-throughput|output_tokens_per_s_per_gpu|5556|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|GB200|1|TensorRT-LLM|fp4|TP1|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|6835|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|GB200|1|TensorRT-LLM|fp4|TP1|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1645|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H200|1|TensorRT-LLM|mxfp4|TP1|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|6868|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H200|1|TensorRT-LLM|mxfp4|TP1|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|6798|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H200|1|TensorRT-LLM|mxfp4|TP1|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|3543|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H200|1|TensorRT-LLM|mxfp4|TP1|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1828|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H200|1|TensorRT-LLM|mxfp4|TP1|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|519|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H100-SXM-80GB|4|TensorRT-LLM|mxfp4|DEP4|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|4685|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H100-SXM-80GB|4|TensorRT-LLM|mxfp4|DEP4|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|4715|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H100-SXM-80GB|4|TensorRT-LLM|mxfp4|DEP4|1024|32768||mixed max-throughput|output_tokens_per_s_per_gpu|1177|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H100-SXM-80GB|4|TensorRT-LLM|mxfp4|DEP4|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1169|tokens/s/GPU|offline max throughput, in-flight batching
3|GPT-OSS-120B|H100-SXM-80GB|4|TensorRT-LLM|mxfp4|DEP4|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|333|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|B200|1|TensorRT-LLM|fp4|TP1|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|6920|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|B200|1|TensorRT-LLM|fp4|TP1|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|6842|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|B200|1|TensorRT-LLM|fp4|TP1|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|3242|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|B200|1|TensorRT-LLM|fp4|TP1|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1362|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|B200|1|TensorRT-LLM|fp4|TP1|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|274|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|GB200|1|TensorRT-LLM|fp4|TP1|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|7769|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|GB200|1|TensorRT-LLM|fp4|TP1|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|7751|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|GB200|1|TensorRT-LLM|fp4|TP1|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|3805|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|GB200|1|TensorRT-LLM|fp4|TP1|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1491|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|GB200|1|TensorRT-LLM|fp4|TP1|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|302|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H200|2|TensorRT-LLM|fp8|TP2|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|2587|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H200|2|TensorRT-LLM|fp8|TP2|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|2582|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H200|2|TensorRT-LLM|fp8|TP2|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|2009|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H200|2|TensorRT-LLM|fp8|TP2|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|537|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H200|2|TensorRT-LLM|fp8|TP2|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|120|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H100-SXM-80GB|2|TensorRT-LLM|fp8|TP2|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|2209|tokens/s/GPU|offline max throughput, in-flight batching
3|Llama-3.3-70B|H100-SXM-80GB|2|TensorRT-LLM|fp8|TP2|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|398|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|B200|4|TensorRT-LLM|fp4|DEP4|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|5764|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|B200|4|TensorRT-LLM|fp4|DEP4|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|5756|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|B200|4|TensorRT-LLM|fp4|DEP4|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|3389|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|B200|4|TensorRT-LLM|fp4|DEP4|1024|32768||mixed max-throughput|output_tokens_per_s_per_gpu|1255|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|B200|4|TensorRT-LLM|fp4|DEP4|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1410|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|B200|4|TensorRT-LLM|fp4|DEP4|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|319|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|GB200|4|TensorRT-LLM|fp4|DEP4|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|6172|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|GB200|4|TensorRT-LLM|fp4|DEP4|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|5862|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|GB200|4|TensorRT-LLM|fp4|DEP4|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|3423|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|GB200|4|TensorRT-LLM|fp4|DEP4|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1464|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|GB200|4|TensorRT-LLM|fp4|DEP4|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|333|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H200|4|TensorRT-LLM|fp8|DEP4|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|3288|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H200|4|TensorRT-LLM|fp8|DEP4|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|3268|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H200|4|TensorRT-LLM|fp8|DEP4|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|1417|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H200|4|TensorRT-LLM|fp8|DEP4|8192|1024||mixed max-throughput|output_tokens_per_s_per_gpu|627|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H200|4|TensorRT-LLM|fp8|DEP4|32768|1024||mixed max-throughput|output_tokens_per_s_per_gpu|134|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H100-SXM-80GB|8|TensorRT-LLM|fp8|DEP8|1000|1000||mixed max-throughput|output_tokens_per_s_per_gpu|1932|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H100-SXM-80GB|8|TensorRT-LLM|fp8|DEP8|1024|1024||mixed max-throughput|output_tokens_per_s_per_gpu|1935|tokens/s/GPU|offline max throughput, in-flight batching
3|Qwen3-235B-A22B|H100-SXM-80GB|8|TensorRT-LLM|fp8|DEP8|1024|8192||mixed max-throughput|output_tokens_per_s_per_gpu|873|tokens/s/GPU|offline max throughput, in-flight batching
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|8|mixed|output_tokens_per_s_per_gpu|74.6|tokens/s/GPU|total 148.6
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|8|mixed|mean_tpot|12.8|ms|mean TTFT 331 ms, mean E2E 12.22 s
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|16|mixed|output_tokens_per_s_per_gpu|111.9|tokens/s/GPU|total 225.1
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|16|mixed|mean_tpot|17.2|ms|mean TTFT 356 ms, mean E2E 16.07 s
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|32|mixed|output_tokens_per_s_per_gpu|151.1|tokens/s/GPU|total 301.7
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|32|mixed|mean_tpot|25.6|ms|mean TTFT 426 ms, mean E2E 24.02 s
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|64|mixed|output_tokens_per_s_per_gpu|223.6|tokens/s/GPU|total 447.2
4|DeepSeek-R1-0528|H200|8|SGLang 0.5.7|fp8|TP8 EP1|1024|1024|64|mixed|mean_tpot|34.6|ms|mean TTFT 423 ms, mean E2E 32.33 s
5|GPT-OSS-120B|MI300X|||||1024|8192||mixed @90 tok/s/user|tokens_per_s_per_provisioned_MW|750000.0|tokens/s/MW|all-in provisioned power vLLM
5|GPT-OSS-120B|H100|||||1024|8192||mixed @90 tok/s/user|tokens_per_s_per_provisioned_MW|900000.0|tokens/s/MW|all-in provisioned power
5|GPT-OSS-120B|MI355X|||||1024|8192||mixed @90 tok/s/user|tokens_per_s_per_provisioned_MW|2550000.0|tokens/s/MW|all-in provisioned power
5|GPT-OSS-120B|B200|||||1024|8192||mixed @90 tok/s/user|tokens_per_s_per_provisioned_MW|2800000.0|tokens/s/MW|all-in provisioned power
6|DeepSeek-R1-0528|H100-SXM-80GB|16|SGLang|fp8|TP16, InfiniBand|128|128|1|decode|tpot|23.1|ms|TTFT 179.7 ms (prefix cache may affect), E2E 3116 ms
6|DeepSeek-R1-0528|H100-SXM-80GB|16|SGLang|fp8|TP16, InfiniBand|128|1024|1|decode|tpot|23.2|ms|TTFT 184.1 ms (prefix cache may affect), E2E 23894 ms
6|DeepSeek-R1-0528|H100-SXM-80GB|16|SGLang|fp8|TP16, InfiniBand|1024|128|1|decode|tpot|23.2|ms|TTFT 391.7 ms (prefix cache may affect), E2E 3343 ms
6|DeepSeek-R1-0528|H100-SXM-80GB|16|SGLang|fp8|TP16, InfiniBand|2048|128|1|decode|tpot|23.3|ms|TTFT 190.5 ms (prefix cache may affect), E2E 3149 ms
6|DeepSeek-R1-0528|H100-SXM-80GB|16|SGLang|fp8|TP16, InfiniBand|3072|128|1|decode|tpot|23.6|ms|TTFT 200.4 ms (prefix cache may affect), E2E 3198 ms
6|DeepSeek-R1-0528|H100-SXM-80GB|16|SGLang|fp8|TP16, InfiniBand|4096|128|1|decode|tpot|23.7|ms|TTFT 199.7 ms (prefix cache may affect), E2E 3214 ms
7|DeepSeek-V3/R1|H800-SXM-80GB|16|SGLang (Feb 2025)|fp8|TP16|217|253|96|mixed|output_tokens_per_s_total|622.05|tokens/s|avg latency 38.3 s; untuned early release: contrast with 14,800 per 8 GPUs at DeepSeek
7|DeepSeek-V3/R1|H800-SXM-80GB|16|SGLang (Feb 2025)|fp8|TP16|217|253|64|mixed|output_tokens_per_s_total|459.36|tokens/s|avg latency 34.8 s; untuned early release: contrast with 14,800 per 8 GPUs at DeepSeek
7|DeepSeek-V3/R1|H800-SXM-80GB|16|SGLang (Feb 2025)|fp8|TP16|217|253|32|mixed|output_tokens_per_s_total|266.11|tokens/s|avg latency 30.2 s; untuned early release: contrast with 14,800 per 8 GPUs at DeepSeek
8|GPT-OSS-120B|H100-SXM-80GB|8|vLLM|mxfp4|TP8 (assumed for these rows)||||power|tpot_conc4|3.7|ms|all three ISL/OSL mixes; sum over GPUs
`;

const COLUMNS = [
  'model',
  'gpu',
  'n_gpus',
  'engine',
  'precision',
  'parallelism',
  'isl',
  'osl',
  'concurrency',
  'phase',
  'metric',
  'value',
  'unit',
  'note',
] as const;

export const SERVING_MEASUREMENTS: readonly ServingMeasurement[] = TABLE.trim()
  .split('\n')
  .map((line) => {
    const [source, ...cells] = line.split('|');
    const named = Object.fromEntries(COLUMNS.map((name, i) => [name, cells[i]]));
    return { source: SOURCES[Number(source)], ...named } as ServingMeasurement;
  });
