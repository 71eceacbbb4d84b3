"""A full training step (forward, backward, AdamW) of a Llama decoder in PyTorch on the CPU, timed on request.

bench/training-step.mjs starts this and asks for a few steps at a time, so that both sides run interleaved on the same cores.
Reads one JSON object a line on stdin, answers with one a line on stdout:

    {"config": {…Hugging Face config.json…}, "batch": 8, "sequence": 256, "threads": 1, "compile": false, "steps": 5}
    -> {"seconds": [one per step], "loss": last loss, "parameters": count}
    {"versions": true} -> {"torch": "…", "python": "…", "capability": "AVX512"}

A (config, batch, sequence, compile) is built at its first request and kept; three steps of warm-up are not reported.

Written to be as fast as plain PyTorch gets on a CPU: query, key and value are one product, gate and up another, attention is
F.scaled_dot_product_attention (the fused CPU kernel), cross-entropy and AdamW are the fused ones; no dropout, no gradient
clipping (the other side clips, this one need not), and the tokens are prepared before the clock starts. Float32 throughout.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def rotary_tables(positions, head_dim, theta):
    inverse = theta ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    angles = torch.outer(torch.arange(positions).float(), inverse)
    # Sine carries the sign of rotate-half, so that applying it takes two products and one sum.
    return torch.cat((angles, angles), -1).cos(), torch.cat((-angles, angles), -1).sin()


def rotate(x, cosine, sine):
    """x (B, heads, T, head_dim)."""
    return x * cosine + x.roll(x.shape[-1] // 2, -1) * sine


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        width, ffn = c["hidden_size"], c["intermediate_size"]
        self.epsilon = c["rms_norm_eps"]
        self.input_norm = nn.Parameter(torch.ones(width))
        self.post_norm = nn.Parameter(torch.ones(width))
        self.qkv = nn.Linear(width, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=False)
        self.out = nn.Linear(self.heads * self.head_dim, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, width, bias=False)

    def forward(self, x, cosine, sine):
        batch, length, width = x.shape
        h = F.rms_norm(x, (width,), self.input_norm, self.epsilon)
        qkv = self.qkv(h).view(batch, length, self.heads + 2 * self.kv_heads, self.head_dim).transpose(1, 2)
        # Queries and keys are rotated together: they lie side by side.
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], 1)
        q, k = rotate(qk, cosine, sine).split([self.heads, self.kv_heads], 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        x = x + self.out(a.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(F.rms_norm(x, (width,), self.post_norm, self.epsilon)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, c, length):
        super().__init__()
        width = c["hidden_size"]
        self.epsilon = c["rms_norm_eps"]
        self.embedding = nn.Embedding(c["vocab_size"], width)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["num_hidden_layers"]))
        self.norm = nn.Parameter(torch.ones(width))
        self.head = nn.Linear(width, c["vocab_size"], bias=False)
        cosine, sine = rotary_tables(length, c["head_dim"], c["rope_theta"])
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, targets):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        x = F.rms_norm(x, (x.shape[-1],), self.norm, self.epsilon)
        return F.cross_entropy(self.head(x).flatten(0, 1), targets.flatten())


class Trainer:
    def __init__(self, config, batch, sequence, compile_model):
        torch.manual_seed(1)
        self.model = Decoder(config, sequence)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, fused=True
        )
        self.run = torch.compile(self.model) if compile_model else self.model
        tokens = torch.randint(config["vocab_size"], (batch, sequence + 1))
        self.ids, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        self.warm = False

    def step(self):
        loss = self.run(self.ids, self.targets)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def timed(self, steps):
        if not self.warm:
            for _ in range(3):
                self.step()
            self.warm = True
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            loss = self.step()
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds, "loss": loss, "parameters": sum(p.numel() for p in self.model.parameters())}


def main():
    trainers = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("versions"):
            answer = {
                "torch": torch.__version__,
                "python": sys.version.split()[0],
                "capability": torch.backends.cpu.get_cpu_capability(),
            }
        else:
            try:
                torch.set_num_threads(request["threads"])
                compiled = request.get("compile", False)
                # torch.compile bakes the number of threads in.
                key = json.dumps([request["config"], request["batch"], request["sequence"], compiled and request["threads"]])
                if key not in trainers:
                    trainers[key] = Trainer(request["config"], request["batch"], request["sequence"], compiled)
                answer = trainers[key].timed(request["steps"])
            except Exception as error:  # the other side decides what a failure means
                answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
