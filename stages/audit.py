"""audit: look for what a held-out fold and what was trained for it have in common; fail where it is too much.

Reads data/features, data/generated, data/models and data/runs; writes audit.json and near_duplicates.csv to reports/.
"""

import argparse
from pathlib import Path

from soundaug.audit.checks import audit
from soundaug.audit.closeness import refuse, write_pairs
from soundaug.audit.generator_scale import check_generator_scale
from soundaug.audit.near_trained import look_for
from soundaug.audit.normalisation import check_normalisation
from soundaug.params import load_params
from soundaug.running.errors import run_stage
from soundaug.running.outputs import write_json

DATA = Path("data")
REPORTS = Path("reports")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    params = load_params()
    found = audit(DATA, params)
    check_normalisation(DATA, params)
    check_generator_scale(DATA, params)
    near = look_for(DATA, params)
    write_pairs(REPORTS / "near_duplicates.csv", near)
    write_json(REPORTS / "audit.json", found.metrics | near.metrics)
    refuse(near, params, REPORTS / "near_duplicates.csv")
    print(
        f"audit: {found.test_clips} test clips, {found.pairs} pairs, {found.models} models; {len(found.findings)} "
        f"leaks of the split's own making, {near.share:.2%} of the test clips nearly the same as a clip trained on"
    )


if __name__ == "__main__":
    run_stage(main)
