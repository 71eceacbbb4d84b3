"""Loads a model folder that Reckoner wrote with Hugging Face's transformers, and says what does not fit.

    python bench/peers/check_export.py exported
    python bench/peers/check_export.py exported --prompt "12+7-3=" --reckoner "node dist/cli/main.js"

Checks that every tensor of the file has its place in the model and every place its tensor, that tensors have the bits of the
file, that the tokenizer gives text back and keeps the tags, and that a forward pass is finite. With --prompt it also compares
the greedy completion with `reckoner chat`'s, which holds only if both compute the same model from the same tokens.
Prints one line a check; exits 1 when one fails. Needs torch and transformers (5.23.0 was tried).
"""

import argparse
import json
import shlex
import subprocess
import sys

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, logging

TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
failures = 0


def check(name, passed, detail=""):
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--prompt", help="compare the greedy completion of this prompt with reckoner chat's")
    parser.add_argument("--reckoner", default="npx reckoner", help="the command that runs Reckoner")
    parser.add_argument("--tokens", type=int, default=128, help="longest completion to compare, tokens")
    arguments = parser.parse_args()
    logging.set_verbosity_error()

    model, info = AutoModelForCausalLM.from_pretrained(arguments.folder, output_loading_info=True, dtype="auto")
    model.eval()
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        check(kind.replace("_", " "), len(info[kind]) == 0, sorted(info[kind]) or "none")

    state = model.state_dict()
    with safe_open(f"{arguments.folder}/model.safetensors", "pt") as file:
        names = list(file.keys())
        same = [torch.equal(file.get_tensor(name), state[name]) for name in names]
        check("tensors have the file's bits", all(same), f"{len(names)} tensors, {next(iter(state.values())).dtype}")

    tokenizer = AutoTokenizer.from_pretrained(arguments.folder)
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

    if arguments.prompt is not None:
        start = torch.tensor([[tokenizer.bos_token_id] + tokenizer.encode(arguments.prompt, add_special_tokens=False)])
        with torch.no_grad():
            out = model.generate(start, attention_mask=torch.ones_like(start), do_sample=False, max_new_tokens=arguments.tokens)
        theirs = tokenizer.decode(out[0, start.shape[1] :], skip_special_tokens=True)
        command = [*shlex.split(arguments.reckoner), "chat", arguments.folder, "--prompt", arguments.prompt]
        command += ["--temperature", "0", "--max-tokens", str(arguments.tokens), "--json"]
        answer = subprocess.run(command, capture_output=True, text=True)
        ours = json.loads(answer.stdout).get("text") if answer.returncode == 0 else answer.stdout + answer.stderr
        check("greedy completion equals reckoner chat's", ours == theirs, repr(theirs) if ours == theirs else f"{ours!r} against {theirs!r}")
    sys.exit(1 if failures else 0)


main()
