#!/bin/sh
# The search for a recipe that helps, each row an experiment of DVC's: `sh benchmarks/search.sh FOLDER [ROW ...]`.
# docs/search.md tells what each row is, how long it takes, and how settings are chosen and then tested once.
#
# FOLDER is in UrbanSound8K's layout and holds folds 1, 2 and 10. Every fold trains alone and the two others are tested,
# so that settings for a test fold are chosen by the cells that hold no clip of it. A row's figures are kept in
# reports/search/ROW; started again, the script goes on with the rows that are not there. One that was made with other
# settings is not written over: the script stops. SEARCH_SETTINGS holds further settings of every row, such as "generator.steps=2 training.steps=10".
# It writes params.yaml and dvc.lock, as any experiment does: run it in a clone of its own.
# SEARCH_QUEUE=1 only queues the rows that are missing: then `dvc queue start`, and the script again to keep them.
set -euf
folder=${1:?"the folder in UrbanSound8K's layout, folds 1, 2 and 10"}
shift
. "$(dirname "$0")/folder.sh"
common="data.held_out=others seeds=[0,1,2] controls=[]"

varied="generate.method=variation generate.steps=20" # of which the strengths are whole steps

rows() { # every row, its name and what it changes of presets/subset.yaml; first what is likely to tell most an hour
    $1 clips100
    # What the classifier makes of these clips: none is made anew.
    $1 recordings100 'controls=[waveform,mixup,slerp]'
    $1 pretraining30 augmentation.pretraining=0.3
    $1 on_waveform augmentation.on_top_of=waveform 'controls=[waveform]'
    $1 share50 augmentation.share=0.5
    $1 soft50 augmentation.soft_labels=0.5
    $1 share25 augmentation.share=0.25
    $1 soft100 augmentation.soft_labels=1.0
    # Fewer recordings: one generator a share, of half the steps, the controls beside it, and then what the classifier
    # makes of its clips.
    for percent in 10 25; do
        regime="data.recordings_share=0.$percent generate.single_recording=within generator.steps=400"
        $1 recordings$percent $regime 'controls=[waveform,mixup,slerp]'
        $1 pretraining30_at$percent $regime augmentation.pretraining=0.3
        $1 on_waveform_at$percent $regime augmentation.on_top_of=waveform 'controls=[waveform]'
        $1 share50_at$percent $regime augmentation.share=0.5
        $1 soft50_at$percent $regime augmentation.soft_labels=0.5
        $1 variation50_at$percent $regime $varied 'generate.strength=[0.5]'
        # Scarce labels, plentiful audio: the generator hears the other recordings too, for as many steps as all take.
        unlabelled="$regime generator.unlabelled=true generator.steps=800"
        $1 unlabelled$percent $unlabelled 'controls=[pseudo_label]'
        $1 unlabelled_on_waveform_at$percent $unlabelled augmentation.on_top_of=waveform 'controls=[waveform]'
        $1 unlabelled_variation70_at$percent $unlabelled $varied 'generate.strength=[0.7]'
    done
    # The recipe: shares of the parents, the choice among candidates, ways to make clips, clips per class.
    $1 alpha50 'generate.alpha=[0.5]' # as published
    $1 best_of_4 generate.candidates=4
    $1 variation50 $varied 'generate.strength=[0.5]'
    $1 alpha_wide 'generate.alpha=[0.2,0.8]'
    $1 clips25 generate.per_class=25
    $1 clips50 generate.per_class=50
    $1 clips200 generate.per_class=200
    $1 variation30 $varied 'generate.strength=[0.3]'
    $1 variation70 $varied 'generate.strength=[0.7]'
    $1 alpha_near 'generate.alpha=[0.1,0.5]'
    $1 recordings50 data.recordings_share=0.5 'controls=[waveform,mixup,slerp]'
    $1 on_waveform_at50 data.recordings_share=0.5 augmentation.on_top_of=waveform 'controls=[waveform]'
    $1 unlabelled50 data.recordings_share=0.5 'controls=[pseudo_label]' generator.unlabelled=true
    $1 clips400 generate.per_class=400
    $1 clips800 generate.per_class=800
}

show() { # one line: its name and all its settings, what comes later wins
    name=$1
    shift
    echo "$name" $common "$@" ${SEARCH_SETTINGS:-}
}

run() {
    name=$1
    shift
    case " $wanted " in *" $name "*) ;; *) return 0 ;; esac
    kept=reports/search/$name
    asked=$(printf '%s\n' $common "$@" ${SEARCH_SETTINGS:-})
    if [ -e "$kept" ]; then # with these settings, as was checked
        echo "row $name: finished before"
        return 0
    fi
    options="-S data.root=$folder" # which is no setting: a row is the same wherever the clips lie
    for setting in $asked; do options="$options -S $setting"; done
    # And what leads to them; without the report, its sounds and the restyled music.
    targets="assess_generator assess_controls train_aug train_control"
    [ "$(echo "$asked" | grep '^controls=' | tail -n 1)" != "controls=[]" ] || targets="assess_generator train_aug"
    case $queued in *" search-$name "*)
        echo "row $name: queued before"
        return 0
        ;;
    esac
    cp presets/subset.yaml params.yaml                       # else the last row's settings would stay
    dvc exp remove "search-$name" >/dev/null 2>&1 || : # of an interrupted script, of the queue, or of other settings
    if [ -n "${SEARCH_QUEUE:-}" ]; then
        dvc exp run --queue --name "search-$name" $options $targets
        return 0
    fi
    dvc exp run --name "search-$name" $options $targets # what ran in the queue comes out of DVC's run cache
    printf '%s\n' "$asked" | python -m benchmarks.search keep "$name"
}

# Every row is checked before any runs.
names=$(rows show | python -m benchmarks.search check "$@")
wanted=" $(echo $names) "
queued=""
if [ -n "${SEARCH_QUEUE:-}" ]; then # what waits, runs or is done there is left alone, what failed is queued anew
    queued=" $(dvc queue status | grep -E '(Queued|Running|Success) *$' | grep -o 'search-[A-Za-z0-9_]*' | tr '\n' ' ')" || :
fi
rows run
[ -n "${SEARCH_QUEUE:-}" ] || python -m benchmarks.search table
