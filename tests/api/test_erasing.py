"""An erasure's receipt as it may be told to others."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from facesearch.api.erasing import Forgotten, SearchedFile, forget, forgotten
from facesearch.api.gallery import Gallery
from facesearch.api.results import Receipt
from facesearch.errors import UnknownPerson
from facesearch.gallery.receipts import Elsewhere


def test_forgetting_tells_what_the_receipt_says_and_where_it_lies(colours: Gallery):
    done = forget(colours, "Ada", [colours.photos_of("Ada")[0].sha256])
    assert (done.photos, done.whole_person, done.action) == (1, False, "forget")
    assert (colours.folder / "receipts" / done.file).is_file() and len(colours.photos_of("Ada")) == 1
    assert SearchedFile("gallery.sqlite", (colours.folder / "gallery.sqlite").stat().st_size) in done.files
    assert forget(colours, "Ada").whole_person
    with pytest.raises(UnknownPerson):
        forget(colours, "Ada")


def test_no_folder_of_this_machine_is_told(colours: Gallery):
    receipt, _ = colours.forget("Ada")
    places = ("milvus:/home/ada/faces.db", "milvus:http://10.0.0.1:19530", "milvus:faces.db")
    there = tuple(Elsewhere(place, True, "erased") for place in places)
    told = forgotten(replace(receipt, projections=there), Path("/home/ada/receipts/forget-7.json"))
    assert [place.store for place in told.projections] == ["milvus:faces.db", *places[1:]]
    assert told.file == "forget-7.json" and "/home" not in str(told)
    for field in {field.name for field in fields(Receipt)} - {"files", "projections"}:
        assert getattr(told, field) == getattr(receipt, field), field
    assert {field.name for field in fields(Forgotten)} == {field.name for field in fields(Receipt)} | {"file"}
