"""Compares tiny random Llama, Qwen2 and Qwen3 models with Hugging Face's transformers: logits, loss and every gradient.

    npm run build && python bench/peers/parity.py
    npm run build && python bench/peers/parity.py --write test/fixtures/parity.json && npx biome format --write test/fixtures

Reckoner writes the models (parity.mjs); transformers loads them and computes in float64. Prints one line a model; exits 1
when logits differ by more than 1e-4 or a gradient by more than 1e-3 of its largest entry. --write keeps what transformers
said, so that src/models/parity.test.ts can check it without Python. Needs torch and transformers (5.23.0 was tried).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, logging

# Of these parameters the fixture keeps the gradient's first entries.
KEPT = 16


def numbers(tensor):
    return [float(f"{x:.8g}") for x in tensor.flatten().tolist()]


def compare(folder):
    ours = json.loads((folder / "ours.json").read_text())
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float64)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            sys.exit(f"{folder.name}: {kind} {sorted(info[kind])}")
    model.eval()
    logits = [model(torch.tensor([tokens])).logits[0] for tokens in ours["sequences"]]
    losses = [
        F.cross_entropy(part[:-1], torch.tensor(tokens[1:]), reduction="sum") for part, tokens in zip(logits, ours["sequences"])
    ]
    loss = sum(losses) / sum(len(tokens) - 1 for tokens in ours["sequences"])
    loss.backward()
    logits = torch.cat(logits).detach()
    logit_error = (torch.tensor(ours["logits"], dtype=torch.float64) - logits.flatten()).abs().max().item()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    if set(gradients) != set(ours["gradients"]):
        sys.exit(f"{folder.name}: parameters differ: {set(gradients) ^ set(ours['gradients'])}")
    errors = {
        name: ((torch.tensor(ours["gradients"][name], dtype=torch.float64) - g.flatten()).abs().max() / g.abs().max()).item()
        for name, g in gradients.items()
    }
    worst = max(errors, key=errors.get)
    passed = logit_error < 1e-4 and abs(ours["loss"] - loss.item()) < 1e-4 and errors[worst] < 1e-3
    print(
        f"{'ok  ' if passed else 'FAIL'} {folder.name}: logits differ by {logit_error:.1e}, "
        f"loss by {abs(ours['loss'] - loss.item()):.1e}, gradients by {errors[worst]:.1e} ({worst})"
    )
    fixture = {
        "config": ours["config"],
        "sequences": ours["sequences"],
        "logits": numbers(logits),
        "loss": float(f"{loss.item():.10g}"),
        "gradients": {name: numbers(g.flatten()[:KEPT]) for name, g in gradients.items()},
    }
    return passed, fixture


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", help="where to keep what transformers computed")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    script = pathlib.Path(__file__).with_name("parity.mjs")
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(["node", str(script), temporary], check=True)
        results = {folder.name: compare(folder) for folder in sorted(pathlib.Path(temporary).iterdir())}
    if arguments.write:
        models = {name: fixture for name, (_, fixture) in results.items()}
        pathlib.Path(arguments.write).write_text(json.dumps(models, separators=(",", ":")) + "\n")
    sys.exit(0 if all(passed for passed, _ in results.values()) else 1)


main()
