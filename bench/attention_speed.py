"""How fast the book's Transformer is beside PyTorch's: `python bench/attention_speed.py`.

Multi-head attention, forward and backward: our plain path (weights asked for) beside `nn.MultiheadAttention` with
weights, and our fused path beside `F.scaled_dot_product_attention` between the same projections. Then a training step
of the whole beside `nn.Transformer`. Float32, one thread, in turns, medians of processor time.
"""

import time
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

from helpers.transformer import (
    MultiHeadAttention,
    TransformerDecoder,
    TransformerEncoder,
    causal_mask,
)

LENGTHS = [64, 128, 256, 512, 1024, 2048]
D_MODEL, HEADS = 128, 8
SECONDS = 3  # for each pair, but at least five turns


class Fused(nn.Module):
    """The reference of the fused path: PyTorch's kernel between four linear layers."""

    def __init__(self):
        super().__init__()
        self.into, self.out = (
            nn.Linear(D_MODEL, 3 * D_MODEL),
            nn.Linear(D_MODEL, D_MODEL),
        )

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in self.into(x).chunk(3, dim=-1)
        )
        heads = F.scaled_dot_product_attention(q, k, v)
        return self.out(heads.transpose(1, 2).flatten(2))


def step_ms(forward, module):
    """Milliseconds of processor time for one forward and backward pass."""
    start = time.process_time()
    module.zero_grad()
    forward().square().mean().backward()
    return 1000 * (time.process_time() - start)


def compare(name, ours, theirs):
    """Print the medians of (forward, module) pairs, measured in turns, and their ratio; return it."""
    step_ms(*ours), step_ms(*theirs)  # the first one is always slow
    turns, begin = [], time.perf_counter()
    while len(turns) < 5 or (len(turns) < 60 and time.perf_counter() - begin < SECONDS):
        turns.append((step_ms(*ours), step_ms(*theirs)))
    mine, other = (median(times) for times in zip(*turns, strict=True))
    ratio = median(a / b for a, b in turns)
    print(f"| {name} | {mine:.2f} | {other:.2f} | {ratio:.2f} |", flush=True)
    return ratio


def whole_models():
    """Encoder and decoder of three layers each, ours and PyTorch's, on a batch of 32 with masks."""
    size = 3, 256
    encoder = TransformerEncoder(D_MODEL, HEADS, size[1], size[0])
    decoder = TransformerDecoder(D_MODEL, HEADS, size[1], size[0])
    ours = nn.ModuleList([encoder, decoder])
    theirs = nn.Transformer(
        D_MODEL, HEADS, size[0], size[0], size[1], 0.0, batch_first=True
    )
    source, target = torch.randn(32, 20, D_MODEL), torch.randn(32, 18, D_MODEL)
    keep = torch.arange(20) < torch.randint(5, 21, (32, 1))  # (B, S), True = a word
    causal = causal_mask(18)

    def our_step():
        memory, _ = encoder(source, attn_mask=keep.unsqueeze(1))
        return decoder(target, memory, attn_mask=causal, memory_mask=keep.unsqueeze(1))[
            0
        ]

    def their_step():
        return theirs(
            source,
            target,
            tgt_mask=~causal,
            src_key_padding_mask=~keep,
            memory_key_padding_mask=~keep,
        )

    return (our_step, ours), (their_step, theirs)


def print_ratios():
    """Print the table."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        "\n| forward and backward, median | ours ms | PyTorch ms | ratio |\n|---|--:|--:|--:|"
    )
    for length in LENGTHS:
        x = torch.randn(1, length, D_MODEL)
        ours, plain = (
            MultiHeadAttention(D_MODEL, HEADS),
            nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True),
        )
        compare(
            f"plain, {length} tokens",
            (lambda ours=ours, x=x: ours(x, need_weights=True)[0], ours),
            (
                lambda plain=plain, x=x: plain(x, x, x, average_attn_weights=False)[0],
                plain,
            ),
        )
        fused = Fused()
        compare(
            f"fused, {length} tokens",
            (lambda ours=ours, x=x: ours(x)[0], ours),
            (lambda fused=fused, x=x: fused(x), fused),
        )
    compare("training step, 3 + 3 layers, batch of 32", *whole_models())
    torch.set_num_threads(threads)


if __name__ == "__main__":
    print_ratios()
