"""Runs TRL's own GRPO loss on drawn numbers and writes what it gives: test/fixtures/trl-losses.json.

    python bench/peers/trl_losses.py --write test/fixtures/trl-losses.json && npx biome format --write test/fixtures

`GRPOTrainer._compute_loss` of the pinned TRL is called as it is, on an object that has only the settings it reads; the
log-probabilities are leaves, so their gradient is the loss's. Several groups of completions of unequal lengths, one of them
masked out (as `mask_truncated_completions` does), in float64. Without --write it prints the losses.
src/training/trl-parity.test.ts holds ours to the file, without Python.
"""

import argparse
import itertools
import json
from collections import defaultdict
from types import SimpleNamespace

import torch
import trl
from trl import GRPOTrainer
from trl.trainer.utils import nanstd

GROUPS, SAMPLES, LONGEST, SEED = 3, 4, 12, 20261125
LENGTHS = [[3, 1, 12, 7], [5, 5, 2, 11], [9, 4, 0, 6]]
# Of a token, and of a whole sequence: at each some ratios are clipped and some are not.
CLIPS = {"token": (0.2, 0.28), "sequence": (0.04, 0.06)}


class OneProcess:
    """The parts of `accelerate` that the loss calls, for one process."""

    num_processes = 1

    def gather(self, x):
        return x

    def reduce(self, x, reduction):
        return x


def drawn():
    generator = torch.Generator().manual_seed(SEED)
    rows = GROUPS * SAMPLES
    normal = lambda: torch.randn(rows, LONGEST, generator=generator, dtype=torch.float64)
    mask = torch.zeros(rows, LONGEST, dtype=torch.float64)
    for row, length in enumerate(itertools.chain(*LENGTHS)):
        mask[row, :length] = 1
    old = -(0.1 + normal().abs())
    now = old + 0.25 * normal()
    reference = old + 0.4 * normal()
    rewards = torch.rand(rows, generator=generator, dtype=torch.float64).round(decimals=2)
    rewards[:SAMPLES] = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    return mask, old, now, reference, rewards


def advantages_of(rewards, scale):
    grouped = rewards.view(-1, SAMPLES)
    centred = grouped - grouped.mean(1, keepdim=True)
    return (centred / (nanstd(grouped, dim=1, keepdim=True) + 1e-4) if scale else centred).flatten()


def loss_of(loss_type, level, beta, accumulation, values):
    mask, old, now, reference, rewards = values
    leaf = now.clone().requires_grad_()
    low, high = CLIPS[level]
    part = now.shape[0] // accumulation
    total = 0.0
    # As in training: the batch in `accumulation` parts, whose losses add up.
    for i in range(accumulation):
        rows = slice(i * part, (i + 1) * part)
        trainer = SimpleNamespace(
            _get_per_token_logps_and_entropies=lambda *_, **__: (leaf[rows], torch.zeros_like(now[rows]), None),
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            importance_sampling_level=level,
            beta=beta,
            loss_type=loss_type,
            epsilon_low=low,
            epsilon_high=high,
            args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=accumulation),
            use_vllm=False,
            model=SimpleNamespace(training=True),
            current_gradient_accumulation_steps=accumulation,
            max_completion_length=LONGEST,
            accelerator=OneProcess(),
            aux_loss_enabled=False,
            _entropy_bonus_enabled=False,
            _metrics={"train": defaultdict(list)},
        )
        inputs = {
            "prompt_ids": torch.zeros(part, 1, dtype=torch.long),
            "prompt_mask": torch.ones(part, 1),
            "completion_ids": torch.zeros(part, LONGEST, dtype=torch.long),
            "completion_mask": mask[rows],
            "advantages": advantages_of(rewards, loss_type != "dr_grpo")[rows],
            "old_per_token_logps": old[rows],
            "ref_per_token_logps": reference[rows],
            "num_items_in_batch": mask.sum(),
        }
        loss = GRPOTrainer._compute_loss(trainer, None, inputs)
        loss.backward()
        total += loss.item()
    return total, leaf.grad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", help="where to keep the numbers")
    file = parser.parse_args().write
    values = drawn()
    mask, old, now, reference, rewards = values
    kept = lambda rows: [row[m > 0].tolist() for row, m in zip(rows, mask)]
    cases = []
    for loss_type, level, beta in itertools.product(["grpo", "bnpo", "dr_grpo", "dapo"], ["token", "sequence"], [0.0, 0.04]):
        # bnpo divides by the tokens of a part, whatever the others have; the rest must not depend on how the batch is cut.
        loss, gradient = loss_of(loss_type, level, beta, 1 if loss_type == "bnpo" else GROUPS, values)
        low, high = CLIPS[level]
        print(f"{loss_type:8} {level:9} beta {beta}: {loss:.6f}")
        case = {"loss": loss_type, "ratio": level, "beta": beta, "clipLow": low, "clipHigh": high}
        cases.append({**case, "value": loss, "gradient": kept(gradient)})
    if file:
        common = {"samples": SAMPLES, "maxTokens": LONGEST, "rewards": rewards.tolist()}
        numbers = {"logProbabilities": kept(now), "old": kept(old), "reference": kept(reference)}
        versions = {"trl": trl.__version__, "torch": torch.__version__}
        with open(file, "w") as out:
            json.dump({"versions": versions, **common, **numbers, "cases": cases}, out)


main()
