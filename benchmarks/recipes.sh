#!/bin/sh
# Recipes of the generator side by side, each an experiment of DVC's: `sh benchmarks/recipes.sh FOLDER [RECIPE ...]`.
#
# FOLDER is in UrbanSound8K's layout and holds folds 1 and 2 alone: the generator learns fold 1 and is judged by fold 2,
# so that no test fold of the study that is left out of FOLDER has a say. Steps are chosen for equal training time on
# two cores (6 minutes, bfloat16): a step of each was timed on the idle machine. The table goes to
# reports/recipes/recipes.csv.
set -eu
folder=${1:?"the folder in UrbanSound8K's layout, folds 1 and 2 alone"}
shift
wanted=" ${*:-edm whitened flow v sound patch2 wide small latent pixel} "

recipe() {
    name=$1
    shift
    case $wanted in *" $name "*) ;; *) return 0 ;; esac
    cp presets/subset.yaml params.yaml # else the last recipe's settings would stay
    dvc exp run --name "$name" -S "data.root=$folder" -S 'folds=[2]' -S 'seeds=[0]' -S 'controls=[]' \
        -S generate.per_class=50 -S 'generate.alpha=[0.5]' -S generator.space=patch "$@"
}

# EDM: log-normal noise levels, one weight; in variance-preserving coordinates its network predicts the velocity. Images
# of 4 x 4 mel bins a channel; on their principal axes, of deviation 1, they are the preset's own.
recipe edm -S generator.steps=510
recipe whitened -S generator.steps=510 -S generator.space=whitened
recipe flow -S generator.steps=510 -S generator.prediction=flow -S 'generator.log_sigma=[0.0,1.0]'
min_snr="-S generator.log_sigma=null -S generator.min_snr_gamma=5.0"
recipe v $min_snr -S generator.steps=510
recipe sound $min_snr -S generator.steps=450 -S generator.condition=sound
recipe patch2 -S generator.patch=2 -S 'generator.channels=[32,64,128,192]' -S generator.steps=325
recipe wide -S 'generator.channels=[96,192,288]' -S generator.steps=260
recipe small -S 'generator.channels=[48,96,144]' -S generator.steps=820
recipe latent -S generator.space=latent -S generator.steps=360
recipe pixel -S generator.patch=1 -S 'generator.channels=[16,32,64,128,192]' -S generator.steps=213

mkdir -p reports/recipes
dvc exp show --csv --no-pager --drop '.*' --keep 'Experiment|.*generator\..*|inversion\..*' >reports/recipes/recipes.csv
