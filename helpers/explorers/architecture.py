"""Explorer of the Transformer's diagram: each block with its equation, its code, its shapes and its tensor."""

import inspect
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import traitlets

from helpers import transformer
from helpers.data import Vocabulary
from helpers.explorers.base import HERE, Explorer, one_of, within

CODE = {
    "tokens": "vocabulary.batch([words])  # (1, T): the number of each word",
    "softmax": "probabilities = logits.softmax(dim=-1)  # (B, T, tokens)",
    "embedding": transformer.Transformer._embed,
    "positions": transformer.sinusoidal_positions,
    "attention": transformer.MultiHeadAttention.forward,
    "causal": transformer.causal_mask,
    "residual": transformer.Residual.forward,
    "feed_forward": transformer.FeedForward.forward,
    "decode": transformer.Transformer.decode,
}
ATTEND = "αₜₛ = softmaxₛ(qₜ·kₛ / √(d/h)),  zₜ = Σₛ αₜₛ vₛ"
LAYER = "layers.0."
KINDS = {  # kind: (code, equation, shapes with n for S or T, what to know)
    "tokens": (
        "tokens",
        "x = one-hot(word)",
        "(B, n)",
        "Drawn as one-hot vectors: a row a word, a column an entry of the vocabulary. In the decoder a begin mark "
        "comes first, so that each row is followed by the word that it is to predict.",
    ),
    "embedding": (
        "embedding",
        "x = √d · E one-hot(word)",
        "(B, n) → (B, n, d)",
        "Drawn is the lookup, before it is multiplied by √d.",
    ),
    "+ positions": (
        "positions",
        "x + p,  pₜ,₂ᵢ = sin ωᵢt,  pₜ,₂ᵢ₊₁ = cos ωᵢt",
        "(B, n, d)",
        "What enters the first layer. Without positions the words would be a heap.",
    ),
    "self-attention": (
        "attention",
        ATTEND,
        "(B, n, d) → (B, n, d)",
        "Drawn is the map of one head: who asks (row) and who answers (column).",
    ),
    "masked self-attention": (
        "causal",
        ATTEND + ",  αₜₛ = 0 for s > t",
        "(B, n, d) → (B, n, d)",
        "The upper right is exactly 0: no word sees one that comes later.",
    ),
    "cross-attention": (
        "attention",
        ATTEND,
        "(B, T, d), (B, S, d) → (B, T, d)",
        "Queries from the decoder, keys and values from the encoder: where the translation looks.",
    ),
    "add & norm": (
        "residual",
        "x ← LN(x + f(x))",
        "(B, n, d)",
        "What the words were, plus what the block below gives, brought back to one scale.",
    ),
    "feed-forward": (
        "feed_forward",
        "f(x) = W₂ max(0, W₁x + b₁) + b₂",
        "(B, n, d) → (B, n, d_ff) → (B, n, d)",
        "The same network for each word; here no word sees another.",
    ),
    "linear": (
        "decode",
        "W x + b",
        "(B, n, d) → (B, n, tokens)",
        "One number for each word of the vocabulary: a logit.",
    ),
    "softmax": (
        "softmax",
        "softmax(W x + b)",
        "(B, n, tokens)",
        "The probability of each word as the next one, row by row.",
    ),
}
# name of the tensor, side, kind, what the columns are (else the d numbers of a vector)
BLOCKS = [
    ("source", "encoder", "tokens", "source words"),
    ("source_embedding", "encoder", "embedding", ""),
    ("encoder", "encoder", "+ positions", ""),
    (f"encoder.{LAYER}attention.softmax", "encoder", "self-attention", "source"),
    (f"encoder.{LAYER}around_attention", "encoder", "add & norm", ""),
    (f"encoder.{LAYER}feed_forward", "encoder", "feed-forward", ""),
    (f"encoder.{LAYER}around_feed_forward", "encoder", "add & norm", ""),
    ("target", "decoder", "tokens", "target words"),
    ("target_embedding", "decoder", "embedding", ""),
    ("decoder", "decoder", "+ positions", ""),
    (f"decoder.{LAYER}attention.softmax", "decoder", "masked self-attention", "target"),
    (f"decoder.{LAYER}around_attention", "decoder", "add & norm", ""),
    (f"decoder.{LAYER}cross_attention.softmax", "decoder", "cross-attention", "source"),
    (f"decoder.{LAYER}around_cross_attention", "decoder", "add & norm", ""),
    (f"decoder.{LAYER}feed_forward", "decoder", "feed-forward", ""),
    (f"decoder.{LAYER}around_feed_forward", "decoder", "add & norm", ""),
    ("output", "decoder", "linear", "target words"),
    ("softmax", "decoder", "softmax", "target words"),
]


@torch.no_grad()
def tensors(model, source: torch.Tensor, previous: torch.Tensor) -> dict:
    """What each block of BLOCKS gives: source (1, S), previous (1, T) integers → {name: (rows, columns) or (h, …)}.

    previous: the target's tokens with the begin mark before them. `encoder` and `decoder` stand for what enters them.
    The hooks see every tensor, and the model knows nothing of it.
    """
    modules, seen, hooks = dict(model.named_modules()), {}, []
    for name in (block[0] for block in BLOCKS):
        if name in ("encoder", "decoder"):
            hooks.append(
                modules[name].register_forward_pre_hook(
                    lambda _, inputs, name=name: seen.update({name: inputs[0][0]})
                )
            )
        elif name in modules:
            hooks.append(
                modules[name].register_forward_hook(
                    lambda _, inputs, output, name=name: seen.update(
                        {name: (output[0] if isinstance(output, tuple) else output)[0]}
                    )
                )
            )
    memory, _ = model.encode(source, need_weights=True)
    logits, _ = model.decode(
        previous, memory, transformer.padding_mask(source), need_weights=True
    )
    for hook in hooks:
        hook.remove()
    one_hot = torch.nn.functional.one_hot
    seen["source"] = one_hot(source[0], model.source_embedding.num_embeddings)
    seen["target"] = one_hot(previous[0], model.target_embedding.num_embeddings)
    seen["softmax"] = logits[0].softmax(dim=-1)
    return {block[0]: seen[block[0]] for block in BLOCKS}


class ArchitectureExplorer(Explorer):
    """A small trained Transformer on a few sentences, drawn as in the paper: choose a block and see what it is.

    model          a `Transformer` of one post-LN layer with sinusoidal positions
    source, target its vocabularies
    examples       {name: (source words, target words)}
    block, example, row, head  the reader's choice: an index in BLOCKS, a name, a token and a head from 1

    Raises ValueError for more than one layer, no example, and words outside the vocabularies.
    """

    _esm = HERE / "static" / "architecture.js"
    _blocks = traitlets.List().tag(sync=True)
    _codes = traitlets.Dict().tag(sync=True)
    _examples = traitlets.List().tag(sync=True)
    _words = traitlets.List().tag(sync=True)
    _heads = traitlets.Int().tag(sync=True)
    _tensors = traitlets.Bytes().tag(sync=True)  # float16, by example and block
    block = traitlets.Int().tag(sync=True)
    example = traitlets.Unicode().tag(sync=True)
    row = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        model: transformer.Transformer,
        source: Vocabulary,
        target: Vocabulary,
        examples: Mapping[str, tuple[Sequence[str], Sequence[str]]],
        block: str = "decoder.layers.0.cross_attention.softmax",
        row: int = 2,
        head: int = 1,
        label: str = "The Transformer, block by block",
    ):
        layers = len(model.encoder.layers)
        if layers != 1:
            raise ValueError(f"model: got {layers} layers, expected 1")
        if not examples:
            raise ValueError("examples: got none, expected at least one")
        names = [each[0] for each in BLOCKS]
        one_of("block", block, names)
        stored, data = [], []
        for name, (words, written) in examples.items():
            read = source.batch([words])
            begun = torch.tensor([[Vocabulary.BEGIN, *target.encode(written)]])
            found = tensors(model, read, begun).values()
            arrays = [each.cpu().numpy().astype("<f2") for each in found]
            stored.append(
                {
                    "name": name,
                    "source": [source.tokens[i] for i in read[0]],
                    "target": [target.tokens[i] for i in begun[0]],
                    "shapes": [(1, *a.shape)[-3:] for a in arrays],
                }
            )
            data += [array.tobytes() for array in arrays]
        super().__init__(
            _blocks=[self._described(model, *each) for each in BLOCKS],
            _codes={name: _source(code) for name, code in CODE.items()},
            _examples=stored,
            _words=[source.tokens, target.tokens],
            _heads=model.encoder.layers[0].attention.num_heads,
            _tensors=b"".join(data),
            block=names.index(block),
            example=next(iter(examples)),
            row=row,
            head=head,
            label=label,
        )

    @staticmethod
    def _described(model, name, side, kind, columns) -> dict:
        code, equation, shape, note = KINDS[kind]
        own = {"encoder": "positions", "decoder": "positions"}  # not the whole stack
        owner = dict(model.named_modules()).get(
            own.get(name, name.removesuffix(".softmax"))
        )
        rows = "source" if side == "encoder" else "target"
        norms = [each[0] for each in BLOCKS if each[1:3] == (side, "add & norm")]
        return {
            "side": ["encoder", "decoder"].index(side),
            "title": f"{kind} {norms.index(name) + 1}" if name in norms else kind,
            "short": kind,
            "code": code,
            "equation": equation,
            "shape": shape.replace(" n", f" {rows[0].upper()}"),
            "note": note,
            "rows": rows,
            "columns": columns,
            "parameters": sum(p.numel() for p in owner.parameters()) if owner else 0,
            "repeated": LAYER in name,
            "cross": kind == "cross-attention",
        }

    def tensor(self, block: str, example: str) -> np.ndarray:
        """What is stored of a block on an example, (h, rows, columns)."""
        at, names = 0, [each[0] for each in BLOCKS]
        for stored in self._examples:
            for other, shape in zip(names, stored["shapes"], strict=True):
                size = int(np.prod(shape))
                if (other, stored["name"]) == (block, example):
                    flat = np.frombuffer(self._tensors, "<f2", size, 2 * at)
                    return flat.reshape(shape).astype(float)
                at += size
        raise ValueError(f"block: got {block!r} of {example!r}, expected a known one")

    @traitlets.validate("block")
    def _check_block(self, proposal) -> int:
        return within("block", proposal.value, 0, len(BLOCKS) - 1)

    @traitlets.validate("example")
    def _check_example(self, proposal) -> str:
        return one_of(
            "example", proposal.value, [each["name"] for each in self._examples]
        )

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int:
        return within("row", proposal.value, 1, 99)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, 1, self._heads)

    def __repr__(self) -> str:
        return f"ArchitectureExplorer({len(BLOCKS)} blocks, {len(self._examples)} examples)"


def _source(code) -> str:
    return code if isinstance(code, str) else textwrap.dedent(inspect.getsource(code))
