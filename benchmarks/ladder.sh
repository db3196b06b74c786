#!/bin/sh
# From the published protocol to the rigorous one, a change at a time, each rung an experiment of DVC's:
# `sh benchmarks/ladder.sh FOLDER [RUNG ...]`. docs/ladder.md tells what each is and how long it takes.
#
# FOLDER is in UrbanSound8K's layout and holds folds 1, 2 and 10. A rung's metrics and params are kept in
# reports/ladder/RUNG; started again, the script goes on with the rungs that are not there. One that was made with other
# settings is not written over: the script stops. LADDER_SETTINGS holds further settings of every rung, such as
# "generator.steps=20 generate.per_class=5": what it names no rung changes. The table and the picture go to reports/ladder.
set -euf
folder=${1:?"the folder in UrbanSound8K's layout, folds 1, 2 and 10"}
shift
. "$(dirname "$0")/folder.sh"

# The preset is presets/subset.yaml. Arms base and aug alone; music is there for the generator of the first rungs, so
# that the stylizer, which nothing here is about, is as small as can be.
common="controls=[] music.pieces=24 music.held_out_pieces=1 stylizer.autoencoder.steps=2
    stylizer.text.steps=2 stylizer.steps=2 stylize.judge_steps=2 stylize.samples=1 stylize.steps=2
    stylize.iterations=2 stylize.strengths=[0.5] stylize.strength=0.5"

show() { # one line: its name and all its settings, what comes later wins
    echo "$name" $settings ${LADDER_SETTINGS:-}
}

run() {
    case $wanted in *" $name "*) ;; *) return 0 ;; esac
    if [ -e "$kept" ]; then # with these settings, as was checked
        echo "rung $name: finished before"
        return 0
    fi
    cp presets/subset.yaml params.yaml # else the last rung's settings would stay
    options="-S data.root=$folder" # which is no setting: a rung is the same wherever the clips lie
    for setting in $asked; do options="$options -S $setting"; done
    dvc exp remove "ladder-$name" >/dev/null 2>&1 || : # of an interrupted script, or of other settings
    dvc exp run --name "ladder-$name" $options
    rm -rf "$kept.partial"
    mkdir -p "$kept.partial"
    cp reports/metrics.json reports/environment.json reports/plots/accuracy.csv "$kept.partial"
    sed 's#^  root: .*#  root: data/source#' params.yaml >"$kept.partial/params.yaml"
    printf '%s\n' "$asked" >"$kept.partial/settings.txt"
    mv "$kept.partial" "$kept"
}

rung() { # name, and what it changes of the rung before
    name=$1
    shift
    settings="$settings $*"
    kept=reports/ladder/$name
    asked=$(printf '%s\n' $settings ${LADDER_SETTINGS:-})
    $each
}

# As published, but: three parts of three folds instead of ten of all, each held out once, so that the next rung trains
# on as many clips; pooling, a quarter of the channels (a stand-in for a network too dear for two cores); as many
# generated clips for each real one (22 a class here, 100 there); two seeds; and music of this project's own, learned by
# a generator of its own.
rungs() { # what is done with each, and then every rung
    each=$1
    settings=$common
    rung published data.split=random data.n_folds=3 'folds=[1,2,3]' \
        features.clip_seconds=1.0 features.n_fft=1024 features.hop_length=512 features.scale=linear \
        features.normalization=none \
        generator.corpus=data/music generator.condition=none \
        generate.per_class=22 'generate.alpha=[0.5]' generate.sampler=ddim generate.inversion=ddim generate.steps=50 \
        generate.renormalize=false \
        invert.method=griffin_lim invert.mel_inversion=nnls invert.iterations=32 invert.momentum=0.99 \
        invert.stretch=2.0 invert.level_db=-19.0 \
        classifier.kernel=5 classifier.padding=0 classifier.batch_norm=false \
        training.steps=null training.epochs=50 training.batch_size=128 training.learning_rate=1.0e-3 \
        training.weight_decay=0.0 training.schedule=constant training.average_decay=0.0 training.evaluations=50 \
        training.precision=float32
    # The rung after this one, the last epoch instead of the best, is another figure of the same experiment.
    rung official data.split=official 'folds=[1,2,10]'
    rung log features.scale=log
    rung equal_steps training.steps=700 training.epochs=null # 50 epochs of the real clips
    rung own_generator generator.corpus=data/features generator.condition=class
    rung matched invert.stretch=1.0
    rung level invert.level_db=null
    rung whole_clip features.clip_seconds=4.0
    settings=$common
    rung study
}

# Every rung is checked before any runs.
names=$(rungs show | python -m benchmarks.ladder check "$@")
wanted=" $(echo $names) "
rungs run
python -m benchmarks.ladder
