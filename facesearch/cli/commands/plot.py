"""Compare training runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli.options import FILE, FOLDER
from facesearch.cli.terminal import say, tell
from facesearch.errors import shown

if TYPE_CHECKING:  # it needs numpy, which help does without
    pass


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option(
    "--out", type=FILE, default=Path("runs/compared.svg"), show_default=True, help="The SVG file to write."
)
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Compare training RUNS: a table, and their curves in one picture.

    \b
    Example:  facesearch plot runs/a runs/b --out compared.svg
    """
    from facesearch.api.runs import load_history
    from facesearch.files import make_folder
    from facesearch.report.curves import comparison_lines, write_comparison

    if out.suffix.lower() != ".svg":
        raise click.UsageError(
            f"curves are written as SVG: give --out a name that ends in .svg, not {out.name}"
        )
    histories = {str(run): load_history(run) for run in runs}
    make_folder(out.parent)
    write_comparison(histories, out)
    for line in comparison_lines(histories):
        say(line)
    tell(f"curves: {shown(out)}")
