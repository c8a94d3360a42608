"""How fast the book's recurrent networks train beside torch.nn's: `make bench`, or `python bench/rnn_speed.py` alone.

What is left of the difference: we run a dozen small operations a step from Python, each with its own node in the
backward pass. In float32 on a CPU, torch.nn.LSTM hands the whole sequence to oneDNN, which has one kernel for it; the
rows without oneDNN show how much of the difference that is.
"""

import time
import warnings
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


def print_ratio(name, ours, theirs, size, dtype):
    """Print the medians, ours and PyTorch's in turns."""
    b, t, d_x, d_h = size
    x = torch.randn(b, t, d_x, dtype=dtype)
    pair = [ours(d_x, d_h).to(dtype), theirs(d_x, d_h, batch_first=True).to(dtype)]
    for module in pair:
        step_ms(module, x)  # the first one is always slow
    turns = [[step_ms(module, x) for module in pair] for _ in range(RUNS)]
    mine, other = (median(times) for times in zip(*turns, strict=True))
    print(
        f"| {name} | {b}, {t}, {d_x}, {d_h} | {mine:.1f} | {other:.1f} | {mine / other:.2f} |",
        flush=True,
    )


def print_ratios():
    """Print a table of forward and backward passes of a batch, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print(
        f"\n| training step, median of {RUNS} | B, T, d_x, d_h | ours ms | torch.nn ms | ratio |\n"
        "|---|---|--:|--:|--:|"
    )
    for dtype in (torch.float64, torch.float32):
        for size in SIZES:
            for ours, theirs in PAIRS:
                name = f"{ours.__name__}, {str(dtype).removeprefix('torch.')}"
                print_ratio(name, ours, theirs, size, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about Intel's GPUs
        with torch.backends.mkldnn.flags(enabled=False):
            for size in SIZES:
                name = "LSTM, float32, without oneDNN"
                print_ratio(name, LSTM, nn.LSTM, size, torch.float32)
    torch.set_num_threads(threads)


if __name__ == "__main__":
    print_ratios()
