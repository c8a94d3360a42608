"""How fast the book's recurrent networks train beside torch.nn's: `make bench`, or `python bench/rnn_speed.py` alone.

What is left of the difference: we run a dozen small operations a step from Python, each with its own node in the
backward pass. In float32 on a CPU, torch.nn.LSTM hands the whole sequence to oneDNN, which has one kernel for it.
"""

import time
from statistics import median

import torch
from torch import nn

from helpers.lstm import GRU, LSTM
from helpers.rnn import RNN

RUNS = 15
SIZES = [(32, 100, 32, 64), (32, 100, 64, 128)]  # B, T, d_x, d_h
PAIRS = [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)]


def step_ms(module, x):
    """Milliseconds of processor time for one forward and backward pass."""
    start = time.process_time()
    module.zero_grad()
    states, _ = module(x)
    states.square().mean().backward()
    return 1000 * (time.process_time() - start)


def print_ratios():
    """Print the medians, ours and PyTorch's in turns, on one thread; forward and backward pass of a batch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print(
        f"\n| training step, median of {RUNS} | B, T, d_x, d_h | ours ms | torch.nn ms | ratio |\n"
        "|---|---|--:|--:|--:|"
    )
    for dtype in (torch.float64, torch.float32):
        for b, t, d_x, d_h in SIZES:
            x = torch.randn(b, t, d_x, dtype=dtype)
            for ours, theirs in PAIRS:
                pair = (ours(d_x, d_h), theirs(d_x, d_h, batch_first=True))
                pair = [module.to(dtype) for module in pair]
                for module in pair:
                    step_ms(module, x)  # the first one is always slow
                turns = [[step_ms(module, x) for module in pair] for _ in range(RUNS)]
                mine, other = (median(times) for times in zip(*turns, strict=True))
                name = f"{ours.__name__}, {str(dtype).removeprefix('torch.')}"
                print(
                    f"| {name} | {b}, {t}, {d_x}, {d_h} | {mine:.1f} | {other:.1f} | {mine / other:.2f} |",
                    flush=True,
                )
    torch.set_num_threads(threads)


if __name__ == "__main__":
    print_ratios()
