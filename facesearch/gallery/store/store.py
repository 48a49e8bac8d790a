"""The truth on disk: one SQLite file a gallery. Everything else in the folder can be rebuilt from it.

A face is one row: whose, which photo content, its unit vector in float16, a checksum of all that, and what
found it. Rows are added and deleted in transactions, never changed; ids only grow, so "what is new" is "ids
above". Beside it stands one `templates` row a person, the mean of theirs. An open store is made of parts:
`faces` (people and rows), `templates`, `notes` (what the gallery notes about
itself), `eraser` (what goes for good), over one `database` and one `codec`.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from facesearch.errors import CorruptGallery, EncoderMismatch, NoGallery, NotFound
from facesearch.files import require_utf8
from facesearch.gallery.store.cipher import Cipher, cipher_for, new_cipher
from facesearch.gallery.store.codec import RowCodec
from facesearch.gallery.store.database import Database, read_only, sqlite_errors
from facesearch.gallery.store.encoder_note import note_of_name
from facesearch.gallery.store.eraser import Eraser
from facesearch.gallery.store.faces import Faces
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.notes import Notes
from facesearch.gallery.store.schema import APPLICATION_ID, ENCRYPTED_FORMAT, FILE, FORMAT, SCHEMA, is_ours
from facesearch.gallery.store.templates import Templates

NEXT = "next"
"""Folder below a gallery's own, in which a gallery of another encoder grows until it takes the place of the
first.
"""

State = tuple[int, int, str, int, str]
"""See Store.state."""
FOREIGN = "it holds other tables, views or triggers than those of facesearch"


class Store:
    """An open gallery. Use it in a with statement; it belongs to one thread."""

    def __init__(self, folder: Path, database: Database, key: Key | None, *, either: bool) -> None:
        """Takes over the database. Raises CorruptGallery, CannotRead, and what cipher_for raises."""
        self.folder, self.key, self.database = folder, key, database
        self.notes = Notes(folder, database)
        try:
            of = self.notes.description()
            cipher = cipher_for(folder, of.cipher, key, either=either)
        except BaseException:
            database.close()
            raise
        self.codec = RowCodec(folder, of.encoder_id, of.dimension, cipher, self.notes.is_as_opened)
        self.templates = Templates(database, self.notes, self.codec)
        self.faces = Faces(database, self.notes, self.codec, self.templates)
        self.eraser = Eraser(database, self.notes, self.codec, self.faces)
        self.now_of(of.encoder_id, of.dimension, cipher, key)

    @classmethod
    def create(
        cls,
        folder: Path,
        encoder_id: str,
        dimension: int,
        encoder: str,
        key: Key | None = None,
        *,
        like: Store | None = None,
        encoder_file: str = "",
    ) -> Self:
        """Make an empty gallery for vectors (dimension,) of one encoder; open it when another process was
        faster.

        key: encrypt it with this one; without one it is plain. like: lie on disk as that gallery does, to the
        byte. encoder_file: what to remember of the encoder's file, as JSON. Raises CannotWrite, BadKey, and
        what open raises.
        """
        require_utf8(folder)
        key = like.key if like is not None else key
        cipher = like.cipher if like is not None else new_cipher(key)
        meta: dict[str, object] = {
            "format": ENCRYPTED_FORMAT if cipher.description else FORMAT,
            "encoder_id": encoder_id,
            "dimension": dimension,
            "encoder": encoder,
            "generation": 0,
        }
        if encoder_file:  # an encrypted gallery tells nothing of the folders of this machine
            meta["encoder_file"] = note_of_name(encoder_file) if cipher.description else encoder_file
        if cipher.description:
            meta["cipher"] = cipher.description
        Database.create(folder / FILE, APPLICATION_ID, SCHEMA, meta)
        return cls.open(folder, key, either=like is not None)

    @classmethod
    def open(cls, folder: Path, key: Key | None = None, *, either: bool = False) -> Self:
        """Open an existing gallery with this key. either: a plain gallery is right even with a key.

        Raises NoGallery, CorruptGallery, CannotRead; BadKey, KeyMissing, WrongKey, NotEncrypted,
        PackageMissing.
        """
        path = folder / FILE
        if not path.is_file():
            raise NoGallery(folder)
        database = Database.open(path, APPLICATION_ID, said=f"{FILE} is not a gallery of facesearch")
        if not database.holds(is_ours):
            database.close()
            raise CorruptGallery(folder, FOREIGN)
        return cls(folder, database, key, either=either)

    @classmethod
    def open_snapshot(cls, path: Path, key: Key | None = None) -> Self:
        """Open what snapshot wrote, read-only. It may come from anybody: a schema that is not ours to the
        letter is refused.

        key: as of open; what is plain is right even with a key. Raises NotFound, CorruptGallery, CannotRead,
        KeyMissing, WrongKey.
        """
        if not path.is_file():
            raise NotFound(path, "exported gallery", "Make one with: facesearch export FILE")
        with sqlite_errors(path, lambda _, reason: CorruptGallery(path, reason)):
            db = read_only(path)
            db.execute("PRAGMA trusted_schema = OFF")
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID or not is_ours(db):
                raise CorruptGallery(path, "it is no gallery that facesearch exported")
        database = Database(path, db, lambda _, reason: CorruptGallery(path, reason))
        return cls(path, database, key, either=True)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """How many faces are enrolled."""
        return len(self.faces)

    # ---- what it is of

    @property
    def encoder_id(self) -> str:
        return self.codec.encoder_id

    @property
    def dimension(self) -> int:
        return self.codec.dimension

    @property
    def cipher(self) -> Cipher:
        return self.codec.cipher

    @property
    def encrypted(self) -> bool:
        """Whether names, sources, content hashes and vectors are encrypted."""
        return bool(self.cipher.description)

    @property
    def state(self) -> State:
        """What a picture of the gallery, held in memory, is a picture of: the file itself, its encoder, its
        number of changes, and the mark of the last one.
        """
        found = (self.folder / FILE).stat()
        return found.st_dev, found.st_ino, self.encoder_id, *self.notes.moment

    def require_encoder(self, encoder_id: str) -> None:
        """Raises EncoderMismatch when vectors of this encoder do not belong here."""
        if encoder_id != self.encoder_id:
            raise EncoderMismatch(self.folder, self.encoder_id, encoder_id)

    def now_of(self, encoder_id: str, dimension: int, cipher: Cipher, key: Key | None) -> None:
        """From now on rows are of this encoder and under this cipher (see rewriting.py)."""
        self.codec.encoder_id, self.codec.dimension, self.codec.cipher = encoder_id, dimension, cipher
        self.key = key
        self.notes.as_opened = (encoder_id, cipher.description)

    def own_words(self) -> str:
        """What a gallery's file says in plain of anybody enrolled: a name that is part of it cannot be
        searched for.
        """
        return " ".join((SCHEMA, self.notes.all_words(), *self.notes.detectors()))
