"""What stands around a figure in the report and on pages: the value in words, its grade, notes, its definition."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rewards.metrics.result import Definition, Evidence, Result
from rewards.metrics.showing import words
from rewards.metrics.showing.markup import Html, element, join


def told(result: Result, definition: Definition, currency: str, *, failed: bool = False) -> Html:
    """Return the value, where it lies, what was divided by what, and its grade; or why there is none."""
    return element("div", *_told(result, definition, currency, failed=failed), class_="told")


def _told(result: Result, definition: Definition, currency: str, *, failed: bool) -> Iterator[Html]:
    if result.value is None:
        yield element("p", "No figure", class_="value none")
        yield element("p", result.reason_if_null, class_="reason bad" if failed else "reason")
        if result.tables and words.GRADES[result.evidence].is_comparison:
            # What stands beside the figure that there is not is a comparison all the same.
            yield badge(result.evidence)
        return
    yield element("p", words.figure(result.value, result.unit, currency), class_="value")
    said = []
    if result.interval is not None:
        between = words.between(result.interval, result.unit, currency)
        said.append(f"{between[:1].upper()}{between[1:]} ({words.sureness(result.interval)}).")
    counts = words.counted_in_full(result, definition, currency)
    if counts:
        said.append(counts)
    if said:
        yield element("p", " ".join(said))
    yield badge(result.evidence)


def badge(evidence: Evidence) -> Html:
    """Return what a figure rests on as a badge that opens what it means."""
    grade = words.GRADES[evidence]
    shown = element("span", grade.label, class_=f"badge {grade.kind}".strip())
    return element("details", element("summary", shown), element("p", grade.meaning), class_="grade")


def notes(said: Sequence[str]) -> Html | None:
    """Return what must be known beside a figure."""
    return element("ul", *(element("li", each) for each in said), class_="notes") if said else None


def defined(definition: Definition, parameters: Mapping[str, Any], *, is_open: bool = False) -> Html:
    """Return what a metric means, folded unless it is to be open."""
    rows = [
        ("Formula", definition.formula),
        ("Above", definition.numerator),
        ("Below", definition.denominator),
        ("Time", definition.window),
        ("From", definition.source),
    ]
    if parameters:
        given = (f"{name.replace('_', ' ')}: {words.argument(each)}" for name, each in parameters.items())
        rows.append(("Worked out with", "; ".join(given)))
    facts = (element("div", element("dt", term), element("dd", said)) for term, said in rows if said)
    edges = element("ul", *(element("li", each) for each in definition.edges)) if definition.edges else None
    inside = join([element("dl", *facts, class_="facts"), edges])
    name = element("p", "Its name in the API: ", element("code", definition.name), class_="help")
    summary = element("summary", "What this means", _hidden(definition.title))
    return element("details", summary, inside, name, class_="more definition", open=is_open)


def _hidden(title: str) -> Html:
    return element("span", f": {title}", class_="visually-hidden")
