"""The page and the service: serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import announced, gallery_of
from facesearch.cli.options import FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import say, saying, tell
from facesearch.errors import PackageMissing, shown


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any but this machine's own needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8008,
    show_default=True,
    help="Port; 0 takes any that is free.",
)
@click.option(
    "--token-file",
    type=FILE,
    default=None,
    help="Ask clients for the token in this file.  [default: one is made up if needed]",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    help="Another name that browsers may call this machine by; may be given again.",
)
@click.option(
    "--photos",
    type=FOLDER,
    default=None,
    help="Where the enrolled photos lie, to show them beside answers. Only read.",
)
@click.option(
    "--report",
    type=FOLDER,
    default=Path("report"),
    show_default=True,
    help="The folder that evaluate wrote, for the page of figures.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Most face crops a pass through the encoder.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Searches worked on at once; more wait their turn.",
)
@options.gallery
@options.encoder
@options.detection
def serve(
    host: str,
    port: int,
    token_file: Path | None,
    hosts: tuple[str, ...],
    photos: Path | None,
    report: Path,
    batch: int,
    max_requests: int,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
) -> None:
    """Open the gallery's page in a browser, and answer programs under /v1.

    Nothing leaves this machine: it listens on 127.0.0.1, and the page loads nothing from elsewhere. Ctrl-C
    stops it when what is under way has ended, after 6 seconds at most. The log on stderr is JSON, without
    names, photos or vectors.

    \b
    Example:  facesearch serve --photos people/
    """
    _require_packages()
    from facesearch.web.app import Service
    from facesearch.web.server import listen, url_of, use_few_arenas
    from facesearch.web.server import serve as run
    from facesearch.web.settings import Limits, Settings, is_loopback, token_for

    use_few_arenas()
    token, made_up = token_for(host, token_file)
    settings = Settings(
        host=host,
        token=token,
        hosts=frozenset(name.lower() for name in hosts),
        photos=photos,
        report=report,
        limits=Limits(requests=max_requests),
    )
    with logged():
        limits = settings.limits
        opened = gallery_of(
            gallery,
            encoder,
            detection,
            engines=True,
            changes=True,
            batch=batch,
            max_pixels=limits.pixels,
            max_faces=limits.faces,
        )
        announced(opened)
        service = Service(settings, opened)
        with listen(host, port) as listening:
            if not opened.exists:
                tell(
                    f"gallery: {shown(gallery.folder)} (there is none yet; the first face enrolled makes it)"
                )
            if not is_loopback(host):
                tell(
                    "warning: what is sent over this address is not encrypted; put a server that speaks TLS"
                    " before it"
                )
            if made_up:
                tell(f"token (shown this once): {token}")
            say(url_of(host, listening))
            ended = run(service, listening)
    click.get_current_context().exit(ended)


@contextmanager
def logged() -> Iterator[None]:
    """All that is said on stderr within is a log: JSON from its first line on."""
    from facesearch.web.observe import log_to
    from facesearch.web.observe import say as log

    undo = log_to()
    try:
        with saying(log):
            yield
    finally:
        undo()


def _require_packages() -> None:
    """Raises PackageMissing before anything else is done."""
    try:
        import fastapi  # noqa: F401
        import jinja2  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise PackageMissing(error.name or "fastapi", "web", "facesearch serve") from error
