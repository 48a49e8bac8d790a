"""People who do not exist, drawn: to try everything on without a photo of anybody.

A person is a handful of proportions and colours; a photo of one is drawn with another expression, light,
background, turn and place. Frontal and shaded well enough for a face detector, and different enough to be
told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facesearch.errors import writing
from facesearch.files import make_folder
from facesearch.records import U8

Colour = tuple[int, int, int]
WIDTH, HEIGHT = 178, 218
OVERSAMPLE = 3
SKINS = ((247, 219, 198), (236, 194, 163), (222, 170, 133), (196, 140, 102), (160, 108, 76), (121, 80, 58))
HAIRS = (
    (34, 27, 24),
    (80, 52, 34),
    (133, 90, 50),
    (196, 158, 96),
    (152, 66, 40),
    (150, 150, 150),
    (60, 60, 80),
)
IRISES = ((70, 45, 25), (60, 95, 60), (60, 90, 135), (95, 95, 95))
LIPS = ((190, 90, 90), (170, 70, 80), (200, 110, 100), (150, 70, 65))


@dataclass(frozen=True, slots=True)
class Person:
    """Proportions are shares of the distance between the eyes."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    face_width: float
    chin: float
    eye_size: float
    eye_shape: float
    brow_thick: float
    brow_tilt: float
    brow_height: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_drop: float
    lip_thick: float
    hair_style: int
    fringe: float
    beard: float
    glasses: bool


def invent_person(seed: int) -> Person:
    """The same seed is always the same person."""
    r = np.random.default_rng([seed, 7])

    def one_of(colours: tuple[Colour, ...], spread: int) -> Colour:
        base = np.array(colours[int(r.integers(len(colours)))]) + r.integers(-spread, spread + 1, 3)
        return _rgb(base)

    u = r.uniform
    return Person(
        skin=one_of(SKINS, 10),
        hair=one_of(HAIRS, 15),
        iris=one_of(IRISES, 12),
        lips=one_of(LIPS, 20),
        face_width=u(0.95, 1.25),
        chin=u(1.35, 1.75),
        eye_size=u(0.20, 0.29),
        eye_shape=u(0.45, 0.75),
        brow_thick=u(0.05, 0.14),
        brow_tilt=u(-0.12, 0.12),
        brow_height=u(0.27, 0.40),
        nose_width=u(0.16, 0.34),
        nose_length=u(0.52, 0.78),
        mouth_width=u(0.34, 0.56),
        mouth_drop=u(1.02, 1.20),
        lip_thick=u(0.06, 0.16),
        hair_style=int(r.integers(4)),
        fringe=u(0.55, 0.95),
        beard=float(u(0.3, 0.8)) if r.random() < 0.3 else 0.0,
        glasses=bool(r.random() < 0.25),
    )


def draw_photo(person: Person, seed: int) -> U8:
    """One photo (218, 178, 3) uint8 RGB of a person; the eyes lie near those of CelebA's aligned pictures."""
    r = np.random.default_rng([seed, 11])
    ground = Image.new("RGB", (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE), _rgb(r.integers(40, 225, 3)))
    _clutter(ImageDraw.Draw(ground), r)
    face = ground.copy()
    _draw_head(ImageDraw.Draw(face), person, r)
    turn = float(r.uniform(-6, 6))
    scale = float(r.uniform(0.93, 1.07))
    dx, dy = r.uniform(-4, 4, 2) * OVERSAMPLE
    face = _turned(face, turn, scale, dx, dy)
    face = face.filter(ImageFilter.GaussianBlur(OVERSAMPLE * float(r.uniform(0.3, 1.0))))
    small = np.asarray(face.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), np.float32)
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light = 1 + float(r.uniform(-0.25, 0.25)) * x + float(r.uniform(-0.15, 0.15)) * y
    gain = r.uniform(0.75, 1.15) * r.uniform(0.93, 1.07, 3)
    noisy = small * light[:, :, None] * gain + r.normal(0, r.uniform(1, 5), small.shape)
    pixels: U8 = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels


def draw_people(out: Path, *, people: int, photos: int, seed: int, prefix: str = "p") -> int:
    """Write one folder a person, p000/00.png and so on; returns how many photos. Raises CannotWrite."""
    for number in range(people):
        folder = make_folder(out / f"{prefix}{number:03d}")
        for shot in range(photos):
            _write(folder / f"{shot:02d}.png", _picture(number, shot, seed))
    return people * photos


def draw_album(out: Path, *, people: int, photos: int, seed: int) -> int:
    """Write the same photos into one folder, without names and in mixed order, IMG_0000.png and so on; a last
    photo for every two people shows both of them. Returns how many photos. Raises CannotWrite.
    """
    single = [[(number, shot)] for number in range(people) for shot in range(photos)]
    np.random.default_rng(seed).shuffle(single)
    both = [[(number, photos), (number + 1, photos)] for number in range(0, people - 1, 2)]
    folder = make_folder(out)
    for i, shown in enumerate([*single, *both]):
        wide = Image.new("RGB", (WIDTH * len(shown), HEIGHT))
        for place, (number, shot) in enumerate(shown):
            wide.paste(_picture(number, shot, seed), (place * WIDTH, 0))
        _write(folder / f"IMG_{i:04d}.png", wide)
    return len(single) + len(both)


def _picture(number: int, shot: int, seed: int) -> Image.Image:
    person = seed * 100_003 + number
    return Image.fromarray(draw_photo(invent_person(person), person * 1009 + shot))


def _write(path: Path, picture: Image.Image) -> None:
    with writing(path.parent):
        picture.save(path)


def _draw_head(draw: ImageDraw.ImageDraw, p: Person, r: np.random.Generator) -> None:
    unit = 38.3 * OVERSAMPLE  # between the eyes
    cx, cy = 88.5 * OVERSAMPLE, 111.2 * OVERSAMPLE  # midway between them
    half, chin, top = p.face_width * unit, p.chin * unit, 1.15 * unit
    if p.hair_style >= 1:  # hair behind the head: none, short, long, round
        spread, fall = ((1.12, 0.2), (1.22, 1.9), (1.45, 0.7))[p.hair_style - 1]
        draw.ellipse(
            (cx - spread * half, cy - top - 0.45 * unit, cx + spread * half, cy + fall * unit), fill=p.hair
        )
    draw.rectangle(
        (cx - 0.5 * half, cy + unit, cx + 0.5 * half, HEIGHT * OVERSAMPLE), fill=_shade(p.skin, 0.8)
    )
    draw.ellipse((cx - half, cy - top, cx + half, cy + chin), fill=p.skin)
    for side in (-1, 1):  # cheeks and the shade beside the nose give a detector something to hold
        draw.ellipse(
            _around(cx + side * 0.62 * half, cy + 0.55 * unit, 0.26 * unit, 0.22 * unit),
            fill=_shade(p.skin, 1.05),
        )
        draw.ellipse(
            _around(cx + side * 0.5 * unit, cy - 0.04 * unit, 0.36 * unit, 0.25 * unit),
            fill=_shade(p.skin, 0.72),
        )
    if p.beard:
        draw.pieslice(
            (cx - 0.9 * half, cy - 0.2 * unit, cx + 0.9 * half, cy + chin),
            20,
            160,
            fill=_mix(p.skin, p.hair, p.beard),
        )
    _draw_eyes(draw, p, r, cx, cy, unit)
    _draw_nose(draw, p, cx, cy, unit)
    _draw_mouth(draw, p, r, cx, cy + p.mouth_drop * unit, unit)
    crown = cy - p.fringe * unit
    draw.chord(
        (cx - 1.04 * half, cy - top - 0.3 * unit, cx + 1.04 * half, 2 * crown - (cy - top - 0.3 * unit)),
        180,
        360,
        fill=p.hair,
    )


def _draw_eyes(
    draw: ImageDraw.ImageDraw, p: Person, r: np.random.Generator, cx: float, cy: float, unit: float
) -> None:
    """Eyes, brows and glasses about the middle between the eyes."""
    open_eyes, gaze = float(r.uniform(0.8, 1.1)), float(r.uniform(-0.05, 0.05)) * unit
    raised = float(r.uniform(-0.04, 0.05)) * unit
    for side in (-1, 1):
        ex = cx + side * 0.5 * unit
        w, h = p.eye_size * unit, p.eye_size * p.eye_shape * unit * open_eyes
        draw.ellipse(_around(ex, cy, w * 1.15, h * 1.35), fill=_shade(p.skin, 0.4))
        draw.ellipse(_around(ex, cy, w, h), fill=(205, 200, 195))
        draw.ellipse(_around(ex + gaze, cy, h * 0.95, h * 0.95), fill=p.iris)
        draw.ellipse(_around(ex + gaze, cy, h * 0.45, h * 0.45), fill=(12, 10, 10))
        by = cy - p.brow_height * unit - raised
        tilt = side * p.brow_tilt * unit
        ends = ((ex - 1.2 * w, by + tilt * 0.5), (ex + 1.2 * w, by - tilt * 0.5))
        draw.line(ends, fill=_shade(p.hair, 0.8), width=max(2, round(p.brow_thick * unit)))
        if p.glasses:
            draw.ellipse(
                _around(ex, cy, 0.40 * unit, 0.33 * unit), outline=(25, 25, 30), width=round(0.045 * unit)
            )
    if p.glasses:
        draw.line(
            ((cx - 0.12 * unit, cy), (cx + 0.12 * unit, cy)), fill=(25, 25, 30), width=round(0.045 * unit)
        )


def _draw_nose(draw: ImageDraw.ImageDraw, p: Person, cx: float, cy: float, unit: float) -> None:
    tip, nw = cy + p.nose_length * unit, p.nose_width * unit
    draw.polygon(
        ((cx - 0.05 * unit, cy), (cx + 0.05 * unit, cy), (cx + nw, tip), (cx - nw, tip)),
        fill=_shade(p.skin, 1.06),
    )
    for side in (-1, 1):
        draw.ellipse(_around(cx + side * 0.55 * nw, tip, 0.28 * nw, 0.16 * nw), fill=_shade(p.skin, 0.62))


def _draw_mouth(
    draw: ImageDraw.ImageDraw, p: Person, r: np.random.Generator, cx: float, my: float, unit: float
) -> None:
    mw = p.mouth_width * unit
    smile, opened = float(r.uniform(-0.05, 0.16)) * unit, float(max(0, r.normal(0, 0.09))) * unit
    thick = p.lip_thick * unit
    if opened > 0.02 * unit:
        draw.ellipse((cx - mw, my - thick, cx + mw, my + thick + opened), fill=p.lips)
        draw.ellipse((cx - 0.8 * mw, my - 0.4 * thick, cx + 0.8 * mw, my + opened), fill=(60, 25, 25))
    else:
        steps = [cx + mw * t for t in np.linspace(-1, 1, 13)]
        curve = [my - smile * (((x - cx) / mw) ** 2 - 0.5) for x in steps]
        body = [thick * math.cos(math.pi / 2 * (x - cx) / mw) for x in steps]
        outline = [(x, c - b) for x, c, b in zip(steps, curve, body, strict=True)]
        outline += [
            (x, c + b) for x, c, b in zip(reversed(steps), reversed(curve), reversed(body), strict=True)
        ]
        draw.polygon(outline, fill=p.lips)
        draw.line(
            list(zip(steps, curve, strict=True)), fill=_shade(p.lips, 0.5), width=max(1, round(0.03 * unit))
        )


def _clutter(draw: ImageDraw.ImageDraw, r: np.random.Generator) -> None:
    for _ in range(int(r.integers(2, 6))):
        x, y = r.uniform(0, WIDTH * OVERSAMPLE), r.uniform(0, HEIGHT * OVERSAMPLE)
        w, h = r.uniform(20, 90, 2) * OVERSAMPLE
        draw.rectangle((x - w, y - h, x + w, y + h), fill=_rgb(r.integers(30, 235, 3)))


def _turned(image: Image.Image, degrees: float, scale: float, dx: float, dy: float) -> Image.Image:
    """Turn and enlarge about the middle of the face, then shift."""
    cx, cy = 88.5 * OVERSAMPLE, 130 * OVERSAMPLE
    cos, sin = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    matrix = (
        cos,
        sin,
        cx - cos * (cx + dx) - sin * (cy + dy),
        -sin,
        cos,
        cy + sin * (cx + dx) - cos * (cy + dy),
    )
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=image.getpixel((1, 1)),
    )


def _around(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    return (x - w, y - h, x + w, y + h)


def _rgb(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Colour:
    red, green, blue = (int(v) for v in np.clip(values, 0, 255))
    return red, green, blue


def _shade(colour: Colour, factor: float) -> Colour:
    return _rgb(np.rint(np.array(colour) * factor).astype(np.int64))


def _mix(a: Colour, b: Colour, part: float) -> Colour:
    return _rgb(np.rint(np.array(a) * (1 - part) + np.array(b) * part).astype(np.int64))
