"""Chapter 09a: do maps of a ViT say what it needs? Deletion and insertion, over many photos and three trained models.

    python experiments/faithfulness.py

The models are "ViT, small patches" of experiments/vit.py; the class is the one that the model
names. Nothing is chosen here: no rate, no threshold. Writes helpers/recorded/faithfulness.json, with the mean curves,
and the areas of every photo to faithfulness.safetensors beside it.
"""

import json
import time

import torch
from safetensors.torch import save_file

from helpers.data import fashion
from helpers.data_hunger import load_small_patches
from helpers.faithfulness import ERASURES, MAPS, area, curve, occlusion
from helpers.training import RECORDED, versions

SEEDS = [0, 1, 2]
PHOTOS, POINTS = 400, 8


def measure(seed: int, photos: torch.Tensor) -> torch.Tensor:
    """(maps, erasures, deletion and insertion, photos, points)."""
    model = load_small_patches(seed)
    with torch.no_grad():
        classes = model(photos).argmax(dim=1)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for name, score in MAPS.items():
        for erasure in ERASURES:
            # Occlusion is told what stands in for a patch.
            more = (erasure,) if score is occlusion else ()
            scores = score(model, photos, classes, *more)
            for insert in (False, True):
                found.append(
                    curve(
                        model,
                        photos,
                        classes,
                        scores,
                        generator,
                        erasure,
                        insert,
                        POINTS,
                    )
                )
        print(seed, name, area(torch.stack(found[-4:])).mean(dim=1), flush=True)
    return torch.stack(found).unflatten(0, (len(MAPS), len(ERASURES), 2))


def main() -> None:
    torch.set_num_threads(1)
    start = time.process_time()
    photos = fashion()[2][0][:PHOTOS]
    curves = torch.stack([measure(seed, photos) for seed in SEEDS])
    record = {
        "what": f"the first {PHOTOS} test photos of Fashion-MNIST, patches of 4 × 4 pixels, {POINTS} points a curve; "
        "curves: means over the photos, by seed, map, erasure, and deletion or insertion",
        "versions": versions(),
        "seeds": SEEDS,
        "photos": PHOTOS,
        "maps": list(MAPS),
        "erasures": list(ERASURES),
        "directions": ["deletion", "insertion"],
        "cpu_seconds": round(time.process_time() - start, 1),
        "curves": [
            [round(x, 4) for x in c] for c in curves.mean(4).flatten(0, 3).tolist()
        ],
    }
    path = RECORDED / "faithfulness.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    areas = area(curves).half()  # (seeds, maps, erasures, directions, photos)
    save_file({"areas": areas}, RECORDED / "faithfulness.safetensors")


if __name__ == "__main__":
    main()
