"""Explorers of channel attention: the weights of the channels, switched by hand; CBAM's weights of the places."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import traitlets
from torch.nn import functional as F

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words

GATES = ["own", "class", "all", "open"]
PARTS = ("kernel", "bias", "W_1", "W_2", "W", "b")


def _levels(photos: np.ndarray) -> bytes:
    within("photos", photos.min(), 0, 1)
    within("photos", photos.max(), 0, 1)
    return np.round(255 * photos).astype(np.uint8).tobytes()


class ChannelExplorer(Explorer):
    """The maps of a photo's channels and their weights, to be switched by hand; the classes' probabilities follow.

    The browser computes the rest of a small network anew: a convolution of 3 × 3 with stride 2, GELU,
    squeeze-and-excitation with GELU, the mean over the places, one linear layer.

    photos    (n, height, width) from 0 to 1, with n different names
    maps      (n, C, h, w) before their attention; weights (n, C), from 0 to 1: what the network gave them
    typical   (classes, C): the mean weights of each class; labels: n indices of the photos' classes
    tail      {"kernel": (O, C, 3, 3), "bias": (O,), "W_1": (r, O), "W_2": (O, r), "W": (classes, O), "b": (classes,)}
    classes   names of the classes
    gates     whose weights: "own", the mean of the photo's "class", of "all" classes, or "open", 1 throughout
    off       k switches off the k channels with the greatest own weights, −k those with the least
    by_hand   (channel, weight) pairs that the reader has set; photo, channel: what is looked at

    Maps and matrices are rounded to 255 levels, channel by channel and row by row.
    Raises ValueError for other shapes, NaN, and values outside these.
    """

    _esm = HERE / "static" / "channels.js"
    _photos = traitlets.Bytes().tag(sync=True)  # uint8
    _maps = traitlets.Bytes().tag(sync=True)  # uint8, from the least to the greatest
    _rows = traitlets.Bytes().tag(sync=True)  # int8: kernel, W_1, W_2, W, row by row
    _numbers = traitlets.Bytes().tag(sync=True)  # float32, see below
    _shape = traitlets.List().tag(sync=True)  # n, height, width, C, h, w, O, r
    _names = traitlets.List().tag(sync=True)
    _labels = traitlets.List().tag(sync=True)
    _classes = traitlets.List().tag(sync=True)
    photo = traitlets.Int().tag(sync=True)
    gates = traitlets.Unicode().tag(sync=True)
    off = traitlets.Int().tag(sync=True)
    channel = traitlets.Int().tag(sync=True)
    by_hand = traitlets.List().tag(sync=True)

    def __init__(
        self,
        photos,
        names: Sequence[str],
        maps,
        weights,
        typical,
        labels: Sequence[int],
        tail: Mapping[str, object],
        classes: Sequence[str],
        photo: int = 0,
        gates: str = "own",
        off: int = 0,
        channel: int = 0,
        by_hand: Sequence[tuple[int, float]] = (),
        label: str = "The channels of a photo and their weights",
    ):
        photos = finite_array("photos", photos, ("n", "height", "width"))
        n, classes = len(photos), words("classes", classes)
        names = words("names", names, n)
        if len(set(names)) < n:
            raise ValueError(f"names: got {names}, expected {n} different ones")
        maps = finite_array("maps", maps, (n, "C", "h", "w"))
        C, k = maps.shape[1], len(classes)
        weights = finite_array("weights", weights, (n, C))
        typical = finite_array("typical", typical, (k, C))
        for name, values in (("weights", weights), ("typical", typical)):
            within(name, values.min(), 0, 1)
            within(name, values.max(), 0, 1)
        if len(labels) != n:
            raise ValueError(f"labels: got {len(labels)}, expected {n}")
        for name in PARTS:
            one_of("tail", name, list(tail))
        kernel = finite_array("tail['kernel']", tail["kernel"], ("O", C, 3, 3))
        O = len(kernel)  # noqa: E741
        bias = finite_array("tail['bias']", tail["bias"], (O,))
        W_1 = finite_array("tail['W_1']", tail["W_1"], ("r", O))
        r = len(W_1)
        W_2 = finite_array("tail['W_2']", tail["W_2"], (O, r))
        W = finite_array("tail['W']", tail["W"], (k, O))
        b = finite_array("tail['b']", tail["b"], (k,))
        low, high = maps.min(axis=(0, 2, 3)), maps.max(axis=(0, 2, 3))
        step = (high - low) / 255 + 1e-12
        levels = np.round((maps - low[:, None, None]) / step[:, None, None])
        rows, steps = [], []
        for matrix in (kernel.reshape(O, -1), W_1, W_2, W):
            steps.append(np.abs(matrix).max(axis=1) / 127 + 1e-12)
            rows.append(np.round(matrix / steps[-1][:, None]).astype(np.int8).tobytes())
        floats = (weights, typical, low, step, *steps, bias, b)
        super().__init__(
            _photos=_levels(photos),
            _maps=levels.astype(np.uint8).tobytes(),
            _rows=b"".join(rows),
            _numbers=b"".join(each.astype("<f4").tobytes() for each in floats),
            _shape=[*photos.shape, *maps.shape[1:], O, r],
            _names=names,
            _labels=[int(within("labels", each, 0, k - 1)) for each in labels],
            _classes=classes,
            photo=photo,
            gates=gates,
            off=off,
            channel=channel,
            by_hand=[list(pair) for pair in by_hand],
            label=label,
        )

    def numbers(self) -> dict[str, np.ndarray]:
        """The channels' weights (C,) as they are set, and the probabilities (classes,) that follow."""
        n, _, _, C, height, width, O, r = self._shape  # noqa: E741
        k = len(self._classes)
        flat = np.frombuffer(self._numbers, "<f4").astype(float)
        sizes = np.cumsum([n * C, k * C, C, C, O, r, O, k, O])
        own, typical, low, step, *steps, bias, b = np.split(flat, sizes)
        own, typical = own.reshape(n, C)[self.photo], typical.reshape(k, C)
        weights = {
            "own": own,
            "class": typical[self._labels[self.photo]],
            "all": typical.mean(axis=0),
            "open": np.ones(C),
        }[self.gates].copy()
        order = np.argsort(-own, kind="stable")
        weights[order[: self.off] if self.off >= 0 else order[self.off :]] = 0
        for channel, weight in self.by_hand:
            weights[channel] = weight
        shapes, at, matrices = [(O, C * 9), (r, O), (O, r), (k, O)], 0, []
        whole = np.frombuffer(self._rows, np.int8).astype(float)
        for shape, scale in zip(shapes, steps, strict=True):
            part = whole[at : at + shape[0] * shape[1]].reshape(shape)
            matrices.append(part * scale[:, None])
            at += part.size
        kernel, W_1, W_2, W = map(torch.tensor, matrices)
        maps = np.frombuffer(self._maps, np.uint8).reshape(n, C, height, width)
        maps = low[:, None, None] + step[:, None, None] * maps[self.photo]
        scaled = torch.tensor(maps * weights[:, None, None])
        kernel = kernel.view(O, C, 3, 3)
        x = torch.conv2d(scaled[None], kernel, torch.tensor(bias), 2, 1)[0]
        z = F.gelu(x).mean(dim=(1, 2))  # (O,)
        s = torch.sigmoid(W_2 @ F.gelu(W_1 @ z))
        probabilities = torch.softmax(W @ (s * z) + torch.tensor(b), dim=0)
        return {"weights": weights, "probabilities": probabilities.numpy()}

    @traitlets.validate("photo")
    def _check_photo(self, proposal) -> int:
        return within("photo", proposal.value, 0, self._shape[0] - 1)

    @traitlets.validate("gates")
    def _check_gates(self, proposal) -> str:
        return one_of("gates", proposal.value, GATES)

    @traitlets.validate("off")
    def _check_off(self, proposal) -> int:
        return within("off", proposal.value, -self._shape[3], self._shape[3])

    @traitlets.validate("channel")
    def _check_channel(self, proposal) -> int:
        return within("channel", proposal.value, 0, self._shape[3] - 1)

    @traitlets.validate("by_hand")
    def _check_by_hand(self, proposal) -> list:
        pairs = [list(pair) for pair in proposal.value]
        for channel, weight in pairs:
            within("by_hand", channel, 0, self._shape[3] - 1)
            within("by_hand", weight, 0, 1)
        return pairs

    def __repr__(self) -> str:
        return f"ChannelExplorer({self._shape[0]} photos, {self._shape[3]} channels)"


class PlaceExplorer(Explorer):
    """CBAM's weights of the places, after each of its stages, and the two maps that they are computed from.

    photos   (n, height, width) from 0 to 1, with n different names
    maps     for each stage {"weight": (n, h, w) from 0 to 1, "maximum": (n, h, w), "mean": (n, h, w)}
    ground   pixels brighter than this count as the thing in the photo, the others as background
    photo, stage, show   the reader's choice; stages count from 1

    Raises ValueError for other shapes, NaN, and values outside these.
    """

    _esm = HERE / "static" / "places.js"
    _photos = traitlets.Bytes().tag(sync=True)  # uint8
    _maps = traitlets.Bytes().tag(sync=True)  # uint8, from 0 to the _most of its map
    _most = traitlets.List().tag(sync=True)  # stage → kind → the least and greatest
    _shape = traitlets.List().tag(sync=True)  # n, height, width
    _sizes = traitlets.List().tag(sync=True)  # stage → height, width
    _names = traitlets.List().tag(sync=True)
    _ground = traitlets.Float().tag(sync=True)
    photo = traitlets.Int().tag(sync=True)
    stage = traitlets.Int().tag(sync=True)
    show = traitlets.Unicode().tag(sync=True)

    KINDS = ("weight", "maximum", "mean")

    def __init__(
        self,
        photos,
        names: Sequence[str],
        maps: Sequence[Mapping[str, object]],
        ground: float = 0.1,
        photo: int = 0,
        stage: int = 1,
        show: str = "weight",
        label: str = "CBAM's weights of the places",
    ):
        photos = finite_array("photos", photos, ("n", "height", "width"))
        names = words("names", names, len(photos))
        if len(set(names)) < len(names):
            raise ValueError(f"names: got {names}, expected {len(names)} different")
        if not maps:
            raise ValueError("maps: got none, expected at least 1 stage")
        packed, most, sizes = [], [], []
        for i, stage_maps in enumerate(maps):
            ranges, shape = [], (len(photos), "h", "w")
            for kind in self.KINDS:
                one_of(f"maps[{i}]", kind, list(stage_maps))
                values = finite_array(f"maps[{i}][{kind!r}]", stage_maps[kind], shape)
                shape = values.shape
                low, high = float(values.min()), float(values.max())
                if kind == "weight":
                    within("maps", low, 0, 1)
                    within("maps", high, 0, 1)
                    low, high = 0.0, 1.0
                levels = 255 * (values - low) / ((high - low) or 1)
                packed.append(np.round(levels).astype(np.uint8).tobytes())
                ranges.append([low, high])
            most.append(ranges)
            sizes.append(list(shape[1:]))
        super().__init__(
            _photos=_levels(photos),
            _maps=b"".join(packed),
            _most=most,
            _shape=list(photos.shape),
            _sizes=sizes,
            _names=names,
            _ground=within("ground", ground, 0, 1),
            photo=photo,
            stage=stage,
            show=show,
            label=label,
        )

    @traitlets.validate("photo")
    def _check_photo(self, proposal) -> int:
        return within("photo", proposal.value, 0, self._shape[0] - 1)

    @traitlets.validate("stage")
    def _check_stage(self, proposal) -> int:
        return within("stage", proposal.value, 1, len(self._sizes))

    @traitlets.validate("show")
    def _check_show(self, proposal) -> str:
        return one_of("show", proposal.value, list(self.KINDS))

    def __repr__(self) -> str:
        return f"PlaceExplorer({self._shape[0]} photos, {len(self._sizes)} stages)"
