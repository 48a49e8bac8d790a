"""Keys of encrypted galleries: read from a file, or made."""

from __future__ import annotations

from facesearch.gallery.store.keys import Key as Key
from facesearch.gallery.store.keys import new_key_file as new_key_file
from facesearch.gallery.store.keys import read_key_file as read_key_file
from facesearch.gallery.store.keys import secret_of as secret_of
