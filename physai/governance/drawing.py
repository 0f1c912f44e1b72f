"""An assurance case as a picture: GSN shapes, top down, broken claims in red."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping

from physai.governance.case import AssuranceCase, Finding, NodeConfig

__all__ = ["draw_case"]

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 190, 118, 22, 56
_COLORS = {True: ("#eef7f1", "#2b7a4b"), False: ("#fdecea", "#b3362c")}
_QUIET = ("#f5f6f8", "#7b8794")


def draw_case(case: AssuranceCase, findings: Mapping[str, Finding]) -> str:
    """Return the case as an SVG document.

    Args:
        case: The case.
        findings: Of :func:`physai.governance.case.judge_case`.
    """
    places: dict[str, tuple[float, float]] = {}
    width = _place(case, case.top, 0, 0.0, places)
    _place_contexts(case, places)
    columns = max(x for x, _ in places.values()) + 1.0
    rows = max(y for _, y in places.values()) + 1.0
    total_x = max(width, columns) * (_WIDTH + _GAP_X) + _GAP_X
    total_y = rows * (_HEIGHT + _GAP_Y) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_x:.0f} '
        f'{total_y:.0f}" width="{total_x:.0f}" font-family="system-ui, sans-serif">',
        f'<text x="{_GAP_X}" y="24" font-size="16" font-weight="600">'
        f"{html.escape(case.title.en)}</text>",
    ]
    for node in case.nodes:
        if node.id in places:
            parts += [
                _line(places[node.id], places[other], other in node.in_context_of)
                for other in (*node.supported_by, *node.in_context_of)
                if other in places
            ]
    parts += [
        _draw_node(node, places[node.id], findings[node.id])
        for node in case.nodes
        if node.id in places
    ]
    return "\n".join([*parts, "</svg>\n"])


def _place(
    case: AssuranceCase,
    name: str,
    depth: int,
    left: float,
    places: dict[str, tuple[float, float]],
) -> float:
    """Place a node over the middle of what supports it; return the width in columns."""
    if name in places:
        return 0.0
    below, start = case.node(name).supported_by, left
    places[name] = (left, float(depth))
    for other in below:
        left += _place(case, other, depth + 1, left, places)
    width = max(1.0, left - start)
    places[name] = (start + 0.5 * (width - 1.0), float(depth))
    return width


def _place_contexts(
    case: AssuranceCase, places: dict[str, tuple[float, float]]
) -> None:
    for node in case.nodes:
        for number, other in enumerate(node.in_context_of):
            if other not in places and node.id in places:
                x, y = places[node.id]
                side = 1.4 * (number // 2 + 1) * (1 if number % 2 else -1)
                places[other] = (max(0.0, x + side), y)


def _corner(place: tuple[float, float]) -> tuple[float, float]:
    return (
        _GAP_X + place[0] * (_WIDTH + _GAP_X),
        40.0 + place[1] * (_HEIGHT + _GAP_Y),
    )


def _line(a: tuple[float, float], b: tuple[float, float], context: bool) -> str:
    (ax, ay), (bx, by) = _corner(a), _corner(b)
    style = 'stroke="#7b8794" stroke-width="1.3"'
    if context:
        style += ' stroke-dasharray="4 3"'
        y = ay + 0.5 * _HEIGHT
        start, end = (ax, bx + _WIDTH) if bx < ax else (ax + _WIDTH, bx)
        return f'<line x1="{start}" y1="{y}" x2="{end}" y2="{y}" {style}/>'
    return (
        f'<line x1="{ax + 0.5 * _WIDTH}" y1="{ay + _HEIGHT}" '
        f'x2="{bx + 0.5 * _WIDTH}" y2="{by}" {style}/>'
    )


def _shape(node: NodeConfig, x: float, y: float, style: str) -> str:
    w, h = _WIDTH, _HEIGHT
    if node.kind == "strategy":
        points = f"{x + 14},{y} {x + w},{y} {x + w - 14},{y + h} {x},{y + h}"
        return f'<polygon points="{points}" {style}/>'
    if node.kind == "solution":
        return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="56" {style}/>'
    radius = 0 if node.kind == "goal" else 22
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" {style}/>'


def _draw_node(node: NodeConfig, place: tuple[float, float], finding: Finding) -> str:
    x, y = _corner(place)
    judged = node.kind in ("goal", "strategy", "solution")
    fill, edge = _COLORS[finding.holds] if judged else _QUIET
    lines = textwrap.wrap(node.text.en, 27)[:4]
    reason = textwrap.wrap(finding.reason, 32)[:3]
    style = f'fill="{fill}" stroke="{edge}" stroke-width="1.6"'
    text = [_shape(node, x, y, style)]
    mark = "" if not judged else " holds" if finding.holds else " broken"
    rows = [(f"{node.id} {node.kind}{mark}", 10, edge, "600")]
    rows += [(line, 11, "#1c2530", "400") for line in lines]
    rows += [(line, 9, "#52606d", "400") for line in reason]
    top = y + 0.5 * (_HEIGHT - 13.0 * len(rows)) + 10.0
    for number, (line, size, color, weight) in enumerate(rows):
        text.append(
            f'<text x="{x + 0.5 * _WIDTH}" y="{top + 13.0 * number}" '
            f'font-size="{size}" fill="{color}" font-weight="{weight}" '
            f'text-anchor="middle">{html.escape(line)}</text>'
        )
    return "".join(text)
