"""Explorers of channel attention: the weights of the channels, switched by hand; CBAM's weights of the places."""

from collections.abc import Mapping, Sequence

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words

GATES = ["own", "class", "all", "open"]


def _bytes(array: np.ndarray) -> bytes:
    return array.astype("<f4").tobytes()


def _levels(photos: np.ndarray) -> bytes:
    within("photos", photos.min(), 0, 1)
    within("photos", photos.max(), 0, 1)
    return np.round(255 * photos).astype(np.uint8).tobytes()


class ChannelExplorer(Explorer):
    """A photo's channels and their weights, to be switched by hand; the probabilities of the classes follow.

    The attention stands right before the mean over the places. A channel's map times its weight has the mean times
    the weight, so the browser computes exactly what the network would: softmax(W (weights ⊙ means) + b).

    photos    (n, height, width) from 0 to 1, with n different names
    means     (n, C) of the last maps before their attention; weights (n, C), from 0 to 1: what the network gave them
    typical   (classes, C): the mean weights of each class; labels: n indices of the photos' classes
    W, b      (classes, C) and (classes,), the linear layer; classes: their names
    gates     whose weights: "own", the mean of the photo's "class", of "all" classes, or "open", 1 throughout
    off       k switches off the k channels with the greatest own weights, −k those with the least
    by_hand   (channel, weight) pairs that the reader has set; photo, channel: what is looked at

    Raises ValueError for other shapes, NaN, and values outside these.
    """

    _esm = HERE / "static" / "channels.js"
    _photos = traitlets.Bytes().tag(sync=True)  # uint8
    _numbers = traitlets.Bytes().tag(
        sync=True
    )  # float32: means, weights, typical, W, b
    _shape = traitlets.List().tag(sync=True)  # n, height, width, C
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
        means,
        weights,
        typical,
        labels: Sequence[int],
        W,
        b,
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
        means = finite_array("means", means, (n, "C"))
        C, k = means.shape[1], len(classes)
        weights = finite_array("weights", weights, (n, C))
        typical = finite_array("typical", typical, (k, C))
        for name, values in (("weights", weights), ("typical", typical)):
            within(name, values.min(), 0, 1)
            within(name, values.max(), 0, 1)
        if len(labels) != n:
            raise ValueError(f"labels: got {len(labels)}, expected {n}")
        W, b = finite_array("W", W, (k, C)), finite_array("b", b, (k,))
        super().__init__(
            _photos=_levels(photos),
            _numbers=b"".join(map(_bytes, (means, weights, typical, W, b))),
            _shape=[*photos.shape, C],
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
        (n, _, _, C), k = self._shape, len(self._classes)
        flat = np.frombuffer(self._numbers, "<f4").astype(float)
        cuts = np.cumsum([n * C, n * C, k * C, k * C])
        means, own, typical, W = (
            part.reshape(-1, C) for part in np.split(flat, cuts)[:-1]
        )
        weights = {
            "own": own[self.photo],
            "class": typical[self._labels[self.photo]],
            "all": typical.mean(axis=0),
            "open": np.ones(C),
        }[self.gates].copy()
        order = np.argsort(-own[self.photo], kind="stable")
        weights[order[: self.off] if self.off >= 0 else order[self.off :]] = 0
        for channel, weight in self.by_hand:
            weights[channel] = weight
        logits = W @ (weights * means[self.photo]) + flat[cuts[-1] :]
        grown = np.exp(logits - logits.max())
        return {"weights": weights, "probabilities": grown / grown.sum()}

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
