#!/bin/sh
# What the search chose, run once on every test fold: `sh benchmarks/tested.sh FOLDER PERCENT KIND [FOLD ...]`, after
# benchmarks/search.sh. docs/search.md tells how settings are chosen.
#
# FOLDER is in UrbanSound8K's layout and holds folds 1, 2 and 10; PERCENT is the share of the recordings whose rows are
# chosen among, 100 for all of them; KIND is alone, or on_top for rows with augmentation.on_top_of. What a fold came to
# is kept in reports/search/tested; started again, the script goes on with the folds that are not there. It writes
# params.yaml and dvc.lock, as any experiment does: run it in a clone of its own.
set -euf
folder=${1:?"the folder in UrbanSound8K's layout, folds 1, 2 and 10"}
percent=${2:?"the percent of the recordings whose rows are chosen among"}
kind=${3:?"alone, or on_top"}
shift 3
[ $# -gt 0 ] || set -- 1 2 10
. "$(dirname "$0")/folder.sh"

for fold in "$@"; do
    name=fold${fold}_${percent}_$kind
    chosen=$(python -m benchmarks.search choose --test "$fold" --recordings "$percent" --kind "$kind")
    echo "$chosen"
    if [ -f "reports/search/tested/$name/metrics.json" ]; then
        echo "$name: finished before"
        continue
    fi
    cp "reports/search/test_$name.yaml" params.yaml
    dvc exp remove "tested-$name" >/dev/null 2>&1 || : # of an interrupted script
    dvc exp run --name "tested-$name" -S "data.root=$folder" assess_generator train_aug train_control
    row=$(echo "$chosen" | cut -d' ' -f3)
    python -m benchmarks.search keep "tested/$name" <"reports/search/$row/settings.txt"
done
python -m benchmarks.tested
