"""GRPO steps with TRL on the CPU: transformers' generate for the rollouts, two threads. Prints one JSON line a step.

    python bench/peers/trl_grpo.py --model FOLDER --steps 8 --prompts 16 --samples 8 --max-tokens 48 --threads 2 [--gated]

`bench/trl-speed.mjs` starts it once, and with --gated releases its steps one by one with a line on stdin, between turns of its own. The task is `sums`: chains of two to four one-digit numbers; 1 for
a right answer in the right form, else 0. vLLM, TRL's fast sampler, is for GPUs and is not used.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True)
for name, default in [("steps", 8), ("prompts", 16), ("samples", 8), ("max-tokens", 48), ("threads", 2)]:
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--gated", action="store_true")
flags = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(flags.threads)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback, logging  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

torch.set_num_threads(flags.threads)
logging.set_verbosity_error()
tokenizer = PreTrainedTokenizerFast.from_pretrained(flags.model, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(flags.model, dtype=torch.float32)

random.seed(1)


def problem():
    numbers = [random.randint(1, 9) for _ in range(random.randint(2, 4))]
    text = str(numbers[0]) + "".join(random.choice("+-") + str(n) for n in numbers[1:])
    return {"prompt": f"<bos>{text}=", "truth": str(eval(text))}


def reward(completions, truth, **_):
    form = re.compile(r"<think>[^<]*</think><answer>([^<]*)</answer>")
    found = [form.fullmatch(text) for text in completions]
    return [1.0 if match and match.group(1) == answer else 0.0 for match, answer in zip(found, truth)]


class Clock(TrainerCallback):
    def on_train_begin(self, args, state, control, **_):
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        # From release to the end of the step, rollout included.
        seconds = time.perf_counter() - self.start
        print(json.dumps({"step": state.global_step, "seconds": seconds}), flush=True)
        if flags.gated and state.global_step < flags.steps:
            sys.stdin.readline()
        self.start = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **_):
        if logs and "reward" in logs:
            line = {"step": state.global_step, "reward": logs["reward"], "length": logs.get("completions/mean_length")}
            print(json.dumps(line), flush=True)


with tempfile.TemporaryDirectory() as folder:
    config = GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=flags.prompts * flags.samples,
        num_generations=flags.samples,
        max_completion_length=flags.max_tokens,
        max_steps=flags.steps,
        learning_rate=4e-4,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        beta=0.0,
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.28,
        temperature=1.0,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model,
        args=config,
        reward_funcs=reward,
        train_dataset=Dataset.from_list([problem() for _ in range(4096)]),
        processing_class=tokenizer,
        callbacks=[Clock()],
    )
    trainer.train()
