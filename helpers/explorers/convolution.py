"""Explorer of a convolution written as attention: nine heads, and how sharp they must be."""

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within

KERNELS = {
    "edges": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "blur": [[1 / 9] * 3] * 3,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "relief": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
}


class ConvolutionExplorer(Explorer):
    """A picture through a 3 × 3 convolution, and through nine heads of attention with the energies −α|δ − Δ|².

    image   (height, width) grey values, 0 to 255, 8 to 96 pixels a side;  kernel: one of `KERNELS`
    alpha   sharpness of the heads, 0.1 to 40;  head: whose map is shown, 0 to 8, row by row

    Raises ValueError for other shapes, NaN and values outside these.
    """

    _esm = HERE / "static" / "convolution.js"
    _image = traitlets.Bytes().tag(sync=True)  # uint8
    _shape = traitlets.List().tag(sync=True)
    _kernels = traitlets.Dict().tag(sync=True)
    kernel = traitlets.Unicode().tag(sync=True)
    alpha = traitlets.Float().tag(sync=True)
    head = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        image,
        kernel: str = "edges",
        alpha: float = 0.5,
        head: int = 2,
        label: str = "A convolution written as attention",
    ):
        image = finite_array("image", image, ("height", "width"))
        for side in image.shape:
            within("image", side, 8, 96)
        within("image", image.min(), 0, 255)
        within("image", image.max(), 0, 255)
        super().__init__(
            _image=image.round().astype(np.uint8).tobytes(),
            _shape=list(image.shape),
            _kernels=KERNELS,
            kernel=kernel,
            alpha=alpha,
            head=head,
            label=label,
        )

    @traitlets.validate("kernel")
    def _check_kernel(self, proposal) -> str:
        return one_of("kernel", proposal.value, list(KERNELS))

    @traitlets.validate("alpha")
    def _check_alpha(self, proposal) -> float:
        return within("alpha", proposal.value, 0.1, 40)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, 0, 8)

    def __repr__(self) -> str:
        return f"ConvolutionExplorer({self._shape[0]} × {self._shape[1]} pixels)"
