"""PyTorch on a GPU, timed on request; bench/gpu.mjs starts this. One JSON object a line in, one out:

    {"kind": "versions"} -> {"torch": "…", "device": "…"}
    {"kind": "matmul", "side": 4096, "dtype": "f32", "seconds": 2} -> {"tflops": best}
    {"kind": "train", "config": {…config.json…}, "batch": 8, "length": 512, "compiled": false, "seconds": 4} -> {"tokensPerSecond": best}

Products are cuBLAS through torch.matmul; f32 without TF32, which has 10 bits of fraction. Training allows TF32. Llama decoders are those of train_step.py,
DeepSeek-V3 is transformers' own. `--any-device` runs on the CPU where there is no GPU, to try the program.
"""

import json
import sys
import time

import torch
from train_step import Decoder

device = "cuda" if torch.cuda.is_available() else "cpu"
if device == "cpu" and "--any-device" not in sys.argv:
    sys.exit("no CUDA device")


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def best(units, call, seconds):
    """Most units a second of a call that is made again and again."""
    call()
    wait()
    most, stop = 0.0, time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        wait()
        most = max(most, units / (time.perf_counter() - start))
        if time.perf_counter() >= stop:
            return most


def matmul(side, dtype, seconds):
    torch.backends.cuda.matmul.allow_tf32 = False
    a, b = (torch.randn(side, side, device=device, dtype=torch.float16 if dtype == "f16" else torch.float32) for _ in range(2))

    def call():
        for _ in range(10):
            torch.matmul(a, b)

    return {"tflops": best(10 * 2 * side**3 / 1e12, call, seconds)}


def build(config, length):
    if config["model_type"] != "deepseek_v3":
        return Decoder(config, length).to(device)
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    model = DeepseekV3ForCausalLM(DeepseekV3Config(**config)).to(device)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids, targets):
            logits = self.model(ids, use_cache=False).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return Loss()


def train(config, batch, length, compiled, seconds):
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = True
    model = build(config, length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    run = torch.compile(model) if compiled else model
    tokens = torch.randint(config["vocab_size"], (batch, length + 1), device=device)
    ids, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step():
        run(ids, targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    return {"tokensPerSecond": best(batch * length, step, seconds)}


for line in sys.stdin:
    request = json.loads(line)
    kind = request.pop("kind")
    try:
        if kind == "versions":
            name = torch.cuda.get_device_name(0) if device == "cuda" else "the CPU"
            answer = {"torch": torch.__version__, "device": name}
        else:
            answer = {"matmul": matmul, "train": train}[kind](**request)
    except Exception as error:  # the other side decides what a failure means
        answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    if device == "cuda":
        torch.cuda.empty_cache()
    print(json.dumps(answer), flush=True)
