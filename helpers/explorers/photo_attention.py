"""Explorer of a Vision Transformer's attention: where a token of a photograph looks, in each head of each layer."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import traitlets

from helpers.explorers.base import (
    HERE,
    Explorer,
    attention_rows,
    one_of,
    webp,
    within,
)
from helpers.rollout import FUSIONS, discard, fuse, keep_mass, rollout, to_one

LEVELS = 31  # of a patch's weight: 31 √(w / greatest patch of the row)
SHOWN = {
    "head": "one head",
    "mean": "mean of heads",
    "max": "greatest of heads",
    "min": "least of heads",
    "rollout mean": "rollout of means",
    "rollout max": "rollout of greatest",
    "rollout min": "rollout of least",
}


class PhotoAttentionExplorer(Explorer):
    """Attention over photographs: choose a patch or the class token, see where it looks, in each head of each layer.

    photos   name → image (H, W, 3), uint8, as the model sees it, and weights (N, h, T, T): N layers, h heads,
             T = 1 + R + P tokens: the class token, R registers, the P = rows · columns of `grid` patches, row by row
    stride   every so many patches, across and down, one can be the query: maps of all would be too much for a page
    ratios   the shares of each row's smallest weights that can be discarded, rising from 0
    show     "head", a fusion of the layer's heads ("mean", "max", "min"), or the "rollout" of a fusion through the
             layers so far (helpers.rollout; computed before each map is stored)
    query    the place among the stored queries; 0 is the class token
    ratio    the place among `ratios`
    keep     the share of the patches' weight that the outlined patches hold

    Weights of patches travel in 32 levels, 31 √(w / greatest patch of the row), good to 4 % of that; those of the other
    tokens are good to 1e-5, and rows sum to 1 again. Of a single map the smallest are then discarded from what is
    stored; a rollout discards in each layer before. Each photograph's maps are bytes of their own, which the site
    fetches when they are asked for. Raises ValueError for wrong shapes, NaN, rows that do not sum to 1, and values
    outside these.
    """

    _esm = HERE / "static" / "photo_attention.js"
    _names = traitlets.List().tag(sync=True)
    _grid = traitlets.List().tag(sync=True)
    _shape = traitlets.List().tag(sync=True)  # N, h, R
    _queries = traitlets.List().tag(sync=True)  # tokens
    _stride = traitlets.Int().tag(sync=True)
    _ratios = traitlets.List().tag(sync=True)
    _shown = traitlets.List().tag(sync=True)
    _images = traitlets.List().tag(sync=True)  # WebP
    # of each photo, deflated: rows (N, h + 3, queries, …), the fusions behind the heads
    _maps = traitlets.List().tag(sync=True)
    # and of the rollouts (3, ratios, N, queries, T), each layer less the one below
    _rollouts = traitlets.List().tag(sync=True)
    photo = traitlets.Unicode().tag(sync=True)
    query = traitlets.Int().tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)
    show = traitlets.Unicode().tag(sync=True)
    ratio = traitlets.Int().tag(sync=True)
    keep = traitlets.Float().tag(sync=True)
    opacity = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        photos: Mapping[str, tuple],
        grid: tuple[int, int] = (16, 16),
        stride: int = 4,
        ratios: Sequence[float] = (0, 0.5, 0.9),
        query: int = 0,
        layer: int | None = None,
        head: int = 0,
        show: str = "head",
        ratio: int = 0,
        keep: float = 0.6,
        opacity: float = 0.85,
        label: str = "Attention over a photograph",
    ):
        if not photos:
            raise ValueError("photos: got none, expected at least 1")
        rows, columns = (int(within("grid", size, 1, 64)) for size in grid)
        within("stride", stride, 1, min(rows, columns))
        ratios = [float(ratio) for ratio in ratios]
        if not ratios or ratios[0] != 0 or sorted(set(ratios)) != ratios:
            raise ValueError(f"ratios: got {ratios}, expected 0 and then rising ones")
        within("ratios", ratios[-1], 0, 0.99)
        images, maps, rollouts, shape = [], [], [], ("N", "h", "T", "T")
        for name, (image, weights) in photos.items():
            images.append(webp(f"photos[{name!r}]", image, 336))
            weights = attention_rows(f"photos[{name!r}], weights", weights, shape)
            shape = weights.shape
            registers = shape[2] - rows * columns - 1
            if registers < 0 or shape[2] != shape[3]:
                raise ValueError(
                    f"photos[{name!r}], weights: got shape {shape}, expected at least 1 + {rows} · {columns} tokens"
                )
            patches = [
                1 + registers + row * columns + column
                for row in range(stride // 2, rows, stride)
                for column in range(stride // 2, columns, stride)
            ]
            weights = torch.from_numpy(weights.astype(np.float32))
            maps.append(_single(weights, [0, *patches], rows * columns))
            passed = _through(weights, ratios, [0, *patches], rows * columns)
            rollouts.append(passed)
        super().__init__(
            _names=list(photos),
            _grid=[rows, columns],
            _shape=[shape[0], shape[1], registers],
            _queries=[0, *patches],
            _stride=stride,
            _ratios=ratios,
            _shown=list(SHOWN.items()),
            _images=images,
            _maps=maps,
            _rollouts=rollouts,
            photo=next(iter(photos)),
            query=query,
            layer=shape[0] - 1 if layer is None else layer,
            head=head,
            show=show,
            ratio=ratio,
            keep=keep,
            opacity=opacity,
            label=label,
        )

    def weights(self) -> np.ndarray:
        """The weights that are shown, (T,): from the stored levels, as the browser computes them."""
        place = self._names.index(self.photo)
        (layers, heads, registers), patches = self._shape, np.prod(self._grid)
        counts = len(self._queries), 2 * (1 + registers) + patches
        if self.show.startswith("rollout"):
            steps = np.frombuffer(zlib.decompress(self._rollouts[place]), np.uint8)
            steps = steps.reshape(len(FUSIONS), len(self._ratios), layers, *counts)
            packed = np.cumsum(steps, axis=2, dtype=np.uint8)
            chosen = list(FUSIONS).index(self.show.removeprefix("rollout "))
            row = packed[chosen, self.ratio, self.layer, self.query]
            return _unpacked(row, patches).numpy()
        packed = np.frombuffer(zlib.decompress(self._maps[place]), np.uint8)
        packed = packed.reshape(layers, heads + len(FUSIONS), *counts)
        chosen = [*range(heads), *FUSIONS]
        at = chosen.index(self.head if self.show == "head" else self.show)
        row = _unpacked(packed[self.layer, at, self.query], patches)
        return discard(row, self._ratios[self.ratio]).numpy()

    def kept(self) -> np.ndarray:
        """The patches that are outlined, (rows, columns) of booleans."""
        patches = torch.from_numpy(self.weights()[1 + self._shape[2] :])
        return keep_mass(patches, self.keep).numpy().reshape(self._grid)

    @traitlets.validate("photo")
    def _check_photo(self, proposal) -> str:
        return one_of("photo", proposal.value, self._names)

    @traitlets.validate("query")
    def _check_query(self, proposal) -> int:
        return within("query", proposal.value, 0, len(self._queries) - 1)

    @traitlets.validate("layer")
    def _check_layer(self, proposal) -> int:
        return within("layer", proposal.value, 0, self._shape[0] - 1)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, 0, self._shape[1] - 1)

    @traitlets.validate("show")
    def _check_show(self, proposal) -> str:
        return one_of("show", proposal.value, list(SHOWN))

    @traitlets.validate("ratio")
    def _check_ratio(self, proposal) -> int:
        return within("ratio", proposal.value, 0, len(self._ratios) - 1)

    @traitlets.validate("keep")
    def _check_keep(self, proposal) -> float:
        return within("keep", proposal.value, 0.05, 1)

    @traitlets.validate("opacity")
    def _check_opacity(self, proposal) -> float:
        return within("opacity", proposal.value, 0, 1)

    def __repr__(self) -> str:
        layers, heads, _ = self._shape
        rows, columns = self._grid
        return (
            f"PhotoAttentionExplorer({len(self._names)} photos of {rows} × {columns} patches, "
            f"{layers} layers × {heads} heads, {len(self._queries)} queries)"
        )


def _packed(weights: torch.Tensor, patches: int) -> np.ndarray:
    """Rows (…, T) → bytes (…, 2 · (1 + R) + P): the first tokens in two bytes each, the patches in 32 levels."""
    first, levels = weights[..., :-patches], weights[..., -patches:]
    fine = (65535 * first).round().to(torch.int32)
    greatest = levels.amax(dim=-1, keepdim=True).clamp_min(1e-30)
    levels = (LEVELS * (levels / greatest).sqrt()).round()
    return torch.cat([fine // 256, fine % 256, levels], dim=-1).to(torch.uint8).numpy()


def _unpacked(packed: np.ndarray, patches: int) -> torch.Tensor:
    """A row of bytes, as of `_packed`, → weights (T,): the patches share what the first tokens leave."""
    high, low = packed[:-patches].astype(float).reshape(2, -1)
    first = (256 * high + low) / 65535
    levels = (packed[-patches:] / LEVELS) ** 2
    levels *= max(0, 1 - first.sum()) / (levels.sum() or 1)
    return to_one(torch.from_numpy(np.concatenate([first, levels])))


def _single(weights: torch.Tensor, queries: list[int], patches: int) -> bytes:
    """What the queries see in each head, and in each fusion of a layer's heads: (N, h, T, T) → deflated."""
    fused = [fuse(weights, fusion)[:, None, queries] for fusion in FUSIONS]
    rows = torch.cat([weights[:, :, queries], *fused], dim=1)
    return zlib.compress(_packed(rows, patches).tobytes(), 9)


def _through(
    weights: torch.Tensor, ratios: Sequence[float], queries: list[int], patches: int
) -> bytes:
    """The queries' rollouts of each fusion and ratio: (N, h, T, T) → deflated, each layer less the one below."""
    passed = [
        rollout(weights, fusion, ratio)[:, queries]
        for fusion in FUSIONS
        for ratio in ratios
    ]
    packed = _packed(torch.stack(passed), patches)  # (fusions · ratios, N, queries, …)
    below = np.zeros_like(packed)
    below[:, 1:] = packed[:, :-1]
    return zlib.compress((packed - below).tobytes(), 9)  # modulo 256
