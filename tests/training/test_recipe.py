from __future__ import annotations

from pathlib import Path

import pytest

from facesearch.errors import BadConfig, CannotRead, NotFound, UnknownSetting
from facesearch.training.recipe import TrainConfig
from facesearch.training.recipe_files import find_recipe, load_recipe
from tests.helpers.saying import refused

RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_survives_a_round_trip(path: Path, tmp_path: Path):
    config = load_recipe(path)
    (tmp_path / "copy.toml").write_text(config.as_toml())
    assert load_recipe(tmp_path / "copy.toml") == config


def test_the_seed_projects_settings_are_its_own():
    arc, ce = load_recipe(RECIPES / "seed-arcface.toml"), load_recipe(RECIPES / "seed-ce.toml")
    assert (arc.loss, arc.scale, arc.margin_rad, arc.schedule, arc.freeze) == (
        "arcface",
        5.0,
        0.1,
        "constant",
        (),
    )
    assert (ce.loss, ce.schedule, ce.restart_epochs, ce.lr_min) == ("ce", "warm_restarts", 3, 3e-5)
    assert ce.freeze == (7, 7, 7, 6, 6, 6, 5, 5, 5, 2, 2, 2)
    for c in (arc, ce):
        assert (c.backbone, c.optimizer, c.lr, c.weight_decay, c.batch_size, c.epochs) == (
            "resnet34",
            "adamw",
            3e-4,
            0.01,
            16,
            50,
        )
        assert (
            c.colours == ("grayscale", "jitter", "blur", "posterize", "equalize")
            and c.colour_mode == "multiply"
        )
        assert c.head == () and c.embedding_size == 512 and not c.colour_compose


def test_overrides_are_read_as_toml_and_bare_words_as_text():
    c = TrainConfig().changed(
        ["lr=0.01", "backbone=resnet50", "head=[256, 128]", "flip=true", "epochs=3", "size_steps=[[0, 64]]"]
    )
    assert (c.lr, c.backbone, c.head, c.flip, c.epochs, c.size_steps) == (
        0.01,
        "resnet50",
        (256, 128),
        True,
        3,
        ((0, 64),),
    )
    assert TrainConfig().changed(["scale=12"]).scale == 12.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=fast", "'lr' is 'fast'; it should be a number"),
        ("lr=0", "'lr' is 0.0, and that is not above 0; it should be above 0 and below 100."),
        ("lr=1e8", "'lr' is 1e+08, and that is not below 100; it should be above 0 and below 100."),
        ("epochs=0", "'epochs' is 0; it should be at least 1."),
        ("ema_decay=1.5", "and that is not below 1; it should be at least 0 and below 1."),
        ("lr_min=5", "'lr_min' is 5.0; it should be at least 0 and at most lr, which is 0.001."),
        ("lr=nan", "'lr' is nan"),
        ("epochs=2.5", "'epochs' is 2.5; it should be a whole number"),
        ("flip=1", "'flip' is 1; it should be true or false"),
        ("backbone=resnet38", "resnet18, resnet34, resnet50"),
        ("margin_rad=28.6", "radians"),
        ("head=5", "a list"),
        ('colours=["sepia"]', "grayscale"),
        ("size_steps=[[9, 64], [3, 80]]", "order"),
        ("batch_size=1", "at least 2"),
        ("lr", "lr=VALUE"),
        ("colour_mode=random", "named when colour_mode is on"),
    ],
)
def test_nonsense_is_refused_by_name(setting: str, message: str):
    with pytest.raises(BadConfig) as caught:
        TrainConfig().changed([setting])
    assert message in str(caught.value)


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path):
    (tmp_path / "r.toml").write_text("marign_rad = 0.3\n")
    with pytest.raises(UnknownSetting, match=r"'marign_rad'.*'margin_rad'"):
        load_recipe(tmp_path / "r.toml")
    with pytest.raises(UnknownSetting, match="--set"):
        TrainConfig().changed(["banana=1"])


def test_files_that_are_no_recipe(tmp_path: Path):
    (tmp_path / "bad.toml").write_text("lr = = 3")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("bad.toml", "bin.toml"):
        with pytest.raises(CannotRead):
            load_recipe(tmp_path / name)
    with pytest.raises(NotFound):
        load_recipe(tmp_path / "none.toml")
    with refused(NotFound, r"default.*seed-arcface.*seed-ce"):
        find_recipe("no-such-recipe")


def test_the_margin_ramps_from_zero():
    c = TrainConfig(margin_rad=0.4, margin_start_epoch=2, margin_ramp_epochs=4)
    assert [round(c.margin_at(e), 3) for e in (0, 1.9, 2, 3, 4, 6, 50)] == [0, 0, 0, 0.1, 0.2, 0.4, 0.4]
    assert TrainConfig(margin_rad=0.4).margin_at(0) == 0.4


def test_sizes_follow_their_steps():
    c = TrainConfig(size_px=112, size_steps=((1, 64), (3, 96)))
    assert [c.size_at(e) for e in range(5)] == [112, 64, 64, 96, 96]
