"""Names of faces in XMP, as other programs write and read them: regions of the Metadata Working Group
(Guidelines 2.0, section 5.9), and Microsoft's when reading. Pure functions on bytes; any XMP may be hostile.

A region is of the picture as it is stored: "Region metadata is applied to the stored image" says the
guideline, and digiKam, immich and exiftool turn regions by EXIF's orientation as they turn the picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from facesearch.faces.boxes import iou

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
DIM = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
MP = "http://ns.microsoft.com/photo/1.2/"
MPRI = "http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
MPREG = "http://ns.microsoft.com/photo/1.2/t/Region#"
OURS = "urn:facesearch:xmp:1"
"""Says of a region that it was written here, so that the next export may change it."""
LARGEST_XMP = 8 * 2**20
DEEPEST, MOST_ELEMENTS = 60, 100_000
ON = 0.4
"""Two regions that overlap by more (intersection over union) are of one face: programs draw them larger or
smaller than each other."""
Shares = tuple[float, float, float, float]
SAME = 0.99
_SEP = "\x1f"
_TO_UPRIGHT = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}
_BACK = {6: 8, 8: 6}


@dataclass(frozen=True, slots=True)
class Region:
    """A face in a picture: its middle, width and height as shares of the picture's. ours: written here."""

    name: str
    x: float
    y: float
    w: float
    h: float
    ours: bool = False

    def upright(self, turn: int) -> Region:
        """The same in the picture that EXIF's orientation turns upright."""
        turn = turn if turn in _TO_UPRIGHT else 1
        x, y = _TO_UPRIGHT[turn](self.x, self.y)
        w, h = (self.h, self.w) if turn >= 5 else (self.w, self.h)
        return replace(self, x=x, y=y, w=w, h=h)

    def stored(self, turn: int) -> Region:
        """The way back."""
        return self.upright(_BACK.get(turn, turn))

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - self.w / 2, self.y - self.h / 2, self.w, self.h

    def overlap(self, other: Region) -> float:
        """Intersection over union."""
        return iou(self.box, other.box)


class BadXmp(ValueError):
    """Why XMP is not read, or not written into."""


# ---- reading


@dataclass(slots=True)
class Element:
    """One element: its name with its namespace, and where it stands in the bytes: start, closing (its closing
    tag; 0 where it has none) and end, behind its last.
    """

    name: str
    attributes: dict[str, str]
    start: int
    end: int = 0
    closing: int = 0
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, name: str) -> list[Element]:
        found = [self] if self.name == name else []
        for child in self.children:
            found += child.all(name)
        return found

    def value(self, name: str) -> str:
        """A simple property of a structure, in any of RDF's forms."""
        for one in (self, *(child for child in self.children if child.name == f"{RDF}{_SEP}Description")):
            if name in one.attributes:
                return one.attributes[name]
            for child in one.children:
                if child.name == name:
                    return child.text.strip()
        return ""


def parse(data: bytes) -> Element:
    """XMP as elements. Raises BadXmp for what is no XML in UTF-8, has a DTD, is too deep or too large."""
    if len(data) > LARGEST_XMP:
        raise BadXmp(f"its XMP is larger than {LARGEST_XMP >> 20} MiB")
    parser = expat.ParserCreate("utf-8", _SEP)
    parser.buffer_text = True
    root, stack, count = Element("", {}, 0), [], 0
    stack.append(root)

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) > DEEPEST or count > MOST_ELEMENTS:
            raise BadXmp("its XMP is deeper or larger than any that programs write")
        one = Element(name, attributes, parser.CurrentByteIndex)
        stack[-1].children.append(one)
        stack.append(one)

    def end(name: str) -> None:
        one, at = stack.pop(), parser.CurrentByteIndex
        if data[at : at + 2] == b"</":
            one.closing, one.end = at, data.find(b">", at) + 1
        else:  # <a/>, at whose end it is told to end
            one.end = at

    def text(words: str) -> None:
        stack[-1].text += words

    def refuse(*_: Any) -> None:
        raise BadXmp("its XMP has a DTD, which none has")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise BadXmp(f"its XMP is damaged: {error}") from error
    return root


def regions_in(data: bytes) -> list[Region]:
    """The faces with names in XMP, as they lie in the stored picture. Raises BadXmp."""
    root = parse(data)
    found = []
    for item in _items(root, f"{MWG}{_SEP}RegionList"):
        kind = item.value(f"{MWG}{_SEP}Type")
        name = _clean(item.value(f"{MWG}{_SEP}Name"))
        area = _area(item)
        if name and area is not None and kind in ("", "Face"):
            found.append(Region(name, *area, bool(item.value(f"{OURS}{_SEP}by"))))
    for item in _items(root, f"{MPRI}{_SEP}Regions"):
        name = _clean(item.value(f"{MPREG}{_SEP}PersonDisplayName"))
        area = _numbers(item.value(f"{MPREG}{_SEP}Rectangle").split(","))
        if name and area is not None:
            x, y, w, h = area
            region = Region(name, x + w / 2, y + h / 2, w, h)
            if not any(one.overlap(region) > ON for one in found):
                found.append(region)
    return found


def packets(data: bytes) -> list[bytes]:
    """The XMP in a picture's bytes, of whatever format: it always stands there as it is."""
    found = []
    for match in re.finditer(rb"<x:xmpmeta[\s>]", data):
        end = data.find(b"</x:xmpmeta>", match.start(), match.start() + LARGEST_XMP)
        if end > 0:
            found.append(data[match.start() : end + len(b"</x:xmpmeta>")])
    return found


def _items(root: Element, name: str) -> list[Element]:
    return [item for listed in root.all(name) for item in listed.all(f"{RDF}{_SEP}li")]


def _area(item: Element) -> Shares | None:
    for area in item.all(f"{MWG}{_SEP}Area"):
        unit = area.value(f"{AREA}{_SEP}unit")
        numbers = _numbers([area.value(f"{AREA}{_SEP}{key}") for key in "xywh"])
        return numbers if unit in ("", "normalized") else None
    return None


def _numbers(words: Sequence[str]) -> Shares | None:
    """Four shares of a picture; None where they are none."""
    try:
        x, y, w, h = (float(word) for word in words)
    except ValueError:
        return None
    fits = all(-0.5 <= value <= 1.5 for value in (x, y)) and all(0 < value <= 1.5 for value in (w, h))
    return (x, y, w, h) if fits else None


def _clean(name: str) -> str:
    return " ".join(name.split())


# ---- writing


def with_regions(old: bytes | None, regions: Sequence[Region], size: tuple[int, int]) -> bytes:
    """A sidecar with these regions, all of them of the stored picture, which has this size. All else that
    stands in it stays as it is, byte by byte; so do regions of others that none of these lies on, and those
    that say the same name. What was written here before and is none of `regions` goes. Raises BadXmp.
    """
    if old is None:
        return _EMPTY.replace("@", _block(regions, size)).encode()
    root = parse(old)
    rdfs = [one for one in root.all(f"{RDF}{_SEP}RDF") if one.closing]
    if not rdfs:
        raise BadXmp("there is no XMP in it that anything could be added to")
    wanted = list(regions)
    cuts: list[tuple[int, int, bytes]] = []
    bags: list[Element] = []
    for whole in root.all(f"{MWG}{_SEP}Regions"):
        lists = whole.all(f"{MWG}{_SEP}RegionList")
        there = [bag for one in lists for bag in one.children if bag.closing and bag.name in _BAGS]
        if not there:
            cuts.append((whole.start, whole.end, b""))
        for bag in there:
            cuts += [(item.start, item.end, b"") for item in bag.children if _goes(item, wanted)]
        bags += there
    if bags:
        items = "".join(_item(one, _ALL_NAMES) for one in wanted)
        cuts.append((bags[0].closing, bags[0].closing, items.encode()))
    elif wanted:
        cuts.append((rdfs[0].closing, rdfs[0].closing, _block(wanted, size).encode()))
    out, at = [], 0
    for start, end, put in sorted(cuts):
        out += [old[at:start], put]
        at = end
    new = b"".join([*out, old[at:]])
    parse(new)
    return new


def _goes(item: Element, wanted: list[Region]) -> bool:
    """Whether a region that stands there makes room for one that is wanted, or was written here. One that
    says the same already stays, and is wanted no more.
    """
    area = _area(item)
    if area is None or item.value(f"{MWG}{_SEP}Type") not in ("", "Face"):
        return False
    there = Region(_clean(item.value(f"{MWG}{_SEP}Name")), *area)
    ours = bool(item.value(f"{OURS}{_SEP}by"))
    on = [one for one in wanted if there.overlap(one) > (SAME if ours else ON)]
    if same := [one for one in on if one.name == there.name]:
        wanted.remove(max(same, key=there.overlap))
        return False
    return ours or bool(on)


_BAGS = (f"{RDF}{_SEP}Bag", f"{RDF}{_SEP}Seq")
_NAMES = f'xmlns:mwg-rs="{MWG}" xmlns:stArea="{AREA}" xmlns:facesearch="{OURS}"'
_ALL_NAMES = f' xmlns:rdf="{RDF}" {_NAMES}'
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="facesearch">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n@ </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
)


def _block(regions: Sequence[Region], size: tuple[int, int]) -> str:
    items = "".join(map(_item, regions))
    return (
        f'  <rdf:Description rdf:about="" xmlns:rdf="{RDF}"\n'
        f'    {_NAMES} xmlns:stDim="{DIM}">\n'
        '   <mwg-rs:Regions rdf:parseType="Resource">\n'
        f'    <mwg-rs:AppliedToDimensions stDim:w="{size[0]}" stDim:h="{size[1]}" stDim:unit="pixel"/>\n'
        f"    <mwg-rs:RegionList>\n     <rdf:Bag>\n{items}     </rdf:Bag>\n    </mwg-rs:RegionList>\n"
        "   </mwg-rs:Regions>\n  </rdf:Description>\n"
    )


def _item(one: Region, names: str = "") -> str:
    x, y, w, h = (f"{value:.6f}" for value in (one.x, one.y, one.w, one.h))
    name = quoteattr(_NO_XML.sub("\ufffd", one.name))
    return (
        f'      <rdf:li{names}><rdf:Description mwg-rs:Name={name} mwg-rs:Type="Face"'
        ' facesearch:by="facesearch">'
        f'<mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:w="{w}" stArea:h="{h}"'
        ' stArea:unit="normalized"/></rdf:Description></rdf:li>\n'
    )


_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML holds."""
