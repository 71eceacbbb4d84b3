"""LoRA adapters between Reckoner and PEFT: ours load there, theirs load here, with the same logits; so do merged models.

    npm run build && python bench/peers/peft_adapters.py
    npm run build && python bench/peers/peft_adapters.py --write test/fixtures/peft.json && npx biome format --write test/fixtures

Prints one line a check; exits 1 when logits differ by more than 1e-4. --write keeps adapters that PEFT saved and what it computes
with them, so that src/inference/peft.test.ts can check both without Python. Needs torch, transformers and peft (0.21.2 was tried).
"""

import argparse
import base64
import json
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
from transformers import AutoModelForCausalLM, logging

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEQUENCES = [[1, 5, 9, 3, 12, 7, 7], [4, 10, 2, 0, 6]]
# PEFT's own adapters; of DeepSeek-V3 its "all-linear" would be experts, too, which have no adapter here.
TARGETS = {"qwen3": "all-linear", "deepseek_v3": ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]}
failures = 0


def check(name, ours, theirs):
    global failures
    error = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    failures += not error < 1e-4
    print(f"{'ok  ' if error < 1e-4 else 'FAIL'} {name}: logits differ by {error:.1e}")


def node(*arguments):
    script = str(ROOT / "bench" / "peers" / "peft.mjs")
    return subprocess.run(["node", script, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def ours(folder):
    return json.loads(node("logits", folder, json.dumps(SEQUENCES)))


def theirs(model):
    model.eval()
    with torch.no_grad():
        return [x for tokens in SEQUENCES for x in model(torch.tensor([tokens])).logits.flatten().tolist()]


def compare(family, folder):
    print(f"{family}:")
    node("make", folder, family)
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, experts_implementation="eager")
    plain = theirs(base)
    check("the base model", ours(folder / "base"), plain)

    loaded = peft.PeftModel.from_pretrained(base, folder / "ours")
    there = theirs(loaded)
    check("our adapter in PEFT", ours(folder / "ours"), there)
    moved = max(abs(a - b) for a, b in zip(there, plain))
    print(f"{'ok  ' if moved > 0.1 else 'FAIL'} it changes the logits by up to {moved:.2f}")

    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, experts_implementation="eager")
    config = peft.LoraConfig(r=4, lora_alpha=6, lora_dropout=0.1, target_modules=TARGETS[family], task_type="CAUSAL_LM")
    torch.manual_seed(3)
    made = peft.get_peft_model(base, config)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    made.save_pretrained(folder / "theirs")
    expected = theirs(made)
    check("PEFT's adapter here", ours(folder / "theirs"), expected)

    command = ["node", str(ROOT / "dist" / "cli" / "main.js"), "export", folder / "theirs", "--to", "hf", "--out", folder / "merged"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32, experts_implementation="eager")
    check("PEFT's adapter, merged here, in transformers", theirs(merged), expected)
    saved = json.loads((folder / "theirs" / "adapter_config.json").read_text())
    return {
        "peft": peft.__version__,
        "config": saved | {"base_model_name_or_path": "base", "target_modules": sorted(saved["target_modules"])},
        "safetensors": base64.b64encode((folder / "theirs" / "adapter_model.safetensors").read_bytes()).decode(),
        "sequences": SEQUENCES,
        "logits": [float(f"{x:.8g}") for x in expected],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", help="where to keep adapters of PEFT's and their logits")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    fixture = {}
    for family in ("qwen3", "deepseek_v3"):
        with tempfile.TemporaryDirectory() as temporary:
            fixture[family] = compare(family, pathlib.Path(temporary))
    if arguments.write:
        pathlib.Path(arguments.write).write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    sys.exit(1 if failures else 0)


main()
