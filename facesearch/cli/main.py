"""The command line as a whole: its group, its one error boundary. Nothing heavy is imported at the top:
--help must not wait for torch.

stdout carries results, stderr everything else. Exit codes: 0 done ("unknown" is an answer), 1 could not, 2
wrong usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import Any

import click

from facesearch import workers
from facesearch.cli import interrupt, streams
from facesearch.cli.commands.album import album
from facesearch.cli.commands.audit import audit
from facesearch.cli.commands.backup import backup
from facesearch.cli.commands.build_index import build_index
from facesearch.cli.commands.calibrate import calibrate
from facesearch.cli.commands.compare import compare
from facesearch.cli.commands.demo_gallery import demo_gallery
from facesearch.cli.commands.detect import detect
from facesearch.cli.commands.embed import embed
from facesearch.cli.commands.encrypt import decrypt, encrypt
from facesearch.cli.commands.enroll import enroll
from facesearch.cli.commands.evaluate import evaluate
from facesearch.cli.commands.export_gallery import export_gallery
from facesearch.cli.commands.forget import forget
from facesearch.cli.commands.import_gallery import import_gallery
from facesearch.cli.commands.info import info
from facesearch.cli.commands.list_people import list_people
from facesearch.cli.commands.plot import plot
from facesearch.cli.commands.prepare import prepare
from facesearch.cli.commands.query import query
from facesearch.cli.commands.reindex import reindex
from facesearch.cli.commands.rename import rename
from facesearch.cli.commands.restore import restore
from facesearch.cli.commands.scan import scan
from facesearch.cli.commands.serve import serve
from facesearch.cli.commands.sort import sort
from facesearch.cli.commands.sync import sync
from facesearch.cli.commands.toy import toy
from facesearch.cli.commands.train import train
from facesearch.cli.commands.verify import verify
from facesearch.cli.terminal import telling_of_warnings
from facesearch.errors import FacesearchError, Interrupted, OutputLost, PackageMissing, calm
from facesearch.version import __version__

EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "sklearn": "album",
    "cryptography": "crypt",
    "pymilvus": "milvus",
    "fastapi": "web",
    "uvicorn": "web",
}
"""Packages that only some commands need, and the extra that brings each."""


NOW_CALLED = {
    "merge": "import FOLDER",
    "index": "verify --rebuild [--index auto|flat|bits1|bits2]",
    "key": "encrypt --new-key FILE",
    ("encrypt", "--new-key-file"): "encrypt --new-key FILE",
}
"""Commands, and options of commands, that version 0.1.0 had: what says the same now."""


class _Ended(click.ClickException):
    """A command that was broken off: there is no error to tell of."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        vars(self)["exit_code"] = code

    def show(self, file: Any = None) -> None:
        if self.message:
            click.echo(self.message, file=file, err=True)


class Commands(click.Group):
    """Turns a FacesearchError into one message and exit code 1. Other exceptions are bugs and keep their
    traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with telling_of_warnings():
                return super().invoke(ctx)
        except OutputLost as error:
            raise (_Ended("", 1) if error.quiet else click.ClickException(error.message())) from error
        except FacesearchError as error:
            failed = click.ClickException(error.message())
            if isinstance(error, Interrupted):
                vars(failed)["exit_code"] = 128 + error.signal
            raise failed from error
        except click.NoSuchOption as error:
            command = error.ctx.command.name if error.ctx else ""
            if (now := NOW_CALLED.get((command or "", error.option_name))) is None:
                raise
            raise click.UsageError(f"{error.option_name} is now: facesearch {now}", error.ctx) from error
        except click.ClickException as error:
            vars(error)["message"] = calm(error.message)
            raise
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRA_OF:
                raise
            missing = PackageMissing(package, EXTRA_OF[package], f"facesearch {ctx.invoked_subcommand}")
            raise click.ClickException(missing.message()) from error
        except KeyboardInterrupt as error:
            raise _Ended(interrupt.words() or "", interrupt.INTERRUPTED) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in NOW_CALLED:
            raise click.UsageError(f"{args[0]} is now: facesearch {NOW_CALLED[args[0]]}", ctx)
        interrupt.started(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{command.name:{width}}", words) for command, words in commands.items()]
                )


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
        query: "Name the nearest people, or say unknown",
        enroll: "Add people and their photos",
        forget: "Erase a person, with proof",
        list_people: "List people, or one person's photos",
        info: "Describe the gallery and its encoder",
        compare: "Say whether two photos show the same person",
        embed: "Turn faces into vectors",
        detect: "Find faces: boxes, landmarks, crops",
        serve: "Open the page, and the service for programs",
    },
    "An album without names": {
        scan: "Find and group all faces in a folder",
        sort: "Copy or link a scanned album by person",
        album: "Write its names for other programs",
    },
    "Train an encoder": {
        prepare: "Turn photos into aligned crops, once",
        train: "Train on prepared crops",
        plot: "Compare runs: a table and curves",
        toy: "Draw people who do not exist, to try things on",
        build_index: "Embed a prepared dataset into a gallery",
    },
    "Judge the answers": {
        evaluate: "Measure retrieval, with intervals",
        calibrate: "Set the threshold on strangers, for a rate",
        audit: "Find wrong labels, copies and bad crops",
    },
    "Keep a gallery": {
        rename: "Give a person another name, or join two",
        verify: "Check against damage; rebuild the index",
        reindex: "Embed all photos again with another encoder",
        backup: "Copy it while it is in use, checked",
        restore: "Put a backup back",
        demo_gallery: "Copy the gallery that came with the checkout",
        export_gallery: "Write all of it into one file",
        import_gallery: "Add everybody from a file or another gallery",
        sync: "Fill and check a Milvus engine",
        encrypt: "Encrypt a gallery, make or exchange its key",
        decrypt: "Write it in plain again",
    },
}
"""Every command with a line about it, in the order in which help lists them."""


def run() -> None:
    """The program: as main, in a process of our own, which may be set up as we like it."""
    streams.make_safe()
    interrupt.guard()
    # Read when gRPC is imported: else it tells stderr of every goodbye.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # OpenVINO does without its telemetry and its model converter, which take longer to import than all the
    # rest of it.
    for name in ("openvino_telemetry", "openvino.tools.ovc"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    code = _exit_code()
    if code == interrupt.INTERRUPTED and workers.is_at_work():
        interrupt.end()  # a thread may wait for a file for ever
    if workers.do_foreign_threads_stay():
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> None:
    """sys.exit without what comes last: Python's and the libraries' own taking down, beside their threads."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _exit_code() -> int:
    """Run the command that the words of the command line ask for."""
    try:
        code = main.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):  # before there was a command
        _Ended(interrupt.words() or "", interrupt.INTERRUPTED).show()
        code = interrupt.INTERRUPTED
    except OutputLost as error:  # of help
        if not error.quiet:
            click.ClickException(error.message()).show()
        code = 1
    if not isinstance(code, int):
        code = 0
    return code or int(streams.is_talk_lost())


for section in SECTIONS.values():
    for command, words in section.items():
        command.short_help = words
        main.add_command(command)
