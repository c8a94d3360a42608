"""Documents to classes: attention pooling, a hierarchy of it, convolutions over words and characters, aspects.

Shapes: B documents in a batch, S sentences in a document, T tokens, d the width of a state, C classes. Token 0 pads.
"""

import torch
from einops import einsum, rearrange, repeat
from torch import nn

from helpers.attention import Attention, Dot
from helpers.validation import require_shape

PAD = 0


class AttentionPooling(nn.Module):
    """e_t = uᵀ tanh(W h_t + b), α = softmax(e), z = Σ α_t h_t: a weighted mean whose query u is learned.

    Source: Yang et al. 2016, equations 5 to 7.
    """

    def __init__(self, size: int):
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.u = nn.Linear(size, 1, bias=False)

    def forward(self, states, there):
        """states (B, T, d), there (B, T) True where a token is → z (B, d), weights (B, T).

        Raises ValueError for other shapes, and for a row without any token.
        """
        require_shape("states", states, ("B", "T", "d"))
        require_shape("there", there, states.shape[:2])
        _require_tokens("there", there)
        energy = self.u(torch.tanh(self.hidden(states))).squeeze(-1)  # (B, T)
        weights = torch.softmax(energy.masked_fill(~there, -torch.inf), dim=-1)
        return einsum(weights, states, "b t, b t d -> b d"), weights


def _require_tokens(name: str, there: torch.Tensor) -> None:
    empty = int((~there.any(dim=-1)).sum())
    if empty:
        raise ValueError(
            f"{name}: got {empty} of {len(there)} without a token, expected at least one in each"
        )


def word_vectors(num_tokens: int, size: int) -> nn.Embedding:
    """Vectors that begin at a tenth of PyTorch's size: what little data says about a word then outweighs the noise."""
    embedding = nn.Embedding(num_tokens, size, padding_idx=PAD)
    with torch.no_grad():
        embedding.weight.mul_(0.1)
    return embedding


class BiGRU(nn.Module):
    """A GRU in each direction; what it says at a token does not depend on the padding behind the sequence."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        """x (B, T, input_size), lengths (B,) at least 1 → states (B, T, 2 hidden_size), 0 beyond the length."""
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = self.gru(packed)
        return nn.utils.rnn.pad_packed_sequence(
            states, batch_first=True, total_length=x.shape[1]
        )[0]


class BiRNN(nn.Module):
    """Words → bidirectional GRU → attention pooling → classes."""

    def __init__(self, num_tokens: int, size: int = 24, num_classes: int = 2):
        super().__init__()
        self.embedding = word_vectors(num_tokens, size)
        self.dropout = nn.Dropout(0.3)
        self.encoder = BiGRU(size, size)
        self.pooling = AttentionPooling(2 * size)
        self.output = nn.Linear(2 * size, num_classes)

    def forward(self, tokens):
        """tokens (B, T) → logits (B, C), weights (B, T)."""
        return self.read(self.embedding(tokens), tokens != PAD)

    def read(self, embedded, there):
        """The rest, from the embeddings (B, T, d) on, so that one can ask for the gradient by them."""
        _require_tokens("tokens", there)
        states = self.encoder(self.dropout(embedded), there.sum(dim=1))
        pooled, weights = self.pooling(states, there)
        return self.output(self.dropout(pooled)), weights


class HAN(nn.Module):
    """Hierarchical attention: words make sentences, sentences make the document, each by a GRU and a pooling.

    Source: Yang et al. 2016.
    """

    def __init__(self, num_tokens: int, size: int = 24, num_classes: int = 2):
        super().__init__()
        self.embedding = word_vectors(num_tokens, size)
        self.dropout = nn.Dropout(0.3)
        self.words = BiGRU(size, size)
        self.word_pooling = AttentionPooling(2 * size)
        self.sentences = BiGRU(2 * size, size)
        self.sentence_pooling = AttentionPooling(2 * size)
        self.output = nn.Linear(2 * size, num_classes)

    def forward(self, tokens):
        """tokens (B, S, T) → logits (B, C), weights of the words (B, S, T) and of the sentences (B, S)."""
        require_shape("tokens", tokens, ("B", "S", "T"))
        there = tokens != PAD  # (B, S, T)
        is_sentence = there.any(dim=-1)  # (B, S)
        _require_tokens("tokens", is_sentence)
        rows, row_there = tokens[is_sentence], there[is_sentence]  # (N, T), no padding
        states = self.words(self.dropout(self.embedding(rows)), row_there.sum(dim=1))
        pooled, of_words = self.word_pooling(states, row_there)  # (N, 2d), (N, T)

        sentences = pooled.new_zeros(*is_sentence.shape, pooled.shape[-1])
        sentences[is_sentence] = pooled  # (B, S, 2d)
        word_weights = of_words.new_zeros(tokens.shape)
        word_weights[is_sentence] = of_words
        states = self.sentences(sentences, is_sentence.sum(dim=1))
        pooled, sentence_weights = self.sentence_pooling(states, is_sentence)
        return self.output(self.dropout(pooled)), word_weights, sentence_weights


class TextCNN(nn.Module):
    """Filters slide over 3, 4 and 5 words; of each filter only its greatest answer counts. Source: Kim 2014."""

    def __init__(self, num_tokens: int, size: int = 24, num_classes: int = 2):
        super().__init__()
        self.embedding = word_vectors(num_tokens, size)
        self.filters = nn.ModuleList(
            nn.Conv1d(size, 32, width, padding=width - 1) for width in (3, 4, 5)
        )
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(3 * 32, num_classes)

    def forward(self, tokens):
        """tokens (B, T) → logits (B, C), None: it has no weights to show."""
        there = tokens != PAD
        _require_tokens("tokens", there)
        x = rearrange(self.embedding(tokens), "b t d -> b d t")
        lengths = there.sum(dim=1).reshape(-1, 1, 1)
        greatest = []
        for f in self.filters:
            answers = torch.relu(f(x))  # (B, 32, T + width − 1)
            places = torch.arange(answers.shape[-1])
            beyond = places >= lengths + f.kernel_size[0] - 1  # no word in the window
            greatest.append(answers.masked_fill(beyond, 0).amax(dim=-1))
        return self.output(self.dropout(torch.cat(greatest, dim=-1))), None


class CharCNN(nn.Module):
    """Convolutions over characters: no words at all. Three layers here, six in the original, Zhang et al. 2015.

    A one-hot character times the first layer's matrix is a column of it; here as there.
    """

    def __init__(self, num_characters: int, size: int = 48, num_classes: int = 2):
        super().__init__()
        self.num_characters = num_characters
        self.layers = nn.Sequential(
            nn.Conv1d(num_characters, size, 7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool1d(3),
            nn.Conv1d(size, size, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(3, padding=1),
            nn.Conv1d(size, size, 3, padding=1),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(2 * size, num_classes)

    def forward(self, characters):
        """characters (B, T), T at least 6 → logits (B, C), None. Padding is a character of zeros."""
        _require_tokens("characters", characters != PAD)
        one_hot = nn.functional.one_hot(characters, self.num_characters)
        one_hot = one_hot.to(self.output.weight.dtype)
        one_hot[..., PAD] = 0
        answers = self.layers(rearrange(one_hot, "b t c -> b c t"))  # (B, d, T / 18)
        summary = torch.cat([answers.amax(dim=-1), answers.mean(dim=-1)], dim=-1)
        return self.output(self.dropout(summary)), None


class AspectClassifier(nn.Module):
    """One reader, one query for each aspect: α_a = softmax(q_a · h_t), z_a = Σ α_at h_t, and one output for all.

    The encoder, the keys and the output layer are shared: what differs between two aspects is the query alone.
    """

    def __init__(
        self,
        num_tokens: int,
        num_aspects: int = 3,
        size: int = 16,
        num_classes: int = 3,
    ):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, size, padding_idx=PAD)
        self.encoder = BiGRU(size, size)
        self.queries = nn.Parameter(0.1 * torch.randn(num_aspects, 2 * size))
        self.attention = Attention(Dot(2 * size, 2 * size))
        self.output = nn.Linear(2 * size, num_classes)

    def forward(self, tokens):
        """tokens (B, T) → logits (B, aspects, C), weights (B, aspects, T)."""
        return self.read(self.embedding(tokens), tokens != PAD)

    def read(self, embedded, there):
        """The rest, from the embeddings (B, T, d) on, so that one can ask for the gradient by them."""
        _require_tokens("tokens", there)
        states = self.encoder(embedded, there.sum(dim=1))  # (B, T, 2d)
        queries = repeat(self.queries, "a d -> b a d", b=len(embedded))
        mixed, weights = self.attention(
            queries, states, states, rearrange(there, "b t -> b 1 t")
        )  # (B, aspects, 2d), (B, aspects, T)
        return self.output(mixed), weights
