"""Enroll, ask, forget on photographs as people have them: each person of a folder in turn against a real
gallery.

    python scripts/wild.py ../shared/data/wild --gallery index

For every person below FOLDER, all photos but the first are enrolled in a copy of the gallery, the first is
asked before and after, and the copy is thrown away. Prints how often a stranger was "unknown", and how often
the person was found then. Nothing is tuned on it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import facesearch
from facesearch.answers import FaceAnswer
from facesearch.errors import NothingToDo
from facesearch.faces.people_folders import people_folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gallery", type=Path, default=Path("index"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--detector-model", type=Path)
    args = parser.parse_args()
    encoder = facesearch.load_encoder(args.weights)
    detector = facesearch.FaceDetector(args.detector_model)
    photos, _ = people_folders(args.folder)
    people = sorted({name for name, _ in photos})
    count = dict.fromkeys(
        ("asked", "unknown before", "nearest after", "match after", "wrong name before", "wrong name after"),
        0,
    )
    for name in people:
        own = [path for who, path in photos if who == name]
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "gallery"
            shutil.copytree(args.gallery, copy)
            try:
                gallery = facesearch.open_gallery(copy, encoder=encoder, detector=detector)
                before = ask(gallery, own[0])
                gallery.enroll(name, own[1:], largest=True)
                after = ask(gallery, own[0])
            except NothingToDo as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
        right = after.matches[0].person == name
        count["asked"] += 1
        count["unknown before"] += before.decision != "match"
        count["wrong name before"] += before.decision == "match"
        count["nearest after"] += right
        count["match after"] += right and after.decision == "match"
        count["wrong name after"] += after.decision == "match" and not right
    print(json.dumps({"encoder": encoder.words, "people": len(people), **count}, indent=2))


def ask(gallery: facesearch.Gallery, photo: Path) -> FaceAnswer:
    found = gallery.search(photo, top=2, largest=True)
    if not found.faces:
        raise NothingToDo(str(photo), found.skipped or "no face found")
    return found[0]


if __name__ == "__main__":
    main()
