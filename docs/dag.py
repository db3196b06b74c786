"""docs/images/dag.svg, the pipeline as a picture made of dvc.yaml: `python -m docs.dag` draws it anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import yaml
from dvc.repo import Repo
from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout
from grandalf.routing import EdgeViewer, route_with_lines

from soundaug.running.outputs import whole

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/images/dag.svg"

WIDTH, HEIGHT = 168, 42  # of a stage, in pixels
ACROSS, DOWN, MARGIN = 24, 28, 16  # between stages, and around all
FILLS = ("#eceff3", "#d7e7fa", "#d9f0dd", "#fdeccd")  # of stages that run once, and over 1, 2 and 3 lists


class Numbered:
    """A vertex or an edge with a number as its hash: grandalf's sets, whose order counts, then have one order."""

    def __init__(self, number: int, *of: object) -> None:
        super().__init__(*of)
        self.number = number

    def __hash__(self) -> int:
        return self.number


class Stage(Numbered, Vertex):  # type: ignore[misc]
    """A stage."""


class Arrow(Numbered, Edge):  # type: ignore[misc]
    """An arrow from a stage to one that reads what it makes."""


@dataclass
class Box:
    """A stage's place for grandalf: size, and centre once it is laid out."""

    w: int = WIDTH
    h: int = HEIGHT
    xy: tuple[float, float] = (0.0, 0.0)


@dataclass
class Layout:
    """Centres of the stages, and the points [x, y] that each arrow passes."""

    centres: dict[str, tuple[float, float]] = field(default_factory=dict)
    arrows: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)


def stage_graph(root: Path) -> nx.DiGraph:
    """DVC's own graph of the stages, those of a matrix as one; arrows from what is made to who reads it.

    An arrow that follows from others is left out: where c reads a and b, and b reads a, only a -> b -> c.
    """
    graph = nx.DiGraph()
    stages = Repo(str(root)).index.graph
    graph.add_nodes_from(sorted({_name(stage) for stage in stages.nodes}))
    graph.add_edges_from(sorted({(_name(made), _name(reader)) for reader, made in stages.edges}))
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    reduced = nx.DiGraph()
    reduced.add_nodes_from(graph)
    reduced.add_edges_from(sorted(nx.transitive_reduction(graph).edges))  # whose own order is that of hashes of names
    return reduced


def _name(stage: object) -> str:
    return str(getattr(stage, "name", "")).partition("@")[0]


def lay_out(graph: nx.DiGraph) -> Layout:
    """In layers from top to bottom (Sugiyama et al. 1981), unconnected parts side by side."""
    layout, left = Layout(), float(MARGIN)
    for part in sorted(nx.weakly_connected_components(graph), key=len, reverse=True):
        vertices = {name: Stage(number, name) for number, name in enumerate(graph) if name in part}
        for vertex in vertices.values():
            vertex.view = Box()
        edges = [Arrow(number, vertices[a], vertices[b]) for number, (a, b) in enumerate(graph.edges) if a in part]
        for edge in edges:
            edge.view = EdgeViewer()
        sugiyama = SugiyamaLayout(Graph(list(vertices.values()), edges).C[0])
        sugiyama.xspace, sugiyama.yspace, sugiyama.route_edge = ACROSS, DOWN, route_with_lines
        sugiyama.init_all()
        sugiyama.draw(12)
        points = [vertex.view.xy for vertex in vertices.values()] + [p for edge in edges for p in edge.view._pts]
        x0 = left + WIDTH / 2 - min(x for x, _ in points)
        y0 = MARGIN + HEIGHT / 2 - min(vertex.view.xy[1] for vertex in vertices.values())
        left += max(x for x, _ in points) - min(x for x, _ in points) + WIDTH + ACROSS
        for name, vertex in vertices.items():
            layout.centres[name] = (vertex.view.xy[0] + x0, vertex.view.xy[1] + y0)
        for edge in edges:
            layout.arrows[edge.v[0].data, edge.v[1].data] = [(x + x0, y + y0) for x, y in edge.view._pts]
    return layout


def draw(graph: nx.DiGraph, matrices: Mapping[str, Sequence[str]]) -> ElementTree.Element:
    """The picture; ``matrices`` names the lists that a stage runs over."""
    layout = lay_out(graph)
    width = max(x for x, _ in layout.centres.values()) + WIDTH / 2 + MARGIN
    height = max(y for _, y in layout.centres.values()) + HEIGHT / 2 + MARGIN
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width:.0f} {height:.0f}",
            "width": f"{width:.0f}",
            "height": f"{height:.0f}",
            "font-family": "system-ui, sans-serif",
            "text-anchor": "middle",
            "role": "img",
        },
    )
    ElementTree.SubElement(svg, "title").text = "The stages of the pipeline"
    ElementTree.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff", "rx": "8"})
    tip = {"id": "tip", "viewBox": "0 0 8 8", "refX": "7", "refY": "4", "markerWidth": "7", "markerHeight": "7"}
    marker = ElementTree.SubElement(ElementTree.SubElement(svg, "defs"), "marker", tip | {"orient": "auto"})
    ElementTree.SubElement(marker, "path", {"d": "M0 0 L8 4 L0 8 z", "fill": "#5a6472"})
    for (made, reader), points in layout.arrows.items():
        line = {"fill": "none", "stroke": "#5a6472", "stroke-width": "1.4", "marker-end": "url(#tip)"}
        path = _path(layout.centres[made], points[1:-1], layout.centres[reader])
        ElementTree.SubElement(svg, "path", {"id": f"{made}-to-{reader}", "d": path} | line)
    for name, (x, y) in layout.centres.items():
        group = ElementTree.SubElement(svg, "g", {"id": name})
        box = {"x": f"{x - WIDTH / 2:.1f}", "y": f"{y - HEIGHT / 2:.1f}", "width": f"{WIDTH}", "height": f"{HEIGHT}"}
        lists = matrices.get(name, ())
        fill = {"rx": "6", "fill": FILLS[min(len(lists), len(FILLS) - 1)], "stroke": "#5a6472"}
        ElementTree.SubElement(group, "rect", box | fill)
        lines = [(name, "14"), (f"each {', '.join(lists)}", "11")] if lists else [(name, "14")]
        for row, (text, size) in enumerate(lines):
            place = {"x": f"{x:.1f}", "y": f"{y + 5 - 8 * (len(lines) - 1) + 16 * row:.1f}", "font-size": size}
            ElementTree.SubElement(group, "text", place | {"fill": "#1c2430"}).text = text
    ElementTree.indent(svg)
    return svg


def _path(start: tuple[float, float], between: Sequence[tuple[float, float]], end: tuple[float, float]) -> str:
    """From the lower edge of one stage to the upper edge of another, upright at every point it passes."""
    points = [(start[0], start[1] + HEIGHT / 2), *between, (end[0], end[1] - HEIGHT / 2)]
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        parts.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    return " ".join(parts)


def drawn() -> bytes:
    """The picture of this repository's pipeline as SVG, the same bytes every time."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    picture = draw(stage_graph(ROOT), {name: list(stage.get("matrix", ())) for name, stage in stages.items()})
    return ElementTree.tostring(picture, encoding="utf-8") + b"\n"


def main() -> None:
    """Write it to docs/images."""
    with whole(PICTURE) as partial:
        partial.write_bytes(drawn())


if __name__ == "__main__":
    main()
