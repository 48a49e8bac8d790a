"""The page of an evaluation: whole, self-contained, without a photo unless asked; and the JSON beside it, by
its schema.
"""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from facesearch.datasets.pairs import PairList, PhotoName
from facesearch.datasets.table import Dataset, Row
from facesearch.evaluation.evaluate import evaluate
from facesearch.evaluation.given import Embedder
from facesearch.evaluation.pairs import PairTrial
from facesearch.evaluation.results import CLOSED, Evaluation
from facesearch.metrics.bootstrap import Rate
from facesearch.report.charts import Chart, Line, decades, even, interval_places, rates, svg_file
from facesearch.report.evaluation import evaluation_page, write_report
from facesearch.report.evaluation_json import SCHEMA_FILE, evaluation_dict, evaluation_json, thinned
from facesearch.report.lines import evaluation_lines
from facesearch.report.words import meaning
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet

EVIL = '<img src="http://evil.example/x.png">&'
SVG = "{http://www.w3.org/2000/svg}"


def colours(folder: Path, people: int, splits: list[str], seed: int, prefix: str) -> Dataset:
    """Crops of four colours: each person has theirs, each photo is a little off. One photo of each person a
    split.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    crops, rows = [], []
    for who in range(people):
        base = rng.integers(40, 215, (2, 2, 3))
        for k, split in enumerate(splits):
            shown = np.clip(base + rng.normal(0, 38, (2, 2, 3)), 0, 255).astype(np.uint8)
            crops.append(np.kron(shown, np.ones((56, 56, 1), np.uint8)))
            name = f"{prefix}{who}" if split != "distractor" else ""
            rows.append(
                Row(
                    f"{prefix}{who}_{k}.png",
                    name,
                    split,
                    f"{prefix}{who}-{k}".ljust(64, "0"),
                    "drawn",
                    "",
                    "known",
                )
            )
    return Dataset(folder, np.stack(crops), tuple(rows), {"kind": "drawn"})


def measured(folder: Path, *, with_photos: bool) -> Evaluation:
    data = colours(folder / "data", 30, ["train"] * 4 + ["val"] * 2, 1, EVIL)
    extra = colours(folder / "extra", 24, ["open"] * 6, 2, "stranger")
    ir = colours(folder / "ir", 12, ["query"] * 4 + ["distractor"] * 2, 3, "q")
    photos = [PhotoName(who, k) for who in ("ana", "ben", "eva", "tom") for k in (1, 2, 3)]
    rng = np.random.default_rng(4)
    for i, photo in enumerate(photos):
        base = 60 * (i // 3) + 20
        colour = tuple(int(v) for v in np.clip(base + rng.normal(0, 25, 3), 0, 255))
        save_colour(
            folder / "lfw" / photo.person / f"{photo.person}_{photo.number:04d}.jpg",
            colour,
            shade=int(rng.integers(1, 250)),
        )
    (folder / "lfw/tom/tom_0003.jpg").write_text("broken")
    first, second = (
        np.array([0, 1, 2, 3, 0, 2, 6, 7, 9, 6, 7, 10]),
        np.array([1, 2, 0, 4, 3, 5, 7, 8, 11, 9, 10, 8]),
    )
    same = first // 3 == second // 3
    pairs = PairList(folder / "pairs.txt", 2, tuple(photos), first, second, same, np.repeat([0, 1], 6))
    return evaluate(
        data,
        extra,
        ir,
        Embedder(ColourEncoder(), {}, quiet),
        split="val",
        weights=Path("none"),
        seed=0,
        fpir=0.05,
        pairs=PairTrial(pairs, folder / "lfw", None),
        with_photos=with_photos,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return measured(tmp_path_factory.mktemp("plain"), with_photos=False)


@pytest.fixture(scope="module")
def page(result: Evaluation) -> str:
    return evaluation_page(result)


class Reader(HTMLParser):
    """Reads a page as a browser's outline would: text, tags with attributes, and whether every tag is
    closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self._open = "", [], []
        self.feed(page)
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "line", "path", "circle"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open and self._open.pop() == tag, tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_every_figure_is_on_the_page_with_its_meaning_and_interval(result: Evaluation, page: str):
    text = Reader(page).text
    assert len(result.figures) > 30 and len({(f.section, f.name) for f in result.figures}) == len(
        result.figures
    )
    for figure in result.figures:
        assert figure.name in text and meaning(figure.name) in text and meaning(figure.name)
        if math.isfinite(figure.rate.value):
            assert f"{figure.rate.value:.4f} [{figure.rate.low:.4f}, {figure.rate.high:.4f}]" in text
            assert figure.rate.low <= figure.rate.value <= figure.rate.high
    assert any(math.isnan(figure.rate.value) for figure in result.figures) and "too few trials" in text
    for chart in (
        "CMC.",
        "ROC.",
        "DET.",
        "Scores of probe",
        "Best score of each search",
        "Scores of the pairs",
    ):
        assert chart in text
    for reason in result.skipped:
        assert reason in text


def test_nothing_is_fetched_and_no_photo_is_there(result: Evaluation, page: str):
    reader = Reader(page)
    assert (
        not reader.all("img") and "base64" not in page and all(error.crops is None for error in result.errors)
    )
    assert not reader.all("script") and not reader.all("link") and not reader.all("iframe")
    for _, attrs in reader.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert (attrs.get(name) or "#").startswith("#"), attrs
        assert not [name for name in attrs if name.startswith("on")]
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style and "prefers-color-scheme: dark" in style
    assert "default-src 'none'" in page
    outside = re.sub(r"&lt;.*?&gt;", "", page)  # the hostile name stands there as text
    assert "http://" not in outside and "https://" not in outside and "//evil" not in outside


def test_what_people_are_called_is_escaped(result: Evaluation, page: str):
    assert any(EVIL in person.person for person in result.people)
    assert EVIL not in page and page.count("<img") == 0 and "&lt;img src=&#34;http://evil.example" in page


def test_headings_landmarks_and_captions_are_in_order(page: str):
    reader = Reader(page)
    levels = [int(tag[1]) for tag, _ in reader.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(reader.all(landmark)) == 1
    assert len(reader.all("table")) == len(reader.all("caption")) and len(reader.all("figure")) == len(
        reader.all("figcaption")
    )
    charts = [attrs for attrs in reader.all("svg") if attrs.get("class") == "chart"]
    assert len(charts) == 7 and all(len(attrs["aria-label"]) > 20 for attrs in charts)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) and {attrs["href"][1:] for attrs in reader.all("a")} <= set(ids)
    assert reader.all("html") == [{"lang": "en"}] and all(
        attrs.get("scope") in ("row", "col") for attrs in reader.all("th")
    )


def test_the_worst_people_come_first_and_confusions_by_number(result: Evaluation, page: str):
    values = [person.rank1.value for person in result.people]
    assert values == sorted(values) and values[0] < 1 and sum(p.rank1.trials for p in result.people) == 60
    wrong = sum(confusion.times for confusion in result.confusions)
    rank1 = next(figure.rate.value for figure in result.figures if figure.name == "rank-1")
    assert wrong == round((1 - rank1) * 60) > 0
    assert [c.times for c in result.confusions] == sorted((c.times for c in result.confusions), reverse=True)
    assert result.strangers[0].person.startswith("stranger")
    assert [e.kind for e in result.errors] == sorted(
        (e.kind for e in result.errors), reverse=True
    )  # wrong names, then strangers
    text = Reader(page).text
    assert (
        text.index("Who it works worst for")
        < text.index("Who is taken for which other person")
        < text.index("Strangers that could get a name")
    )


def test_photos_only_when_asked_for(tmp_path: Path, result: Evaluation):
    shown = measured(tmp_path, with_photos=True)
    reader = Reader(evaluation_page(shown))
    images = reader.all("img")
    assert len(images) == 2 * len(shown.errors) > 0
    assert all(attrs["src"].startswith("data:image/png;base64,") and attrs["alt"] for attrs in images)
    assert "biometric data" in reader.text
    plain, also = (json.loads(evaluation_json(each)) for each in (result, shown))
    assert also == plain  # the JSON never holds a photo, and names no folder of this machine
    error = shown.errors[0]
    assert error.crops is not None and error.crops.shape == (2, 112, 112, 3) and error.crops.dtype == np.uint8


def test_the_json_follows_its_schema_and_says_what_the_page_says(result: Evaluation):
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    value = json.loads(evaluation_json(result))
    jsonschema.Draft202012Validator(schema).validate(value)
    assert value["schema"] == 1 and set(value) == set(schema["properties"])
    assert [figure["name"] for figure in value["figures"]] == [figure.name for figure in result.figures]
    assert value["figures"][0]["rate"]["trials"] == 60 and value["pairs"]["photos_left_out"][0]["reason"]
    assert (
        value["histograms"]["same person"]["counts"]
        and sum(value["pairs"]["histograms"]["same person"]["counts"]) == value["pairs"]["same"]
    )
    broken = {**value, "figures": [{**value["figures"][0], "rate": {"value": 0.5}}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(broken)


def test_an_evaluation_of_one_section_follows_the_schema_too(result: Evaluation):
    bare = Evaluation("encoder", "e" * 64, "val")
    bare.add(CLOSED, "rank-1", Rate(float("nan"), float("nan"), float("nan"), 0))
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(evaluation_json(bare)))
    assert "too few trials" in evaluation_page(bare) and evaluation_dict(bare)["pairs"] is None


def test_the_folder_holds_page_data_and_plots_for_their_owner_alone(result: Evaluation, tmp_path: Path):
    written = write_report(result, tmp_path / "report")
    assert {path.name for path in written} == {
        "index.html",
        "evaluation.json",
        "cmc.svg",
        "roc.svg",
        "det.svg",
        "scores.svg",
    }
    assert {path.name for path in (tmp_path / "report").iterdir()} == {path.name for path in written}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "report").iterdir())


def test_the_table_sums_people_up_in_two_lines(result: Evaluation):
    lines = [line for line in evaluation_lines(result) if "people" in line and "worst" in line]
    assert (
        len(lines) == 2
        and "worst 5% of people" in lines[0]
        and EVIL not in "\n".join(evaluation_lines(result))
    )


# ---- charts


def test_a_line_goes_through_its_points_and_leaves_no_wall_at_the_end_of_a_logarithm():
    lines = [Line("a", np.array([0, 1e-5, 0.01, 0.1, 1.0]), np.array([0, 0.2, 0.5, 0.75, 1.0]))]
    svg = svg_file([Chart("title", "a <chart>", decades("x", 1e-3), rates("y"), lines)]).decode()
    path = re.search(r'class="line s1" d="M(.*?)"', svg)
    assert path is not None
    points = [tuple(map(float, point.split())) for point in path.group(1).split("L")]
    x, y = zip(*points, strict=True)
    assert len(points) == 4 and x[0] == 62 and x[-1] == 466  # 0 is left out, 1e-5 is laid on the axis' end
    assert (x[1] - x[0]) == pytest.approx((x[-1] - x[0]) / 3, abs=0.2)  # one decade of three
    assert y == pytest.approx([288 - 274 * v for v in (0.2, 0.5, 0.75, 1.0)], abs=0.1)
    assert 'aria-label="title: a &lt;chart&gt;"' in svg


def test_a_file_of_charts_is_whole_xml_with_its_colours_and_a_legend(result: Evaluation, tmp_path: Path):
    for path in write_report(result, tmp_path)[2:]:
        root = ElementTree.parse(path).getroot()
        assert root.tag == f"{SVG}svg" and root.get("role") == "img" and len(root.get("aria-label")) > 20
        style = root.findtext(f"{SVG}style")
        assert "prefers-color-scheme: dark" in style and "url(" not in style and "@import" not in style
        lines = [node for node in root.iter(f"{SVG}path") if node.get("class").startswith("line")]
        kinds = {"cmc.svg": 2, "roc.svg": 1, "det.svg": 2, "scores.svg": 4}[path.name]
        assert len(lines) == (2 * kinds if kinds > 1 else 1)  # one in the chart, one in the legend
        assert {node.tag.removeprefix(SVG) for node in root.iter()} == {
            "svg",
            "style",
            "g",
            "text",
            "line",
            "path",
        }


def test_numbers_on_an_axis_are_round_and_a_point_alone_is_seen():
    assert even("x", 1, 8, whole=True).ticks == (1, 2, 3, 4, 5, 6, 7, 8)
    assert even("x", 1, 100, whole=True).ticks == (20, 40, 60, 80, 100)
    assert even("x", 0.13, 0.61).ticks == pytest.approx((0.2, 0.3, 0.4, 0.5, 0.6))
    assert even("x", 3, 3, whole=True).ticks == (3, 4)
    chart = Chart("t", "s", even("x", 1, 1), rates("y"), [Line("a", np.array([1.0]), np.array([0.5]))])
    (path,) = chart.paths
    assert path.d == "M62.0 151.0h0" and path.look == "line s1 point"


def test_a_thinned_curve_keeps_its_ends_and_lies_on_the_whole_one():
    x = np.concatenate([[0.0], np.sort(np.random.default_rng(0).random(20_000)), [1.0]])
    thin = thinned((x, x**2), "x", "y")
    assert thin is not None and 50 < len(thin["x"]) <= 220 and thin["x"][0] == 0 and thin["x"][-1] == 1
    assert thin["y"] == pytest.approx(np.square(thin["x"]), abs=2e-6)


def test_a_difference_and_a_missing_rate_get_no_bar():
    assert interval_places(0.5, 0.4, 0.6, 110) == (45, 55, 65)
    assert interval_places(-0.1, -0.2, 0.1, 110) is None
    assert interval_places(float("nan"), 0.1, 0.2, 110) is None
