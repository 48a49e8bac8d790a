"""Look again at the photos that a gallery was made of: which faces the detector of now sees otherwise than
those rows say, and where the faces of rows lie that were made before rows knew.

The vectors decide: a face that is cut otherwise has another one, whatever was noted when it was enrolled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import Cropped, embedded, read_faces
from facesearch.faces.detect import Detector
from facesearch.faces.found_by import ALIGNED, KNOWN
from facesearch.gallery.by_content import found_by_content
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.store import Store
from facesearch.records import F32, U8, EnrolledFace, Progress, Seen, Skipped

ALIKE = 0.9
"""The cosine from which two crops of one photo show the same face in the same way."""
COMMIT = 256


@dataclass(frozen=True, slots=True)
class Otherwise:
    """An enrolled face that is seen otherwise now, and how."""

    person: str
    photo: str
    reason: str


@dataclass(frozen=True, slots=True)
class LookedAgain:
    """photos: enrolled ones that a detector had found and that lie in the folders; missing: those that do
    not; placed: rows that know their face since now.
    """

    photos: int
    missing: int
    placed: int
    otherwise: tuple[Otherwise, ...]


def look_again(
    folder: Path,
    runtime: Runtime,
    roots: Sequence[Path],
    detector: Detector,
    progress: Progress,
    *,
    key: Key | None = None,
) -> LookedAgain:
    """Compare enrolled faces with what the detector finds in their photos, which are recognised by content.

    Rows whose face is seen as before get what was not known of it. Raises NoGallery, EncoderMismatch,
    NotFound, CannotWrite.
    """
    with Store.open(folder, key) as gallery:
        gallery.require_encoder(runtime.encoder_id)
        wanted: dict[str, list[EnrolledFace]] = {}
        ids = gallery.faces.ids().tolist()
        found_by = gallery.faces.found_by(ids)
        for face_id, face in gallery.faces.by_id(ids).items():
            if found_by.get(face_id) not in (ALIGNED, KNOWN):
                wanted.setdefault(face.sha256, []).append(face)
        otherwise: list[Otherwise] = []
        places: dict[tuple[str, str, str], Seen] = {}
        placed = 0
        seen: set[str] = set()
        progress(0, len(wanted))
        for sha256, faces, vectors, lengths in _embedded(wanted, roots, detector, runtime):
            seen.add(sha256)
            for row in wanted[sha256]:
                own = gallery.faces.vectors_at([row.face_id]).get(row.face_id)
                if own is None:  # forgotten meanwhile
                    continue
                if isinstance(faces, Skipped):
                    otherwise.append(Otherwise(row.person, row.source, faces.reason))
                    continue
                scores = vectors @ own
                best = int(scores.argmax())
                if scores[best] < ALIKE:
                    said = f"it is cut otherwise now: {float(scores[best]):.2f} to what is enrolled"
                    otherwise.append(Otherwise(row.person, row.source, said))
                else:
                    places[row.person, row.sha256, row.source] = faces[best].seen(float(lengths[best]))
            if len(places) >= COMMIT:
                placed += gallery.faces.fill_seen(places)
                places = {}
            progress(len(seen), len(wanted))
        placed += gallery.faces.fill_seen(places)
        return LookedAgain(len(seen), len(wanted) - len(seen), placed, tuple(otherwise))


def _embedded(
    wanted: dict[str, list[EnrolledFace]], roots: Sequence[Path], detector: Detector, runtime: Runtime
) -> Iterator[tuple[str, list[Cropped] | Skipped, F32, F32]]:
    """Every wanted photo once: content hash, its faces or why there are none, their vectors and lengths."""
    given: set[str] = set()

    def crops() -> Iterator[tuple[tuple[str, list[Cropped] | Skipped], list[U8]]]:
        for sha256, faces in found_by_content(roots, wanted, given, read_faces, detector):
            given.add(sha256)
            yield (sha256, faces), [] if isinstance(faces, Skipped) else [face.crop for face in faces]

    for (sha256, faces), vectors, lengths in embedded(crops(), runtime):
        yield sha256, faces, vectors, lengths
