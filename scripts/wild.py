"""Enroll, ask, forget on photographs as people have them: each person of a folder in turn against a real gallery.

    python scripts/wild.py ../shared/data/wild --gallery index

For every person below FOLDER, all photos but the first are enrolled in a copy of the gallery, the first is asked before
and after, and the copy is thrown away. Prints how often a stranger was "unknown", and how often the person was found
then. Nothing is tuned on it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from facesearch.errors import NothingToDo
from facesearch.faces.detect import load_detector
from facesearch.gallery.store import Gallery
from facesearch.jobs.find_weights import find_weights
from facesearch.jobs.people import Asker, enroll, people_folders, query
from facesearch.model.runtime import load_runtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gallery", type=Path, default=Path("index"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--detector-model", type=Path)
    args = parser.parse_args()
    runtime = load_runtime(find_weights(args.weights).path)
    detector = load_detector(args.detector_model)
    photos, _ = people_folders(args.folder)
    people = sorted({name for name, _ in photos})
    count = dict.fromkeys(("asked", "unknown before", "nearest after", "match after", "wrong name before", "wrong name after"), 0)
    for name in people:
        own = [path for who, path in photos if who == name]
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "gallery"
            shutil.copytree(args.gallery, copy)
            try:
                before = ask(copy, own[0], runtime, detector)
                enroll([(name, path) for path in own[1:]], copy, runtime, detector, largest=True, fpir=None, progress=lambda d, t: None)
                after = ask(copy, own[0], runtime, detector)
            except NothingToDo as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
        right = after.matches[0].person == name
        count["asked"] += 1
        count["unknown before"] += not before.known
        count["wrong name before"] += bool(before.known)
        count["nearest after"] += right
        count["match after"] += right and bool(after.known)
        count["wrong name after"] += bool(after.known) and not right
    print(json.dumps({"encoder": runtime.words, "people": len(people), **count}, indent=2))


def ask(folder: Path, photo: Path, runtime, detector):  # type: ignore[no-untyped-def]
    with Gallery.open(folder) as gallery:
        return query([photo], Asker(gallery, runtime, top=2, largest=True), detector).answers[0]


if __name__ == "__main__":
    main()
