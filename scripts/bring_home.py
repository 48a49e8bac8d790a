"""Make a run ready to travel: its best encoder in half precision, as it ships, with its notes beside it, and
its log.

    python scripts/bring_home.py runs/gpu home/
        home/encoder.safetensors, encoder.json, metrics.jsonl, config.toml
    python scripts/bring_home.py runs/gpu home/ --pieces-mb 15  the encoder as encoder.safetensors.00,
        .01, ...; join them with cat

The encoder's file holds no notes, so that it need not change when these do: they are in the JSON. To ship
it (scripts/ship.py), add `from` to the JSON by hand: who trained it, teacher and terms, photos and terms.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
from benching import machine

from facesearch.encoder.checkpoint import load_encoder, save_encoder
from facesearch.encoder.weights import BEST
from facesearch.files import make_folder, replace_file, replace_json, sha256_of
from facesearch.training.run_folder import CONFIG, METRICS

ENCODER = "encoder.safetensors"


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--pieces-mb",
    type=click.FloatRange(min=1),
    default=None,
    help="Cut the encoder into pieces of at most so many MB.",
)
def main(run: Path, out: Path, pieces_mb: float | None) -> None:
    """Write what RUN has to show into OUT."""
    make_folder(out)
    encoder, meta = load_encoder(run / BEST)
    identity = save_encoder(out / ENCODER, encoder, {}, half=True)
    recipe = meta["notes"]["recipe"]
    notes = {
        **meta["notes"],
        "recipe": {**recipe, **{name: Path(recipe[name]).name for name in ("teacher", "pretrained")}},
    }
    file = {
        "encoder_id": identity,
        "sha256": sha256_of(out / ENCODER),
        "bytes": (out / ENCODER).stat().st_size,
    }
    replace_json(
        out / "encoder.json", {**file, "float32_id": meta["encoder_id"], "notes": notes, "machine": machine()}
    )
    for name in (METRICS, CONFIG):
        shutil.copyfile(run / name, out / name)
    if pieces_mb is not None:
        data, most = (out / ENCODER).read_bytes(), int(pieces_mb * 1e6)
        for number, start in enumerate(range(0, len(data), most)):
            replace_file(out / f"{ENCODER}.{number:02d}", data[start : start + most])
        (out / ENCODER).unlink()
    click.echo(json.dumps(file))


if __name__ == "__main__":
    main()
