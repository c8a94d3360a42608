"""A pretrained encoder: BERT's architecture (Devlin et al. 2018), and the weights of a small one, all-MiniLM-L6-v2.

Shapes: B sequences in a batch, T tokens, d = d_model numbers a token, h heads, N layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from helpers.data import fetch
from helpers.tokens import WordPiece
from helpers.transformer import EncoderLayer, LearnedPositions, padding_mask
from helpers.validation import require_shape


class Bert(nn.Module):
    """Embeddings, and N encoder layers with post-LN and GELU. The sizes left as they are make all-MiniLM-L6-v2.

    BERT-base has d_model 768, 12 layers, 12 heads and d_ff 3072; BERT-large 1024, 24, 16 and 4096.
    """

    def __init__(
        self,
        vocabulary_size: int = 30_522,
        d_model: int = 384,
        num_layers: int = 6,
        num_heads: int = 12,
        d_ff: int = 1536,
        max_length: int = 512,
        num_segments: int = 2,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, d_model)
        self.positions = LearnedPositions(max_length, d_model)
        self.segments = nn.Embedding(num_segments, d_model)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.layers = nn.ModuleList(
            EncoderLayer(d_model, num_heads, d_ff, activation=F.gelu, eps=1e-12)
            for _ in range(num_layers)
        )

    def forward(
        self,
        tokens: torch.Tensor,
        segments: torch.Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """tokens (B, T), 0 for padding; segments (B, T), 0 or 1, all 0 if left out
        → N + 1 states (B, T, d), the embeddings first; for each layer its weights
        (B, h, T, T) or None.

        Raises ValueError for numbers that are no token's, for another shape, and
        for more tokens than there are positions.
        """
        require_shape("tokens", tokens, ("B", "T"))
        segments = torch.zeros_like(tokens) if segments is None else segments
        require_shape("segments", segments, tuple(tokens.shape))
        _require_numbers("tokens", tokens, self.tokens.num_embeddings)
        _require_numbers("segments", segments, self.segments.num_embeddings)
        x = self.tokens(tokens) + self.positions(tokens.shape[1])
        states, weights = [self.norm(x + self.segments(segments))], []
        for layer in self.layers:
            x, alpha = layer(states[-1], padding_mask(tokens), need_weights)
            states.append(x)
            weights.append(alpha)
        return states, weights


def _require_numbers(name: str, numbers: torch.Tensor, count: int) -> None:
    if numbers.is_floating_point() or numbers.dtype == torch.bool:
        raise ValueError(f"{name}: got {numbers.dtype}, expected integers")
    if numbers.min() < 0 or numbers.max() >= count:
        worst = int(numbers.min() if numbers.min() < 0 else numbers.max())
        raise ValueError(f"{name}: got {worst}, expected 0 to {count - 1}")


# ---------------------------------------------------------------------------------------------------------------------
# The pretrained weights
# ---------------------------------------------------------------------------------------------------------------------

# The file's names for the parts, and ours; each applied in turn.
NAMES = (
    ("embeddings.word_embeddings", "tokens"),
    ("embeddings.position_embeddings", "positions.embedding"),
    ("embeddings.token_type_embeddings", "segments"),
    ("embeddings.LayerNorm", "norm"),
    ("encoder.layer", "layers"),
    ("attention.self", "attention"),
    ("attention.output.LayerNorm", "around_attention.norm"),
    ("attention.output.dense", "attention.output"),
    ("intermediate.dense", "feed_forward.inner"),
    ("output.LayerNorm", "around_feed_forward.norm"),
    ("output.dense", "feed_forward.outer"),
)


def our_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a `BertModel` under the names that `Bert` has for them; what it does not use is left out."""
    renamed = {}
    for name, weight in weights.items():
        if not name.startswith("pooler") and name != "embeddings.position_ids":
            for theirs, ours in NAMES:
                name = name.replace(theirs, ours)
            renamed[name] = weight
    return renamed


@dataclass(frozen=True)
class Reading:
    """What the encoder makes of one text: its tokens (T), states (N + 1, T, d), and weights (N, h, T, T)."""

    tokens: list[str]
    states: torch.Tensor
    weights: torch.Tensor


class PretrainedEncoder:
    """A `Bert` and its tokenizer: texts in, states and vectors out, without gradients."""

    def __init__(self, model: Bert, tokenizer: WordPiece):
        self.model, self.tokenizer = model.eval(), tokenizer

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text between [CLS] and [SEP].

        Raises ValueError unless it is a string with at most as many pieces as the model has positions for.
        """
        tokens = ["[CLS]", *self.tokenizer.tokenize(text), "[SEP]"]
        most = self.model.positions.embedding.num_embeddings
        if len(tokens) > most:
            raise ValueError(
                f"text: got {len(tokens)} tokens with [CLS] and [SEP], expected at most {most}"
            )
        return tokens

    def batch(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, T) the numbers of the tokens of each text, padded with 0 to the longest. Raises as `tokenize` does."""
        _require_texts(texts)
        rows = [
            torch.tensor([self.tokenizer.number[t] for t in self.tokenize(text)])
            for text in texts
        ]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    @torch.no_grad()
    def read(self, text: str) -> Reading:
        """States and weights of every layer. Raises as `tokenize` does."""
        states, weights = self.model(self.batch([text]), need_weights=True)
        return Reading(self.tokenize(text), torch.cat(states), torch.cat(weights))

    @torch.no_grad()
    def means(self, texts: Sequence[str], batch_size: int = 32) -> torch.Tensor:
        """(N + 1, B, d): for each layer and text the mean of its tokens' states.

        Texts of like length go together, so that little is padding. Raises as `tokenize` does.
        """
        _require_texts(texts)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = []
        for start in range(0, len(order), batch_size):
            tokens = self.batch([texts[i] for i in order[start : start + batch_size]])
            states, _ = self.model(tokens)
            kept = (tokens != 0).unsqueeze(-1).to(states[0].dtype)  # (B, T, 1)
            total = (torch.stack(states) * kept).sum(dim=2)  # (N + 1, B, d)
            parts.append(total / kept.sum(dim=1))
        back = torch.tensor(order).argsort()
        return torch.cat(parts, dim=1)[:, back]

    def vectors(self, texts: Sequence[str], batch_size: int = 32) -> torch.Tensor:
        """(B, d): one vector of length 1 for each text, the mean of its last states.

        The dot product of two is their cosine. Source: Reimers and Gurevych 2019. Raises as `tokenize` does.
        """
        return F.normalize(self.means(texts, batch_size)[-1], dim=-1)


def _require_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"texts: got {texts!r}, expected at least one in a list")


def pretrained(dtype: torch.dtype = torch.float32) -> PretrainedEncoder:
    """all-MiniLM-L6-v2: 22.6 million parameters in 6 layers, trained to give sentences of one meaning one vector.

    Downloaded (84 MB) at the first call; raises DownloadError as `helpers.data.fetch` does. Source: Wang et al. 2020,
    Reimers and Gurevych 2019.
    """
    folder = fetch("minilm")
    with torch.device("meta"):  # no numbers yet: they are in the file
        model = Bert()
    weights = our_names(load_file(folder / "model.safetensors"))
    model.load_state_dict(weights, assign=True)
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return PretrainedEncoder(model.to(dtype), WordPiece(pieces))
