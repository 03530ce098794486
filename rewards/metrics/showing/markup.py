"""HTML written without templates: for the report, which is a file, and for figures that pages show as well."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is HTML already. Whatever else is put into an element is escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return itself, which tells templates that it need not be escaped."""
        return self


_VOID = frozenset({"meta", "br", "col", "hr"})


def element(name: str, /, *inside: object, **attributes: object) -> Html:
    """Return an element.

    Args:
        name: of the element.
        inside: texts, which are escaped, :class:`Html`, which is not, and None, which is nothing.
        attributes: by name; a trailing underscore is dropped and others are dashes: ``class_``, ``aria_label``. True
            is an attribute without a value, None and False are none.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(inside)}</{name}>")


def join(parts: Iterable[object]) -> Html:
    """Return parts one after the other, texts escaped."""
    return Html("".join("" if each is None else text(each) for each in parts))


def text(value: object) -> Html:
    """Return a value as HTML."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
