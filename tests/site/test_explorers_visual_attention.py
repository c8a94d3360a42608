"""The explorers of chapter 08 show the numbers that the helpers compute."""

import zlib

import numpy as np
import torch
from test_explorers import (  # noqa: F401
    cases,
    explorer,
    gallery_address,
    numbers,
    slide,
    state,
    value,
)

from helpers.receptive_field import ConvStack, effective_receptive_field, effective_size
from helpers.visual_attention import enlarge, share_inside


@cases("ReceptiveFieldExplorer")
def test_uniform_fields_are_those_of_a_uniform_stack(explorer):  # noqa: F811
    explorer.get_by_label("Weights").select_option("uniform")
    for place, layers, kernel in ((0, 5, 3), (1, 10, 5), (2, 20, 3)):
        slide(explorer.get_by_role("slider", name="Layers"), place)
        explorer.get_by_label("Kernel").select_option(str(kernel))
        slide(explorer.get_by_role("slider", name="Your square"), 5)
        side = layers * (kernel - 1) + 1
        stack = ConvStack(layers, weights="uniform", kernel_size=kernel).double()
        image = torch.rand(1, 1, side, side, dtype=torch.float64)
        field = effective_receptive_field(stack, image)
        middle = side // 2
        inside = field[middle - 2 : middle + 3, middle - 2 : middle + 3].sum().item()
        theory, sigma, uniform, size, square = map(value, numbers(explorer)[-5:])
        assert theory == side
        expected = (layers * (kernel**2 - 1) / 12) ** 0.5
        assert abs(sigma - expected) < 6e-3 and abs(uniform - expected) < 6e-3
        assert abs(size - effective_size(field)) < 0.06
        assert abs(square / 100 - inside) < 6e-4


@cases("ReceptiveFieldExplorer")
def test_measured_fields_are_the_stored_ones(explorer):  # noqa: F811
    stored, at = state(explorer), 0
    levels = np.frombuffer(zlib.decompress(stored["_levels"]), np.uint8)
    for each in stored["_fields"]:
        field = (levels[at : at + each["side"] ** 2] / 255.0) ** 2
        field = field.reshape(each["side"], each["side"])
        at += each["side"] ** 2
        explorer.get_by_label("Weights").select_option(each["weights"])
        explorer.get_by_label("Kernel").select_option(str(each["kernel"]))
        place = stored["_depths"].index(each["layers"])
        slide(explorer.get_by_role("slider", name="Layers"), place)
        slide(explorer.get_by_role("slider", name="Your square"), 9)
        middle = each["side"] // 2
        inside = field[middle - 4 : middle + 5, middle - 4 : middle + 5].sum()
        _, sigma, _, size, square = map(value, numbers(explorer)[-5:])
        assert abs(sigma - each["sigma"]) < 6e-3
        assert abs(size - each["size"]) < 0.06
        assert abs(square / 100 - inside / field.sum()) < 6e-4


@cases("ReceptiveFieldExplorer")
def test_what_was_not_trained_is_said(explorer):  # noqa: F811
    explorer.get_by_label("Weights").select_option("after training")
    assert not explorer.locator(".pa-note").inner_text()
    explorer.get_by_label("Kernel").select_option("5")
    assert "3 × 3 alone" in explorer.locator(".pa-note").inner_text()


@cases("ClassMapExplorer")
def test_class_maps_give_the_helpers_numbers(explorer):  # noqa: F811
    stored, at = state(explorer), 0
    flat = np.frombuffer(stored["_maps"], "<f4").astype(float)
    bits = np.unpackbits(np.frombuffer(stored["_regions"], np.uint8))
    count = len(stored["_examples"][0]["classes"])
    regions = torch.tensor(bits.reshape(-1, count, 56, 56)).bool()
    explorer.get_by_label("Hatch what speaks against").check()
    for e, example in enumerate(stored["_examples"]):
        h, w = example["shape"]
        maps = torch.tensor(flat[at : at + count * h * w]).reshape(count, h, w)
        at += count * h * w
        explorer.get_by_label("Picture", exact=True).select_option(example["name"])
        for k in range(count):
            explorer.get_by_label("Class", exact=True).select_option(index=k)
            large = enlarge(maps[k : k + 1], (56, 56))
            score, where, held, outlined, against = numbers(explorer)[-5:]
            assert abs(value(score) - example["scores"][k]) < 6e-4
            region = regions[e, k]
            if not region.any():
                assert where == "not marked" and held == "–"
            else:
                hit = region.flatten()[large.argmax()]
                assert where == ("inside ✓" if hit else "outside ✗")
                share = share_inside(large, region[None]).item()
                assert abs(value(held) / 100 - share) < 6e-4
            most = large.max()
            over = (large >= stored["threshold"] * most).double().mean().item()
            assert most <= 0 or abs(value(outlined) / 100 - over) < 1e-3
            least = (large < 0).double().mean().item()
            assert abs(value(against) / 100 - least) < 1e-3
