"""Files of people's programs made for tests: spreadsheets, Word, PDF and HTML, as small as they can be."""

from __future__ import annotations

import html
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence

import docx

Block = str | tuple[int, str] | Sequence[Sequence[str]]
"""A paragraph, a heading with its level, or a table."""


def html_table(rows: Sequence[Mapping[str, str]], encoding: str = "utf-8") -> bytes:
    """Return a page with the rows in a table, between a menu and a footer."""

    def line(cells: Sequence[str], tag: str) -> str:
        return (
            "<tr>" + "".join(f"<{tag}>{html.escape(cell).replace(chr(10), '<br>')}</{tag}>" for cell in cells) + "</tr>"
        )

    body = line([*rows[0]], "th") + "".join(line([*row.values()], "td") for row in rows)
    return (
        f'<!doctype html><html><head><meta charset="{encoding}"><title>表</title></head><body><nav>首页</nav>'
        f"<table>{body}</table><footer>版权所有</footer></body></html>"
    ).encode(encoding)


def sheet(rows: list[list[object]], *, names: tuple[str, ...] = ("Sheet1",)) -> bytes:
    """Return the least workbook that spreadsheets open: the rows on the first sheet, one cell on each other."""

    def cell(column: int, row: int, value: object) -> str:
        place = f"{chr(65 + column)}{row}"
        if value is None:
            return ""
        if isinstance(value, int | float):
            return f'<c r="{place}"><v>{value}</v></c>'
        text = str(value).replace("&", "&amp;").replace("<", "&lt;")
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'

    def part(cells: list[list[object]]) -> str:
        lines = "".join(
            f'<row r="{number}">' + "".join(cell(place, number, value) for place, value in enumerate(line)) + "</row>"
            for number, line in enumerate(cells, 1)
        )
        return f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{lines}</sheetData></worksheet>'

    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    numbered = list(enumerate(names, 1))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/>'
            + "".join(
                f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{types}.worksheet+xml"/>'
                for n, _ in numbered
            )
            + "</Types>",
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
            f'xmlns:r="{office}"><sheets>'
            + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in numbered)
            + "</sheets></workbook>",
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships">'
            + "".join(
                f'<Relationship Id="rId{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>'
                for n, _ in numbered
            )
            + "</Relationships>",
        )
        for n, _ in numbered:
            book.writestr(f"xl/worksheets/sheet{n}.xml", part(rows if n == 1 else [["more"]]))
    return stream.getvalue()


def word(blocks: Sequence[Block], title: str = "") -> bytes:
    """Return a Word document of paragraphs, headings and tables."""
    file = docx.Document()
    file.core_properties.title = title
    for block in blocks:
        if isinstance(block, str):
            file.add_paragraph(block)
        elif isinstance(block, tuple):
            file.add_heading(block[1], block[0])
        else:
            table = file.add_table(len(block), len(block[0]))
            for cells, row in zip(block, table.rows, strict=True):
                for text, cell in zip(cells, row.cells, strict=True):
                    cell.text = text
    stream = io.BytesIO()
    file.save(stream)
    return stream.getvalue()


def changed(image: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return an archive, such as a Word document or a spreadsheet, with one of its parts changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(image)) as before, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, change(content) if name == part else content)
    return stream.getvalue()


def pdf(pages: Sequence[Sequence[str]], *, title: str = "", locked: bool = False) -> bytes:
    """Return a PDF whose pages hold these lines; a page without lines is as a scanner leaves it.

    The font is named and not embedded: a ToUnicode map says which character each code is, as in files of word processors.
    """
    codes = {one: code for code, one in enumerate(sorted({one for page in pages for line in page for one in line}), 1)}
    mapped = [f"<{code:04x}> <{one.encode('utf-16-be').hex()}>" for one, code in codes.items()]
    blocks = [mapped[start : start + 100] for start in range(0, len(mapped), 100)]
    cmap = "begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
    cmap += "".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar\n" for block in blocks) + "endcmap"
    kids = " ".join(f"{7 + 2 * place} 0 R" for place in range(len(pages)))
    system = "<< /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [4 0 R] /ToUnicode 5 0 R >>",
        f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /CIDSystemInfo {system} /DW 1000 >>",
        f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream",
        f"<< /Title <FEFF{title.encode('utf-16-be').hex()}> >>",
    ]
    for place, page in enumerate(pages):
        shown = "".join("<" + "".join(f"{codes[one]:04x}" for one in line) + "> Tj T*\n" for line in page)
        content = f"BT /F 10 Tf 40 760 Td 14 TL\n{shown}ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> "
            f"/Contents {8 + 2 * place} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    lock = ""
    if locked:
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >>")
        lock = f"/Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    image, places = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(image))
        image += f"{number} 0 obj\n{one}\nendobj\n".encode("ascii")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size, start = len(objects) + 1, len(image)
    image += f"xref\n0 {size}\n0000000000 65535 f \n{table}".encode()
    image += f"trailer << /Size {size} /Root 1 0 R /Info 6 0 R {lock} >>\nstartxref\n{start}\n%%EOF".encode()
    return bytes(image)
