"""Enroll, ask, forget on photographs as people have them: each person of a folder in turn against a real
gallery.

    python scripts/wild.py ../shared/data/wild --gallery index

For every person below FOLDER, all photos but the first are enrolled in a copy of the gallery, the first is
asked before and after, and the copy is thrown away. Prints how often a stranger was "unknown", and how often
the person was found then, each with a 95 % interval over people. Nothing is tuned on it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import facesearch
from facesearch.answers import FaceAnswer
from facesearch.errors import NothingToDo
from facesearch.faces.people_folders import people_folders
from facesearch.metrics.bootstrap import mean_over_people

FACTS = ("unknown before", "wrong name before", "nearest after", "match after", "wrong name after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gallery", type=Path, default=Path("index"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--preprocess", help="Of a foreign ONNX encoder: imagenet or arcface.")
    parser.add_argument("--detector-model", type=Path)
    args = parser.parse_args()
    encoder = facesearch.load_encoder(args.weights, preprocess=args.preprocess)
    detector = facesearch.FaceDetector(args.detector_model)
    print(json.dumps(wild(args.folder, args.gallery, encoder, detector), indent=2))


def wild(
    folder: Path, gallery: Path, encoder: facesearch.Encoder, detector: facesearch.FaceDetector
) -> dict[str, Any]:
    """Of how many people each fact of FACTS holds, as counts and as rates with intervals."""
    photos, _ = people_folders(folder)
    names = sorted({name for name, _ in photos})
    facts: list[list[bool]] = []
    for name in names:
        own = [path for who, path in photos if who == name]
        try:
            facts.append(_facts(name, own, gallery, encoder, detector))
        except NothingToDo as error:
            print(f"{name}: {error}", file=sys.stderr)
    held = np.array(facts, bool).reshape(-1, len(FACTS))
    asked = np.arange(len(held))
    rates = {fact: asdict(mean_over_people(held[:, n], asked)) for n, fact in enumerate(FACTS)}
    counts = {fact: int(held[:, n].sum()) for n, fact in enumerate(FACTS)}
    return {"encoder": encoder.words, "people": len(names), "asked": len(held), **counts, "rates": rates}


def _facts(
    name: str, own: list[Path], gallery: Path, encoder: facesearch.Encoder, detector: facesearch.FaceDetector
) -> list[bool]:
    """Of one person, in the order of FACTS. Raises NothingToDo where no face is found."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "gallery"
        shutil.copytree(gallery, copy)
        opened = facesearch.open_gallery(copy, encoder=encoder, detector=detector)
        before = _ask(opened, own[0])
        opened.enroll(name, own[1:], largest=True)
        after = _ask(opened, own[0])
    named, right = before.decision == "match", after.matches[0].person == name
    match = after.decision == "match"
    return [not named, named, right, right and match, match and not right]


def _ask(gallery: facesearch.Gallery, photo: Path) -> FaceAnswer:
    found = gallery.search(photo, top=2, largest=True)
    if not found.faces:
        raise NothingToDo(str(photo), found.skipped or "no face found")
    return found[0]


if __name__ == "__main__":
    main()
