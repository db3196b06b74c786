"""The least that a study can be made of."""

from collections.abc import Sequence

from soundaug.folds.partition import Partition, draw_withheld
from soundaug.params import Params
from soundaug.running.errors import StudyError
from soundaug.sources.corpus import Clip, folds_of


def require_enough(clips: Sequence[Clip], params: Params) -> Partition:
    """How ``params`` part the clips; StudyError unless each of ``params.folds`` leaves enough to train and to test on.

    Two recordings or more to test on, since intervals are drawn from recordings; of every class clips to train on, of
    two recordings or more, which are paired (with ``generate.single_recording: within`` two clips will do).
    """
    recordings = ((clip.fold, clip.class_id, clip.fs_id) for clip in clips)
    withheld = draw_withheld(recordings, params.data.recordings_share, params.seed)
    partition = Partition(params.data.held_out, withheld)
    existing = folds_of(clips)
    if len(existing) < 2:
        raise StudyError(
            f"folds: found only fold {existing[0]} in the corpus, wanted two or more: one to train, another to test on"
        )
    classes = list(dict.fromkeys(clip.class_name for clip in clips))
    for fold in params.folds:
        if fold not in existing:
            raise StudyError(f"folds: found {fold}, wanted one of the corpus's folds: {', '.join(map(str, existing))}")
        turn = f"fold {fold} {'held out' if partition.held_out == 'fold' else 'training alone'}"
        tested, trained = partition.tested(fold, existing), partition.trained(fold, existing)
        if len({clip.fs_id for clip in clips if clip.fold in tested}) < 2:
            raise StudyError(f"{turn}: found clips of one recording to test on, wanted two or more")
        members: dict[str, list[str]] = {name: [] for name in classes}
        for clip in clips:
            if clip.fold in trained and (clip.fold, clip.class_id, clip.fs_id) not in partition.withheld:
                members[clip.class_name].append(clip.fs_id)
        for name, training in members.items():
            where = f"class {name}, {turn}"
            if not training:
                raise StudyError(f"{where}: found no clips to train on, wanted some of two recordings or more")
            if len(set(training)) < 2 and params.generate.single_recording == "error":
                raise StudyError(
                    f"{where}: found one training recording, wanted two or more to pair "
                    "(or generate.single_recording: within, to pair clips of the same recording)"
                )
            if len(training) < 2:
                raise StudyError(f"{where}: found one training clip, wanted two or more to pair")
    return partition
