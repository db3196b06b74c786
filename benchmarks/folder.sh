# Read by the scripts beside it: the folder they are given must hold the three folds that they work on.
case $folder in *[[:space:]]*)
    echo "error: $folder: found a space in the folder's name, wanted none" >&2
    exit 1
    ;;
esac
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
