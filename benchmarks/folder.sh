# Read by the scripts beside it: the folder they are given must hold the three folds that they work on, and what follows
# is names or numbers. Sets $folder to where it lies from everywhere, since DVC's queue works elsewhere.
if [ ! -f presets/subset.yaml ]; then
    echo "error: $(pwd): found no presets/subset.yaml, wanted to be started in the project's folder" >&2
    exit 1
fi
for one in "$@"; do
    case $one in -*)
        echo "error: found the option $one, wanted names (docs/search.md, docs/ladder.md)" >&2
        exit 1
        ;;
    esac
done
if [ ! -f "$folder/metadata/UrbanSound8K.csv" ]; then
    echo "error: $folder: found no metadata/UrbanSound8K.csv, wanted a folder in UrbanSound8K's layout" >&2
    exit 1
fi
for number in 1 2 10; do
    if [ ! -d "$folder/audio/fold$number" ]; then
        echo "error: $folder: found no audio/fold$number, wanted folds 1, 2 and 10" >&2
        exit 1
    fi
done
folder=$(cd "$folder" && pwd)
case $folder in *[!A-Za-z0-9_./+@%-]*)
    echo "error: $folder: found other characters than letters, digits and _ . / + @ % -, wanted a link to it without (DVC reads it as a setting)" >&2
    exit 1
    ;;
esac
