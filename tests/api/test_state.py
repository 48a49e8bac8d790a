"""How an open gallery stands."""

from __future__ import annotations

import pytest

from facesearch.api.encoder import Encoder
from facesearch.api.gallery import Gallery
from facesearch.api.opening import open_gallery
from facesearch.api.state import Health, health, require_own_encoder, state_of
from facesearch.errors import EncoderMismatch
from tests.helpers.drawn import ColourEncoder


def test_a_gallery_is_empty_then_ready(nobody: Gallery, colours: Gallery):
    assert health(nobody) == Health(gallery="empty", people=0, faces=0, generation=0)
    told = health(colours)
    assert (told.status, told.gallery, told.people, told.faces) == ("ok", "ready", 3, 6)
    for name in ("Ada", "Ben", "Cleo"):
        colours.forget(name)
    after = health(colours)
    assert (after.gallery, after.people, after.faces) == (
        "empty",
        0,
        0,
    ) and after.generation > told.generation


def test_the_state_is_the_same_until_something_changes(nobody: Gallery, colours: Gallery):
    assert state_of(nobody) is None
    before = state_of(colours)
    assert before == state_of(colours) and before is not None
    colours.rename("Ada", "Ada Lovelace")
    assert state_of(colours) != before


def test_another_encoder_is_refused_where_there_is_a_gallery(nobody: Gallery, colours: Gallery):
    require_own_encoder(nobody)
    require_own_encoder(colours)
    with (
        open_gallery(colours.folder, encoder=Encoder.of(ColourEncoder("other")), detector="aligned") as other,
        pytest.raises(EncoderMismatch),
    ):
        require_own_encoder(other)
