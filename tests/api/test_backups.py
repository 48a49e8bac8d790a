"""A gallery that stays open, as in a service, while it is backed up and a backup is put back."""

from __future__ import annotations

from pathlib import Path

from facesearch.api.backups import backup, restore
from facesearch.api.gallery import Gallery


def test_an_open_gallery_answers_by_what_was_put_back(colours: Gallery, tmp_path: Path):
    before = colours.people()
    made = backup(colours, tmp_path / "copy")
    assert (made.people, made.faces) == (len(before), len(colours))
    photo = tmp_path / "photos" / "Ada" / "Ada20.png"
    assert next(iter(colours.search(photo))).matches[0].person == "Ada"
    colours.forget("Ada")
    assert len(colours.people()) == len(before) - 1
    done = restore(colours, tmp_path / "copy")
    assert done.undone_erasures == 1 and colours.people() == before
    assert next(iter(colours.search(photo))).matches[0].person == "Ada"
