"""What a browser posts of a form, as it stands in a page: every field that is filled in, chosen or ticked."""

from html.parser import HTMLParser

from api.pages.document_form.kinds import SectionKind, document_kind
from api.pages.document_form.nodes import Remark
from api.pages.document_form.showing import Form
from api.pages.rendering import _environment


class _Posting(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.posted: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self._area: str | None = None
        self._text = ""
        self._select: str | None = None
        self._options: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if "id" in attributes:
            self.ids.append(attributes["id"])
        match tag:
            case "input":
                if attributes.get("type") in ("checkbox", "radio") and "checked" not in attributes:
                    return
                # A browser takes line ends out of a line.
                value = attributes.get("value", "").replace("\n", "").replace("\r", "")
                self._post(attributes["name"], value)
            case "textarea":
                self._area, self._text = attributes["name"], ""
            case "select":
                self._select, self._options = attributes["name"], []
            case "option":
                self._options.append((attributes["value"], "selected" in attributes))

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            text = self._text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n")
            self._post(self._area, text.replace("\n", "\r\n"))
        elif tag == "select" and self._select is not None:
            chosen = [value for value, is_selected in self._options if is_selected]
            self._post(self._select, chosen[-1] if chosen else self._options[0][0])

    def _post(self, name: str, value: str) -> None:
        self.posted.setdefault(name, []).append(value)


def posted(html: str) -> dict[str, list[str]]:
    parser = _Posting()
    parser.feed(html)
    assert len(parser.ids) == len(set(parser.ids)), "an id comes twice"
    return parser.posted


def shown(
    data: object, *, remarks: list[Remark] | None = None, currency: str = "GBP", path: tuple = ()
) -> str:
    """The HTML of a form for the whole document, or one part of it."""
    macros = _environment().get_template("admin/program/form.html").module
    kind = document_kind()
    assert isinstance(kind, SectionKind)
    node = Form(currency=currency, remarks=remarks or []).section(kind, data, path, "Program")
    return str(macros.show(node))
