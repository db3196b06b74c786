"""What is told of the machine."""

import re

from soundaug.environment import environment


def test_environment_names_versions() -> None:
    found = environment()
    assert isinstance(found["packages"], dict)
    assert re.match(r"\d+\.\d+", found["packages"]["numpy"])
    assert found["cores"]
