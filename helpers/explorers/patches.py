"""Explorer of how a photograph becomes tokens: patches of a chosen size, lifted out in reading order."""

from collections.abc import Mapping, Sequence

import numpy as np
import traitlets

from helpers.explorers.base import (
    HERE,
    Explorer,
    one_of,
    require_photo,
    webp,
    within,
)


class PatchExplorer(Explorer):
    """A photograph cut into patches: how many tokens that gives, and what a layer costs then.

    photos       name → image (S, S, 3), uint8, all of one size
    sizes        sides of patches to choose from, in pixels, rising
    d_model      d, the numbers of a token in the layer whose cost is shown
    patch        the chosen side;  lifted: how many patches are lifted out, from 0

    Raises ValueError for images that are not square, of unequal size, or that a side does not divide.
    """

    _esm = HERE / "static" / "patches.js"
    _names = traitlets.List().tag(sync=True)
    _images = traitlets.List().tag(sync=True)  # WebP
    _side = traitlets.Int().tag(sync=True)
    _sizes = traitlets.List().tag(sync=True)
    _d_model = traitlets.Int().tag(sync=True)
    photo = traitlets.Unicode().tag(sync=True)
    patch = traitlets.Int().tag(sync=True)
    lifted = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        photos: Mapping[str, np.ndarray],
        sizes: Sequence[int] = (8, 14, 16, 28, 32, 56, 112),
        d_model: int = 384,
        patch: int = 16,
        lifted: int = 40,
        label: str = "From a photograph to tokens",
    ):
        if not photos:
            raise ValueError("photos: got none, expected at least 1")
        sides = set()
        for name, image in photos.items():
            height, width, _ = require_photo(f"photos[{name!r}]", image).shape
            if height != width or len(sides | {height}) > 1:
                raise ValueError(
                    f"photos[{name!r}]: got {height} × {width} pixels, expected squares of one size"
                )
            sides.add(height)
        side = sides.pop()
        for size in sizes:
            if size < 1 or side % size:
                raise ValueError(
                    f"sizes: got {size}, expected sides of patches that divide {side} pixels"
                )
        within("d_model", d_model, 1, 100_000)
        one_of("patch", patch, list(sizes))
        super().__init__(
            _names=list(photos),
            _images=[
                webp(f"photos[{name!r}]", image, 336) for name, image in photos.items()
            ],
            _side=side,
            _sizes=list(sizes),
            _d_model=d_model,
            photo=next(iter(photos)),
            patch=patch,
            lifted=lifted,
            label=label,
        )

    def cost(self) -> dict[str, int]:
        """What is shown of the chosen side: patches, numbers in each, tokens with the class token, weights of a head,
        and multiply-adds of an encoder layer with d_ff = 4d: 12Td² + 2T²d."""
        patches, d = (self._side // self.patch) ** 2, self._d_model
        tokens = patches + 1
        return {
            "patches": patches,
            "numbers in each": 3 * self.patch**2,
            "tokens": tokens,
            "weights of a head": tokens**2,
            "multiply-adds of a layer": 12 * tokens * d**2 + 2 * tokens**2 * d,
        }

    @traitlets.validate("photo")
    def _check_photo(self, proposal) -> str:
        return one_of("photo", proposal.value, self._names)

    @traitlets.validate("patch")
    def _check_patch(self, proposal) -> int:
        return one_of("patch", proposal.value, self._sizes)

    @traitlets.observe("patch")
    def _keep_lifted(self, change) -> None:
        self.lifted = min(self.lifted, (self._side // self.patch) ** 2)

    @traitlets.validate("lifted")
    def _check_lifted(self, proposal) -> int:
        return within("lifted", proposal.value, 0, (self._side // self.patch) ** 2)

    def __repr__(self) -> str:
        return f"PatchExplorer({len(self._names)} photos of {self._side} × {self._side} pixels)"
