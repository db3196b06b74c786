"""Which of the project's own modules a script imports, transitively (dvc.yaml must list them)."""

import ast
from pathlib import Path

PACKAGES = ("soundaug", "stages")


def module_files(script: Path, root: Path) -> set[str]:
    """Paths relative to ``root`` of ``script`` and of every project module it imports, directly or not."""
    found: set[str] = set()
    queue = [script, root / "soundaug" / "__init__.py"]
    while queue:
        path = queue.pop()
        name = path.relative_to(root).as_posix()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                candidates = [alias.name for alias in node.names]
            else:
                continue
            for candidate in candidates:
                if candidate.split(".")[0] in PACKAGES:
                    queue += _files(root / Path(*candidate.split(".")))
    return found


def _files(path: Path) -> list[Path]:
    if path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    init = path / "__init__.py"
    return [init] if init.is_file() and init.read_text().strip().count("\n") > 0 else []
