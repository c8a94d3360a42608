"""The explorers of a Vision Transformer: stored maps are the model's, costs are right, uploads are read or named."""

import io
import json

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from site_extension.outputs import bytes_apart
from torch.utils.flop_counter import FlopCounterMode

from helpers.explorers import PatchExplorer, PhotoAttentionExplorer, PhotoUpload
from helpers.explorers.upload import HERE_ONLY, uploaded
from helpers.own import middle, read_photo
from helpers.rollout import FUSIONS, discard, fuse, keep_mass, rollout
from helpers.transformer import EncoderLayer

GRID, REGISTERS = (4, 6), 2
TOKENS = 1 + REGISTERS + 24


def photograph(height=48, width=72, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def weights(tokens=TOKENS, layers=3, heads=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    energies = 2 * torch.randn(layers, heads, tokens, tokens, generator=generator)
    return energies.softmax(dim=-1)


def explored(**options):
    photos = {
        name: (photograph(seed=seed), weights(seed=seed))
        for seed, name in enumerate(("one", "two"))
    }
    return PhotoAttentionExplorer(photos, GRID, stride=2, **options)


# --- attention over photographs ---------------------------------------------------------------------------------


def exact(explorer):
    """What the explorer would show without its levels."""
    maps = weights(seed=explorer._names.index(explorer.photo))
    ratio, token = explorer._ratios[explorer.ratio], explorer._queries[explorer.query]
    if explorer.show.startswith("rollout"):
        through = rollout(maps, explorer.show.removeprefix("rollout "), ratio)
        return through[explorer.layer, token]
    layer = maps[explorer.layer]
    one = (
        layer[explorer.head] if explorer.show == "head" else fuse(layer, explorer.show)
    )
    return discard(one[token], ratio)


@pytest.mark.parametrize(
    "show", ["head", *FUSIONS, *(f"rollout {name}" for name in FUSIONS)]
)
def test_what_is_shown_is_the_model_s(show):
    explorer = explored(show=show)
    for explorer.photo in ("one", "two"):
        for explorer.layer in (0, 2):
            for explorer.head in (0, 1) if show == "head" else (0,):
                for explorer.query in (0, 1, 6):
                    shown, wanted = explorer.weights(), exact(explorer).numpy()
                    assert abs(shown.sum() - 1) < 1e-9
                    greatest = wanted[1 + REGISTERS :].max()
                    assert np.abs(shown - wanted).max() < 0.05 * greatest
                    first = slice(0, 1 + REGISTERS)
                    assert np.allclose(shown[first], wanted[first], atol=2e-5)


@pytest.mark.parametrize("show", ["head", "max"])
def test_rows_sum_to_one_and_lose_their_smallest(show):
    explorer = explored(show=show, ratios=(0, 0.4, 0.8))
    for explorer.query in (0, 3):
        explorer.ratio = 0
        whole = torch.from_numpy(explorer.weights())
        for explorer.ratio, ratio in ((1, 0.4), (2, 0.8)):
            shown = explorer.weights()
            assert abs(shown.sum() - 1) < 1e-9
            assert (shown == 0).sum() >= int(ratio * TOKENS)
            assert np.allclose(shown, discard(whole, ratio), atol=1e-12)


def test_rollouts_discard_before_they_are_stored():
    explorer = explored(show="rollout max", ratios=(0, 0.4, 0.8))
    for explorer.ratio in (0, 1, 2):
        for explorer.query in (0, 3):
            shown, wanted = explorer.weights(), exact(explorer).numpy()
            assert abs(shown.sum() - 1) < 1e-9
            greatest = wanted[1 + REGISTERS :].max()
            assert np.abs(shown - wanted).max() < 0.05 * greatest


def test_it_outlines_the_fewest_patches_that_hold_the_share():
    explorer = explored(keep=0.5)
    patches = torch.from_numpy(explorer.weights()[1 + REGISTERS :])
    kept = explorer.kept()
    assert kept.shape == GRID
    assert (kept.ravel() == keep_mass(patches, 0.5).numpy()).all()
    explorer.keep = 1
    assert explorer.kept().sum() > kept.sum() > 0


def test_queries_stand_on_a_grid_and_the_class_token_is_the_first():
    explorer = explored()
    patches = [row * 6 + column for row in (1, 3) for column in (1, 3, 5)]
    assert explorer._queries == [0, *(1 + REGISTERS + patch for patch in patches)]
    assert repr(explorer) == (
        "PhotoAttentionExplorer(2 photos of 4 × 6 patches, 3 layers × 2 heads, 7 queries)"
    )
    assert explorer.layer == 2  # the last


def test_tokens_other_than_patches_may_have_all_the_weight():
    maps = torch.zeros(1, 1, TOKENS, TOKENS)
    maps[..., 0] = 1
    explorer = PhotoAttentionExplorer({"one": (photograph(), maps)}, GRID)
    assert explorer.weights()[0] == 1 and explorer.weights()[1:].sum() == 0
    assert not explorer.kept().any()


def test_each_photo_s_bytes_stand_apart_on_the_page():
    explorer = explored()
    states = ipywidgets.Widget.get_manager_state()["state"]
    record = {"state": {"it": states[explorer.model_id]}}
    before = json.dumps(record)
    page = f'<script type="application/vnd.jupyter.widget-state+json">{before}</script>'
    lighter, scripts = bytes_apart(page)
    kinds = ("_images", "_maps", "_rollouts")
    assert len(scripts) == 2 * len(kinds)
    buffers = json.loads(lighter.split(">", 1)[1].rsplit("<", 1)[0])
    buffers = buffers["state"]["it"]["buffers"]
    assert [b["path"] for b in buffers] == [[kind, i] for kind in kinds for i in (0, 1)]
    for buffer, old in zip(buffers, record["state"]["it"]["buffers"], strict=True):
        script = scripts[buffer["script"]]
        assert "data" not in buffer
        assert (
            script == f'explorerBytes("{buffer["script"]}", "{old["data"].strip()}");\n'
        )
    assert bytes_apart(lighter) == (lighter, {})


def test_a_page_keeps_the_bytes_that_it_needs_at_once():
    model = {"state": {}, "buffers": [{"path": ["_weights"], "data": "YWJj"}]}
    record = json.dumps({"state": {"it": model}})
    page = f'<script type="application/vnd.jupyter.widget-state+json">{record}</script>'
    assert bytes_apart(page) == (page, {})


PHOTO, MAPS = photograph(), weights()
NAN = MAPS.clone()
NAN[0, 0, 0, 0] = torch.nan


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        ({}, {}, "photos: got none"),
        ({"a": (PHOTO / 255, MAPS)}, {}, "'a'.: got float64 of shape .48, 72, 3."),
        ({"a": (PHOTO[..., :1], MAPS)}, {}, r"shape \(48, 72, 1\), expected uint8"),
        ({"a": (PHOTO, NAN)}, {}, "weights: got 1 NaN"),
        ({"a": (PHOTO, 2 * MAPS)}, {}, "with sum 2.0000, expected 1"),
        ({"a": (PHOTO, MAPS[0])}, {}, "weights: got shape"),
        ({"a": (PHOTO, weights(24))}, {}, r"at least 1 \+ 4 · 6 tokens"),
        (
            {"a": (PHOTO, MAPS), "b": (PHOTO, weights(layers=2))},
            {},
            "'b'., weights: got shape .2, 2, 27, 27., expected .3, 2, 27, 27.",
        ),
        ({"a": (PHOTO, MAPS)}, {"stride": 5}, "stride: got 5, expected 1 to 4"),
        ({"a": (PHOTO, MAPS)}, {"ratios": (0.5,)}, r"ratios: got \[0.5\]"),
        ({"a": (PHOTO, MAPS)}, {"ratios": (0, 1)}, "ratios: got 1.0, expected 0 to"),
        ({"a": (PHOTO, MAPS)}, {"query": 2}, "query: got 2, expected 0 to 1"),
    ],
)
def test_bad_input_is_named(photos, options, message):
    with pytest.raises(ValueError, match=message):
        PhotoAttentionExplorer(photos, GRID, **options)


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("photo", "three", "photo: got 'three', expected one of"),
        ("query", 7, "query: got 7, expected 0 to 6"),
        ("layer", 3, "layer: got 3, expected 0 to 2"),
        ("head", -1, "head: got -1, expected 0 to 1"),
        ("show", "sum", "show: got 'sum', expected one of"),
        ("ratio", 3, "ratio: got 3, expected 0 to 2"),
        ("keep", 0.0, "keep: got 0.0, expected 0.05 to 1"),
        ("opacity", 1.5, "opacity: got 1.5, expected 0 to 1"),
    ],
)
def test_bad_values_are_named(trait, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(explored(), trait, value)


# --- patches ----------------------------------------------------------------------------------------------------


def patches(**options):
    return PatchExplorer({"one": photograph(48, 48)}, (8, 12, 16), **options)


def test_the_cost_of_a_layer_is_counted():
    explorer = patches(d_model=24, patch=12, lifted=5)
    assert explorer.cost() == {
        "patches": 16,
        "numbers in each": 432,
        "tokens": 17,
        "weights of a head": 289,
        "multiply-adds of a layer": 12 * 17 * 24**2 + 2 * 17**2 * 24,
    }
    layer = EncoderLayer(24, 4, 96)
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, 17, 24), need_weights=True)
    multiply_adds = counter.get_total_flops() // 2
    assert multiply_adds == explorer.cost()["multiply-adds of a layer"]


def test_fewer_patches_cannot_all_be_lifted():
    explorer = patches(patch=8, lifted=30)
    explorer.patch = 16
    assert explorer.lifted == 9
    assert repr(explorer) == "PatchExplorer(1 photos of 48 × 48 pixels)"


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        ({}, {}, "photos: got none"),
        ({"a": photograph(48, 64)}, {}, "got 48 × 64 pixels, expected squares"),
        ({"a": photograph(48, 48), "b": photograph(24, 24)}, {}, "'b'.: got 24 × 24"),
        ({"a": photograph(48, 48)[..., 0]}, {}, "'a'.: got uint8 of shape .48, 48."),
        ({"a": photograph(48, 48)}, {"sizes": (8, 20)}, "got 20, .* divide 48 pixels"),
        ({"a": photograph(48, 48)}, {"sizes": (0,)}, "sizes: got 0"),
        (
            {"a": photograph(48, 48)},
            {"sizes": (8,)},
            "patch: got 16, expected one of 8",
        ),
        (
            {"a": photograph(48, 48)},
            {"sizes": (16,), "lifted": 10},
            "got 10, .* 0 to 9",
        ),
    ],
)
def test_bad_patches_are_named(photos, options, message):
    with pytest.raises(ValueError, match=message):
        PatchExplorer(photos, **options)


# --- the reader's own photograph --------------------------------------------------------------------------------


def encoded(picture, form="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


RED = Image.new("RGB", (60, 40), "red")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_usual_file_is_read(form):
    image = read_photo(encoded(RED, form))
    assert image.shape == (40, 60, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(int) - (255, 0, 0)).max() < 8


def test_grey_colour_tables_transparency_and_sixteen_bits_become_rgb():
    assert (read_photo(encoded(RED.convert("P"))) == (255, 0, 0)).all()
    grey = read_photo(encoded(Image.new("L", (60, 40), 90)))
    assert (grey == 90).all() and grey.shape == (40, 60, 3)
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 30, 40))
    image = read_photo(encoded(clear))
    assert (image[:, 40:] == 255).all() and (image[:, :20] == (0, 0, 255)).all()
    deep = Image.fromarray(np.full((40, 60), 128 * 256, dtype=np.uint16))
    assert (read_photo(encoded(deep)) == 128).all()


def test_a_photo_is_turned_as_its_camera_says():
    picture = RED.copy()
    picture.paste("blue", (0, 0, 60, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the left: turn it to the right
    image = read_photo(encoded(picture, exif=exif))
    assert image.shape == (60, 40, 3)
    assert (image[:, 20:] == (0, 0, 255)).all() and (image[:, :20] == (255, 0, 0)).all()


def still(*frames):
    first, *others = frames
    return encoded(first, "GIF", save_all=True, append_images=others)


WHOLE = encoded(Image.fromarray(photograph(400, 400)), "JPEG")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got 0 bytes that are no image, expected a photo"),
        (b"%PDF-1.7 and so on", "got 18 bytes that are no image"),
        (WHOLE[: len(WHOLE) // 2], "file: the image is damaged"),
        (b"\0" * 20_000_001, "file: got 20.0 MB, expected at most 20"),
        (
            encoded(Image.new("1", (8000, 7000))),
            "got 8000 × 7000 pixels, .* 50 million",
        ),
        (encoded(Image.new("1", (20000, 20000))), "damaged|at most 50 million"),
        (
            encoded(Image.new("L", (31, 400))),
            "got 31 × 400 pixels, expected 32 or more",
        ),
        (still(RED, Image.new("RGB", (60, 40), "blue")), "got 2 frames, expected one"),
    ],
)
def test_a_file_that_is_no_photo_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        read_photo(data)


def test_the_middle_is_a_square():
    image = np.zeros((40, 100, 3), dtype=np.uint8)
    image[:, 30:70] = 200
    assert (middle(image, 20) == 200).all() and middle(image, 20).shape == (20, 20, 3)


def test_both_shapes_of_an_upload_are_understood():
    seven = {"a.png": {"metadata": {"name": "a.png", "size": 3}, "content": b"abc"}}
    eight = ({"name": "a.png", "size": 3, "content": memoryview(b"abc")},)
    assert uploaded(seven) == uploaded(eight) == [("a.png", b"abc")]
    assert uploaded({}) == uploaded(()) == []


def send(upload, data, name="mine.png"):
    """As the browser sends a file."""
    file = {"name": name, "type": "image/png", "size": len(data), "last_modified": 0}
    if isinstance(upload.button.value, dict):  # ipywidgets 7
        state = {"metadata": [file], "data": [memoryview(data)]}
        upload.button.set_state(state)
        upload.button.set_state({"_counter": upload.button._counter + 1})
    else:
        upload.button.set_state({"value": [file | {"content": memoryview(data)}]})


def test_a_photo_is_shown_and_stays_when_a_bad_one_follows():
    seen = []

    def explore(image):
        seen.append(image)
        if len(seen) == 2:
            raise MemoryError("no room")
        return PhotoAttentionExplorer({"yours": (image, weights())}, GRID)

    upload = PhotoUpload(explore, side=48)
    send(upload, encoded(RED))
    assert seen[0].shape == (48, 48, 3) and (seen[0] == (255, 0, 0)).all()
    (first,) = upload.shown.children
    assert "✓ mine.png, 60 × 40 pixels" in upload.message.value
    first.query = 1  # what the reader made
    send(upload, b"<b>no image</b>", "<i>.png")
    assert "✗ &lt;i&gt;.png is not shown. file: got 15 bytes" in upload.message.value
    send(upload, encoded(RED), "again.png")
    assert "MemoryError: no room" in upload.message.value
    assert upload.shown.children == (first,) and first.query == 1
    send(upload, encoded(Image.new("RGB", (90, 90), "blue")), "third.png")
    assert len(upload.shown.children) == 2 and upload.shown.children[1] is first
    assert list(upload.photos) == ["mine.png", "third.png"]


def test_without_a_kernel_a_note_stands_for_the_button():
    upload = PhotoUpload(lambda image: ipywidgets.Label(), side=48)
    shown = upload._repr_mimebundle_()
    assert shown["text/html"] == HERE_ONLY and "Binder" in HERE_ONLY
    assert shown["text/plain"] == repr(upload) == "PhotoUpload(48 × 48 pixels)"
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert upload._ipython_display_ is None  # which would go before it
