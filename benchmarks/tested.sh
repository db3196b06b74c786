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

refuse() { # what, what it is, what it should be
    echo "error: tested: $1: found $2, wanted $3" >&2
    exit 1
}

case $percent in *[!0-9.]* | *.*.* | . | '') refuse PERCENT "$percent" "a number, 100 for all recordings" ;; esac
case $kind in alone | on_top) ;; *) refuse KIND "$kind" "alone or on_top" ;; esac
for fold in "$@"; do
    case $fold in *[!0-9]* | '') refuse FOLD "$fold" "the number of a fold" ;; esac
done

choose() { # writes the params to run on a fold, and says in a line which row's they are and where
    python -m benchmarks.search choose --test "$1" --recordings "$percent" --kind "$kind"
}

for fold in "$@"; do choose "$fold" >/dev/null; done # every fold is checked before any runs
for fold in "$@"; do
    chosen=$(choose "$fold")
    echo "$chosen"
    name=$(basename "${chosen##*/test_}" .yaml)
    if [ -f "reports/search/tested/$name/metrics.json" ]; then
        echo "$name: finished before"
        continue
    fi
    # From here on the fold is taken as tested, by these params and no others, should the run be interrupted too.
    mkdir -p "reports/search/tested/$name"
    cp "reports/search/test_$name.yaml" "reports/search/tested/$name/params.yaml"
    cp "reports/search/test_$name.yaml" params.yaml
    dvc exp remove "tested-$name" >/dev/null 2>&1 || : # of an interrupted script
    dvc exp run --name "tested-$name" -S "data.root=$folder" assess_generator assess_controls train_aug train_control
    row=$(echo "$chosen" | cut -d' ' -f3)
    python -m benchmarks.search keep "tested/$name" <"reports/search/$row/settings.txt"
done
python -m benchmarks.tested
