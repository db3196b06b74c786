"""docs/images/dag.svg shows the pipeline of dvc.yaml."""

from itertools import combinations
from xml.etree import ElementTree

import networkx as nx
import pytest
from test_pipeline_definition import STAGES, every, inside

from docs.dag import HEIGHT, PICTURE, WIDTH, draw, drawn, lay_out

SVG = "{http://www.w3.org/2000/svg}"


def shown() -> nx.DiGraph:
    """Stages and arrows of the picture, by the ids of its parts."""
    svg = ElementTree.parse(PICTURE).getroot()
    graph = nx.DiGraph()
    graph.add_nodes_from(group.attrib["id"] for group in svg.findall(f"{SVG}g"))
    graph.add_edges_from(path.attrib["id"].split("-to-") for path in svg.findall(f"{SVG}path"))
    return graph


def test_the_picture_is_up_to_date() -> None:
    """Its arrows and those that follow from them are what dvc.yaml's stages read of each other, and none is spare."""
    made = every("outs")
    wanted = nx.DiGraph()
    wanted.add_nodes_from(STAGES)
    for reader, dep in every("deps"):
        wanted.add_edges_from((maker, reader) for maker, out in made if inside(out, dep) or inside(dep, out))
    picture = shown()
    assert set(picture) == set(STAGES), "python -m docs.dag draws it anew"
    closure = nx.transitive_closure(picture)
    assert set(closure.edges) == set(nx.transitive_closure(wanted).edges), "python -m docs.dag draws it anew"
    assert set(nx.transitive_reduction(picture).edges) == set(picture.edges)


def test_the_picture_is_the_same_whenever_it_is_drawn() -> None:
    assert drawn() == PICTURE.read_bytes()


def test_the_picture_names_the_lists_that_a_stage_runs_over() -> None:
    for group in ElementTree.parse(PICTURE).getroot().findall(f"{SVG}g"):
        name, *lists = [text.text for text in group.findall(f"{SVG}text")]
        assert name == group.attrib["id"]
        assert lists == ([f"each {', '.join(STAGES[name]['matrix'])}"] if "matrix" in STAGES[name] else [])


def test_arrows_go_down_and_no_stage_covers_another() -> None:
    graph = nx.DiGraph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "e"), ("e", "f"), ("f", "d"), ("x", "y")])
    layout = lay_out(graph)
    assert set(layout.arrows) == set(graph.edges)
    for made, reader in graph.edges:
        assert layout.centres[made][1] + HEIGHT < layout.centres[reader][1]
    for one, other in combinations(layout.centres.values(), 2):
        assert abs(one[0] - other[0]) > WIDTH or abs(one[1] - other[1]) > HEIGHT
    svg = draw(graph, {"b": ["fold"]})
    width = float(svg.attrib["width"])
    assert all(WIDTH / 2 < x < width - WIDTH / 2 for x, _ in layout.centres.values())
    (path,) = [path for path in svg.findall("path") if path.attrib["id"] == "x-to-y"]
    numbers = path.attrib["d"].replace("M", "").replace("C", "").split()
    assert float(numbers[1]) == pytest.approx(layout.centres["x"][1] + HEIGHT / 2, abs=0.1)
    assert float(numbers[-1]) == pytest.approx(layout.centres["y"][1] - HEIGHT / 2, abs=0.1)
