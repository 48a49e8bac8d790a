"""Names in XMP: written so that other programs read them, read whatever other programs wrote, and nothing
else in a sidecar ever lost. Judged by exiftool and exiv2, and by a reading of our own by ElementTree.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facesearch.album import xmp
from facesearch.album.xmp import BadXmp, Region, packets, parse, regions_in, with_regions

SIZE = (4000, 3000)
ADA = Region("Ada <Lovelace> & \"Co\" 'x'", 0.25, 0.5, 0.1, 0.2)
BEN = Region("李雷 Ünal", 0.75, 0.25, 0.2, 0.1)
DIGIKAM = b"""<?xml version="1.0" encoding="UTF-8"?>
<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <!-- by hand -->
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:regs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:d="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:a="http://ns.adobe.com/xmp/sType/Area#"
    xmp:Rating="4">
   <dc:subject><r:Bag><r:li>holiday &amp; sea</r:li></r:Bag></dc:subject>
   <regs:Regions r:parseType="Resource">
    <regs:AppliedToDimensions d:w="4000" d:h="3000" d:unit="pixel"/>
    <regs:RegionList><r:Bag>
      <r:li><r:Description regs:Name="Cy" regs:Type="Face"><regs:Area a:x="0.5" a:y="0.8" a:w="0.1" a:h="0.1" a:unit="normalized"/></r:Description></r:li>
      <r:li r:parseType="Resource"><regs:Name>Ada</regs:Name><regs:Type>Face</regs:Type>
        <regs:Area r:parseType="Resource"><a:x>0.251</a:x><a:y>0.5</a:y><a:w>0.1</a:w><a:h>0.2</a:h></regs:Area></r:li>
      <r:li><r:Description regs:Name="Rex" regs:Type="Pet"><regs:Area a:x="0.25" a:y="0.5" a:w="0.1" a:h="0.2"/></r:Description></r:li>
    </r:Bag></regs:RegionList>
   </regs:Regions>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""  # noqa: E501


def close(a: Region, b: Region) -> bool:
    return a.name == b.name and np.allclose((a.x, a.y, a.w, a.h), (b.x, b.y, b.w, b.h), atol=1e-6)


def test_what_is_written_is_read_back_and_written_again_it_is_the_same():
    once = with_regions(None, [ADA, BEN], SIZE)
    assert [close(a, b) for a, b in zip(regions_in(once), [ADA, BEN], strict=True)] == [True, True]
    assert with_regions(once, [ADA, BEN], SIZE) == once
    twice = with_regions(with_regions(once, [ADA, BEN], SIZE), [ADA], SIZE)
    assert [one.name for one in regions_in(twice)] == [ADA.name]
    assert regions_in(with_regions(twice, [], SIZE)) == []


def test_all_else_in_a_sidecar_stays_byte_by_byte():
    new = with_regions(DIGIKAM, [ADA, BEN], SIZE)
    assert {one.name for one in regions_in(new)} == {"Cy", ADA.name, BEN.name}
    assert b"Rex" in new and b"by hand" in new and b'xmp:Rating="4"' in new
    ada = DIGIKAM[DIGIKAM.index(b'<r:li r:parseType="Resource">') :]
    ada = ada[: ada.index(b"</r:li>") + len(b"</r:li>")]
    ours = re.compile(rb" {6}<rdf:li xmlns.*?</rdf:li>\n", re.DOTALL)
    assert ours.sub(b"", new) == DIGIKAM.replace(ada, b"") and len(ours.findall(new)) == 2
    same = with_regions(DIGIKAM, [Region("Ada", 0.25, 0.5, 0.1, 0.2)], SIZE)
    assert same.replace(b"\n", b"").replace(b" ", b"") == DIGIKAM.replace(b"\n", b"").replace(b" ", b"")
    assert with_regions(new, [], SIZE).count(b"facesearch:by") == 0
    plain = (
        DIGIKAM[: DIGIKAM.index(b"   <regs:Regions")] + DIGIKAM[DIGIKAM.index(b"  </r:Description>\n </r") :]
    )
    added = with_regions(plain, [BEN], SIZE)
    assert added.startswith(plain[: plain.index(b" </r:RDF>") + 1])
    assert with_regions(plain, [], SIZE) == plain


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"no xml",
        b"\xff\xfe<\x00",
        DIGIKAM[:-40],
        DIGIKAM.replace(b"<x:xmpmeta", b'<!DOCTYPE a [<!ENTITY l "lol">]>\n<x:xmpmeta', 1),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><z>&b;</z>',
        b"<a>" * 5_000 + b"</a>" * 5_000,
        b"<r>" + b"<a/>" * 200_000 + b"</r>",
        b"<a>" + b" " * (9 * 2**20) + b"</a>",
        DIGIKAM.replace(b"holiday", b"\xff\xfe"),
    ],
)
def test_hostile_xmp_is_a_reason_and_never_more(bad: bytes):
    for work in (regions_in, lambda data: with_regions(data, [ADA], SIZE)):
        with pytest.raises(BadXmp):
            work(bad)


def test_odd_areas_and_names_are_passed_over():
    for old, new in [
        (b'a:x="0.5"', b'a:x="nan"'),
        (b'a:x="0.5"', b'a:x="1e999"'),
        (b'a:w="0.1" a:h="0.1"', b'a:w="-1" a:h="0.1"'),
        (b'a:unit="normalized"', b'a:unit="pixel"'),
        (b'regs:Name="Cy"', b'regs:Name=" "'),
    ]:
        changed = DIGIKAM.replace(old, new, 1)
        assert changed != DIGIKAM and [one.name for one in regions_in(changed)] == ["Ada"]
    assert regions_in(b"<a/>") == []


def test_microsofts_regions_are_read_too():
    found = regions_in(MICROSOFT)
    assert len(found) == 1 and close(found[0], Region("Ann", 0.35, 0.5, 0.1, 0.2))


MICROSOFT = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:MP="http://ns.microsoft.com/photo/1.2/"><MP:RegionInfo>
<rdf:Description xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
  xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"><MPRI:Regions><rdf:Bag>
<rdf:li><rdf:Description MPReg:Rectangle="0.3, 0.4, 0.1, 0.2" MPReg:PersonDisplayName="Ann"/></rdf:li>
<rdf:li MPReg:Rectangle="0.3, 0.4, 0.1" MPReg:PersonDisplayName="Bad"/>
</rdf:Bag></MPRI:Regions></rdf:Description></MP:RegionInfo></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_region_is_where_the_upright_picture_shows_it(turn: int):
    """By pixels: the stored picture is turned by Pillow, as every viewer turns it."""
    from PIL import ImageOps

    stored = np.zeros((60, 80), np.uint8)
    region = Region("", 0.3, 0.2, 0.1, 0.2)
    x, y, w, h = (round(v) for v in (0.25 * 80, 0.1 * 60, 0.1 * 80, 0.2 * 60))
    stored[y : y + h, x : x + w] = 255
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = turn
    shown = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(shown)
    upright = region.upright(turn)
    sh, sw = shown.shape
    assert np.isclose(upright.x * sw, (columns.min() + columns.max() + 1) / 2, atol=0.6)
    assert np.isclose(upright.y * sh, (rows.min() + rows.max() + 1) / 2, atol=0.6)
    assert np.isclose(upright.w * sw, np.ptp(columns) + 1, atol=0.6)
    assert close(upright.stored(turn), region)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=20), *(st.floats(0.1, 0.9) for _ in range(4))), max_size=4
    )
)
def test_any_names_make_xml_that_an_independent_parser_reads(
    drawn: list[tuple[str, float, float, float, float]],
):
    regions = [Region(*one) for one in drawn]
    for old in (None, DIGIKAM):
        root = ET.fromstring(with_regions(old, regions, SIZE).strip(b"\n"))
        names = [one.get(f"{{{xmp.MWG}}}Name") for one in root.iter() if one.get(f"{{{xmp.OURS}}}by")]
        assert len(names) == len(regions)
        for name, region in zip(names, regions, strict=True):
            plain = all(c.isprintable() and c < "\ud800" for c in region.name)
            assert not plain or name == region.name


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_packets_are_found_in_pictures_of_every_format(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    packet = with_regions(None, [ADA], SIZE)
    image = Image.new("RGB", (64, 48), "red")
    if suffix == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        image.save(path, pnginfo=info)
    elif suffix == "tiff":
        image.save(path, tiffinfo={700: packet})
    else:
        image.save(path, xmp=packet)
    assert [one.name for data in packets(path.read_bytes()) for one in regions_in(data)] == [ADA.name]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("old", [None, DIGIKAM])
def test_exiftool_reads_every_region_and_finds_nothing_wrong(tmp_path: Path, old: bytes | None):
    path = tmp_path / "a.jpg.xmp"
    path.write_bytes(with_regions(old, [ADA, BEN], SIZE))
    said = subprocess.run(
        ["exiftool", "-struct", "-json", "-RegionInfo", "-Rating", "-Subject", "-validate", "-warning", path],
        capture_output=True,
        check=True,
    )
    (answer,) = json.loads(said.stdout)
    info = answer["RegionInfo"]
    assert info["AppliedToDimensions"] == {"W": 4000, "H": 3000, "Unit": "pixel"}
    by_name = {one["Name"]: one for one in info["RegionList"]}
    assert set(by_name) == {ADA.name, BEN.name} | (set() if old is None else {"Cy", "Rex"})
    for region in (ADA, BEN):
        area = by_name[region.name]["Area"]
        assert (area["X"], area["Y"], area["W"], area["H"]) == (region.x, region.y, region.w, region.h)
        assert area["Unit"] == "normalized" and by_name[region.name]["Type"] == "Face"
    assert answer.get("Warning") is None and answer.get("Validate", "OK") == "OK", answer
    if old is not None:
        assert answer["Rating"] == 4 and answer["Subject"] == ["holiday & sea"]


@pytest.mark.skipif(shutil.which("exiv2") is None, reason="exiv2 is not installed")
@pytest.mark.parametrize("old", [None, MICROSOFT, "usual prefixes"])
def test_exiv2_reads_every_region(tmp_path: Path, old: bytes | str | None):
    path = tmp_path / "a.xmp"
    if isinstance(old, str):  # exiv2 reads no others
        old = DIGIKAM
        for odd, usual in ((b"r", b"rdf"), (b"regs", b"mwg-rs"), (b"a", b"stArea"), (b"d", b"stDim")):
            old = re.sub(rb"(?<=[</ :])" + odd + rb"(?=[:=])", usual, old)
    path.write_bytes(with_regions(old, [ADA, BEN], SIZE))
    said = subprocess.run(["exiv2", "-PXkt", "print", path], capture_output=True, check=True, text=True)
    assert ADA.name in said.stdout and BEN.name in said.stdout and said.stderr == ""
    assert said.stdout.count("stArea:x") >= 2 and (old is None or old is MICROSOFT or "Rex" in said.stdout)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_what_exiftool_writes_is_read(tmp_path: Path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 48), "red").save(path)
    info = (
        "{AppliedToDimensions={W=64,H=48,Unit=pixel},RegionList=[{Area={X=0.5,Y=0.25,W=0.1,H=0.2,"
        "Unit=normalized},Name=Ada,Type=Face}]}"
    )
    subprocess.run(["exiftool", "-q", f"-RegionInfo={info}", path], check=True)
    (region,) = itertools.chain(*map(regions_in, packets(path.read_bytes())))
    assert close(region, Region("Ada", 0.5, 0.25, 0.1, 0.2))
    subprocess.run(["exiftool", "-q", path, "-o", tmp_path / "b.xmp"], check=True)
    whole = with_regions((tmp_path / "b.xmp").read_bytes(), [BEN], SIZE)
    assert {one.name for one in regions_in(whole)} == {"Ada", BEN.name}
    assert parse(whole).children
