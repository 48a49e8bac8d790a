"""The command line as a whole: its group, its one error boundary. Nothing heavy is imported at the top: --help must not wait for torch.

stdout carries results, stderr everything else. Exit codes: 0 done ("unknown" is an answer), 1 could not, 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from facesearch.commands import album, asking, auditing, care, indexing, judging, looking, people, sealing, serving, syncing, training
from facesearch.errors import FacesearchError, Interrupted, PackageMissing
from facesearch.version import __version__

EXTRA_OF = {
    "torch": "train", "torchvision": "train", "matplotlib": "plots", "onnx": "onnx", "onnxruntime": "onnx", "sklearn": "album",
    "cryptography": "crypt", "pymilvus": "milvus", "fastapi": "web", "uvicorn": "web", "jinja2": "web",
}  # fmt: skip
"""Packages that only some commands need, and the extra that brings each."""


class Commands(click.Group):
    """Turns a FacesearchError into one message and exit code 1. Other exceptions are bugs and keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FacesearchError as error:
            raise click.ClickException(error.message()) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRA_OF:
                raise
            missing = PackageMissing(package, EXTRA_OF[package], f"facesearch {ctx.invoked_subcommand}")
            raise click.ClickException(missing.message()) from error
        except KeyboardInterrupt as error:
            again = Interrupted("what is done is kept", "the same command again")
            raise click.ClickException(again.message()) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{command.name:{width}}", words) for command, words in commands.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="facesearch")
def main() -> None:
    """Train a face encoder, keep a gallery of people, and ask who is in a photo.

    \b
    Example, from nothing:  facesearch toy people/
                            facesearch enroll --from people/ && facesearch query people/p003/02.png
    """
    os.umask(0o077)  # faces are biometric data: what is written here is its owner's alone


SECTIONS: dict[str, dict[click.Command, str]] = {
    "Ask who is in a photo": {
        asking.query: "Name the nearest people, or say unknown",
        people.enroll: "Add people and their photos",
        people.forget: "Erase a person, with proof",
        people.list_people: "List people, or one person's photos",
        people.info: "Describe the gallery and its encoder",
        looking.compare: "Say whether two photos show the same person",
        looking.embed: "Turn faces into vectors",
        looking.detect: "Find faces: boxes, landmarks, crops",
        serving.serve: "Open the page, and the service for programs",
    },
    "An album without names": {
        album.scan: "Find and group all faces in a folder",
        album.sort: "Copy or link a scanned album by person",
    },
    "Train an encoder": {
        training.prepare: "Turn photos into aligned crops, once",
        training.train: "Train on prepared crops",
        training.plot: "Compare runs: a table and curves",
        training.toy: "Draw people who do not exist, to try things on",
        people.build_index: "Embed a prepared dataset into a gallery",
    },
    "Judge the answers": {
        judging.evaluate: "Measure retrieval, with intervals",
        judging.calibrate: "Set the threshold on strangers, for a rate",
        auditing.audit: "Find wrong labels, copies and bad crops",
    },
    "Keep a gallery": {
        care.rename: "Give a person another name, or join two",
        care.verify: "Check every row and count against damage",
        indexing.index: "Rebuild the index, or choose another kind",
        care.reindex: "Embed all photos again with another encoder",
        care.export_gallery: "Write all of it into one file",
        care.import_gallery: "Add everybody from such a file",
        care.merge: "Add everybody from another gallery",
        syncing.sync: "Fill and check a Milvus engine",
        sealing.key: "Make a key",
        sealing.encrypt: "Encrypt a gallery, or exchange its key",
        sealing.decrypt: "Write it in plain again",
    },
}
"""Every command with a line about it, in the order in which help lists them."""


def run() -> None:
    """The program: as main, in a process of our own, which may be set up as we like it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is imported: else it tells stderr of every goodbye
    # OpenVINO does without its telemetry and its model converter, which take longer to import than all the rest of it.
    for name in ("openvino_telemetry", "openvino.tools.ovc"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    main()


for section in SECTIONS.values():
    for command, words in section.items():
        command.short_help = words
        main.add_command(command)
