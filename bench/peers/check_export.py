"""Loads a model folder that Reckoner wrote with Hugging Face's transformers, and says what does not fit.

    python bench/peers/check_export.py exported
    python bench/peers/check_export.py exported --prompt "12+7-3=" --reckoner "node dist/cli/main.js"
    python bench/peers/check_export.py --families --reckoner "node dist/cli/main.js"

--families trains a tiny Llama, Qwen2, Qwen3 and DeepSeek-V3 for a few steps, exports them and checks each, logits included. Checks that every tensor of the file has its place in the model and every place its tensor, that tensors have the bits of the
file, that the tokenizer gives text back and keeps the tags, and that a forward pass is finite. The prediction layer of DeepSeek-V3 is
not transformers' model's, and its experts are one tensor there. With --prompt it also compares
the greedy completion with `reckoner chat`'s, which holds only if both compute the same model from the same tokens.
Prints one line a check; exits 1 when one fails. Needs torch and transformers (5.23.0 was tried).
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, logging

TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
failures = 0


def check(name, passed, detail=""):
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}")


def experts_apart(state):
    """transformers keeps a layer's experts in one tensor; files have them one by one."""
    for name, tensor in state.items():
        if name.endswith("experts.gate_up_proj"):
            for e, both in enumerate(tensor):
                for kind, part in zip(("gate", "up"), both.chunk(2)):
                    yield f"{name.removesuffix('gate_up_proj')}{e}.{kind}_proj.weight", part
        elif name.endswith("experts.down_proj"):
            for e, part in enumerate(tensor):
                yield f"{name.removesuffix('down_proj')}{e}.down_proj.weight", part
        else:
            yield name, tensor


FAMILIES = {
    "llama": {"num_key_value_heads": 2, "head_dim": 8},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 12},
    "deepseek_v3": {
        "q_lora_rank": 16,
        "kv_lora_rank": 12,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
        "num_nextn_predict_layers": 1,
    },
}


def check_families(arguments):
    """Trains, exports and checks each family, in float32 and the last in BF16, too."""
    command = shlex.split(arguments.reckoner)
    schedule = {"kind": "constant"}
    stages = [{"id": "sft", "kind": "sft", "steps": 60, "batch": 16, "schedule": schedule}]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for family, own in FAMILIES.items():
            model = {"model_type": family, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
            model |= {"num_attention_heads": 4, "max_position_embeddings": 128} | own
            name = family.replace("_", "-")
            recipe = {"name": name, "model": model, "task": {"name": "sums", "maximum": 9}, "stages": stages}
            (folder / f"{name}.json").write_text(json.dumps(recipe))
            train = [*command, "train", folder / f"{name}.json", "--runs", folder / "runs", "--workers", "1", "--json"]
            subprocess.run(list(map(str, train)), check=True, capture_output=True)
            for dtype in ("f32", "bf16"):
                out = folder / f"{name}-{dtype}"
                export = [*command, "export", name, "--runs", folder / "runs", "--to", "hf", "--dtype", dtype, "--out", out]
                subprocess.run(list(map(str, export)), check=True, capture_output=True)
                print(f"{family}, {dtype}:")
                check_folder(str(out), "9+4-5=" if dtype == "f32" else None, arguments)


def ours(folder, ids):
    script = pathlib.Path(__file__).with_name("peft.mjs")
    done = subprocess.run(["node", script, "logits", folder, json.dumps([ids])], check=True, stdout=subprocess.PIPE, text=True)
    return torch.tensor(json.loads(done.stdout))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--families", action="store_true", help="train, export and check a tiny model of each family")
    parser.add_argument("--prompt", help="compare the greedy completion of this prompt with reckoner chat's")
    parser.add_argument("--reckoner", default="npx reckoner", help="the command that runs Reckoner")
    parser.add_argument("--tokens", type=int, default=128, help="longest completion to compare, tokens")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.families == (arguments.folder is not None):
        parser.error("name a folder, or --families")
    if arguments.families:
        check_families(arguments)
    else:
        check_folder(arguments.folder, arguments.prompt, arguments)
    sys.exit(1 if failures else 0)


def check_folder(folder, prompt, arguments):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype="auto", experts_implementation="eager"
    )
    model.eval()
    prediction = f"model.layers.{model.config.num_hidden_layers}."
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        wrong = sorted(key for key in info[kind] if not str(key).startswith(prediction))
        check(kind.replace("_", " "), len(wrong) == 0, wrong or "none")

    state = dict(experts_apart(model.state_dict()))
    with safe_open(f"{folder}/model.safetensors", "pt") as file:
        names = [name for name in file.keys() if not name.startswith(prediction)]
        same = [torch.equal(file.get_tensor(name), state[name]) for name in names]
        check("tensors have the file's bits", all(same), f"{len(names)} tensors, {next(iter(state.values())).dtype}")

    # The class that tokenizer_config.json names. AutoTokenizer of 5.23 takes Qwen2's own for that family, which cuts text otherwise.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    check("tokenizer size fits", len(tokenizer) == model.config.vocab_size, f"{len(tokenizer)} of {model.config.vocab_size}")
    for role in ("bos", "eos", "pad"):
        mine, theirs = getattr(tokenizer, f"{role}_token_id"), getattr(model.config, f"{role}_token_id")
        check(f"{role} token", mine is not None and mine == theirs, f"{getattr(tokenizer, f'{role}_token')!r}, id {mine}")
    for tag in TAGS:
        ids = tokenizer.encode(tag, add_special_tokens=False)
        check(f"{tag} is one token", len(ids) == 1, ids)
    alphabet = "".join(text for text in tokenizer.get_vocab() if len(text) == 1)
    text = f"{alphabet}{TAGS[0]}{alphabet}{TAGS[1]}{TAGS[2]}{alphabet}{TAGS[3]}"
    ids = tokenizer.encode(text, add_special_tokens=False)
    check("text comes back", tokenizer.decode(ids, skip_special_tokens=True) == text, f"{len(text)} characters, {len(ids)} tokens")
    check("one token a character", len(ids) == 3 * len(alphabet) + 4)

    with torch.no_grad():
        limit = min(len(ids), model.config.max_position_embeddings)
        logits = model(torch.tensor([ids[:limit]])).logits
    check("logits are finite", bool(torch.isfinite(logits).all()), tuple(logits.shape))
    with torch.no_grad():
        # In float32 on both sides, whatever the file has.
        theirs = model.float()(torch.tensor([ids[:limit]])).logits.flatten()
    error = (ours(folder, ids[:limit]) - theirs).abs().max().item()
    check("logits equal Reckoner's", error < 1e-4, f"they differ by {error:.1e}")

    if prompt is not None:
        start = torch.tensor([[tokenizer.bos_token_id] + tokenizer.encode(prompt, add_special_tokens=False)])
        with torch.no_grad():
            out = model.generate(start, attention_mask=torch.ones_like(start), do_sample=False, max_new_tokens=arguments.tokens)
        theirs = tokenizer.decode(out[0, start.shape[1] :], skip_special_tokens=True)
        command = [*shlex.split(arguments.reckoner), "chat", folder, "--prompt", prompt]
        command += ["--temperature", "0", "--max-tokens", str(arguments.tokens), "--json"]
        answer = subprocess.run(command, capture_output=True, text=True)
        mine = json.loads(answer.stdout).get("text") if answer.returncode == 0 else answer.stdout + answer.stderr
        check("greedy completion equals reckoner chat's", mine == theirs, repr(theirs) if mine == theirs else f"{mine!r} against {theirs!r}")


main()
