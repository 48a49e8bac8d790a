"""Write the demo's photos: the astronaut portrait of scikit-image, changed copies of it, and a drawing
without a face.

    .venv/bin/python scripts/demo_photos.py FOLDER

The portrait is NASA's official photo of Eileen Collins, in the public domain.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from skimage import data


def house() -> Image.Image:
    """A drawing in which nobody should see a face."""
    image = Image.new("RGB", (512, 512), (150, 190, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 380, 512, 512), fill=(90, 140, 70))
    draw.rectangle((150, 220, 370, 420), fill=(190, 120, 90))
    draw.polygon([(130, 220), (390, 220), (260, 110)], fill=(110, 50, 40))
    draw.rectangle((240, 320, 290, 420), fill=(70, 50, 40))
    return image


def main(folder: Path) -> None:
    """Write portrait.jpg and changed/*.jpg."""
    changed = folder / "changed"
    changed.mkdir(parents=True, exist_ok=True)
    portrait = Image.fromarray(data.astronaut())
    portrait.save(folder / "portrait.jpg", quality=95)
    copies = {
        "turned": portrait.rotate(12, resample=Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)),
        "darker": ImageEnhance.Brightness(portrait).enhance(0.45),
        "smaller": portrait.resize((256, 256), Image.Resampling.LANCZOS),
        "mirrored": ImageOps.mirror(portrait),
        "house": house(),
    }
    for name, image in copies.items():
        image.save(changed / f"{name}.jpg", quality=90)
    portrait.save(changed / "jpeg40.jpg", quality=40)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
