"""Compares tiny random models of every family with transformers: logits, loss and every gradient.

    npm run build && python bench/peers/parity.py
    npm run build && python bench/peers/parity.py --write test/fixtures/parity.json && npx biome format --write test/fixtures

Reckoner writes the models (parity.mjs); transformers loads them and computes in float64. Prints one line a model; exits 1
when logits differ by more than 1e-4 or a gradient by more than 1e-3 of its largest entry. --write keeps what transformers
said, so that src/models/parity.test.ts can check it without Python. Needs torch and transformers (5.23.0 and 5.24.0 were tried).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, logging
from transformers.modeling_layers import MtpModel

# Of these parameters the fixture keeps the gradient's first entries.
KEPT = 16


def numbers(tensor):
    return [float(f"{x:.8g}") for x in tensor.flatten().tolist()]


def experts_apart(named, kind=None):
    """transformers keeps a layer's experts in one tensor; checkpoints, and Reckoner, have them one by one."""
    if kind == "mixtral":
        parts = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
        for name, tensor in experts_apart(named):
            name = name.replace(".mlp.", ".block_sparse_moe.")
            for theirs, ours in parts.items():
                name = name.replace(theirs, ours)
            yield name, tensor
        return
    for name, tensor in named:
        if name.endswith("experts.gate_up_proj"):
            for e, both in enumerate(tensor):
                for kind, part in zip(("gate", "up"), both.chunk(2)):
                    yield f"{name.removesuffix('gate_up_proj')}{e}.{kind}_proj.weight", part
        elif name.endswith("experts.down_proj"):
            for e, part in enumerate(tensor):
                yield f"{name.removesuffix('down_proj')}{e}.down_proj.weight", part
        else:
            yield name, tensor


def load_mtp(model, folder):
    """The prediction module; from_pretrained would look for the weights of a published model."""
    mtp = MtpModel(model, 1).double().eval()
    prefix = f"model.layers.{model.config.num_hidden_layers}."
    saved = safetensors.torch.load_file(folder / "model.safetensors")
    saved = {name.removeprefix(prefix): tensor.double() for name, tensor in saved.items() if name.startswith(prefix)}

    def there(name):
        if name in ("enorm.weight", "hnorm.weight", "eh_proj.weight"):
            return name
        return name.replace("mtp_block.", "") if name.startswith("mtp_block.") else "shared_head.norm.weight"

    own = dict(mtp.layers[0].named_parameters()) | dict(mtp.layers[0].named_buffers())
    with torch.no_grad():
        for name, parameter in own.items():
            for part_name, part in experts_apart([(there(name), parameter)]):
                part.copy_(saved.pop(part_name))
    if saved:
        sys.exit(f"{folder.name}: the prediction module has no {sorted(saved)}")
    return mtp, lambda name: prefix + there(name)


def compare(folder):
    ours = json.loads((folder / "ours.json").read_text())
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float64, experts_implementation="eager"
    )
    layers = model.config.num_hidden_layers
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        # The prediction module is not transformers' model's.
        wrong = sorted(key for key in info[kind] if not str(key).startswith(f"model.layers.{layers}."))
        if wrong:
            sys.exit(f"{folder.name}: {kind} {wrong}")
    model.eval()
    outputs = [model(torch.tensor([tokens]), output_hidden_states=True) for tokens in ours["sequences"]]
    logits = [output.logits[0] for output in outputs]
    losses = [
        F.cross_entropy(part[:-1], torch.tensor(tokens[1:]), reduction="sum") for part, tokens in zip(logits, ours["sequences"])
    ]
    predictions = sum(len(tokens) - 1 for tokens in ours["sequences"])
    loss = sum(losses) / predictions
    mtp_loss = torch.tensor(0.0)
    if getattr(model.config, "num_nextn_predict_layers", 0):
        mtp, named_there = load_mtp(model, folder)
        for output, tokens in zip(outputs, ours["sequences"]):
            ids = torch.tensor([tokens[1:]])
            hidden = output.hidden_states[-1][:, :-1]
            positions = torch.arange(len(tokens) - 1)[None]
            further = mtp._project_to_logits(mtp.forward_layer(0, hidden, positions, None, input_ids=ids))[0]
            mtp_loss = mtp_loss + F.cross_entropy(further[:-1], torch.tensor(tokens[2:]), reduction="sum") / predictions
    (loss + ours["mtpWeight"] * mtp_loss).backward()
    logits = torch.cat(logits).detach()
    logit_error = (torch.tensor(ours["logits"], dtype=torch.float64) - logits.flatten()).abs().max().item()
    kind = model.config.model_type
    gradients = dict(experts_apart(((name, parameter.grad) for name, parameter in model.named_parameters()), kind))
    if getattr(model.config, "num_nextn_predict_layers", 0):
        own = ((named_there(name), parameter.grad) for name, parameter in mtp.layers[0].named_parameters())
        gradients |= dict(experts_apart(own))
    if set(gradients) != set(ours["gradients"]):
        sys.exit(f"{folder.name}: parameters differ: {set(gradients) ^ set(ours['gradients'])}")
    errors = {
        name: ((torch.tensor(ours["gradients"][name], dtype=torch.float64) - g.flatten()).abs().max() / g.abs().max()).item()
        for name, g in gradients.items()
    }
    worst = max(errors, key=errors.get)
    loss_error = max(abs(ours["loss"] - loss.item()), abs(ours["mtpLoss"] - mtp_loss.item()))
    passed = logit_error < 1e-4 and loss_error < 1e-4 and errors[worst] < 1e-3
    print(
        f"{'ok  ' if passed else 'FAIL'} {folder.name}: logits differ by {logit_error:.1e}, "
        f"loss by {loss_error:.1e}, gradients by {errors[worst]:.1e} ({worst})"
    )
    fixture = {
        "config": ours["config"],
        "sequences": ours["sequences"],
        "logits": numbers(logits),
        "loss": float(f"{loss.item():.10g}"),
        "mtpLoss": float(f"{mtp_loss.item():.10g}"),
        "mtpWeight": ours["mtpWeight"],
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
