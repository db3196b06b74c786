"""The embedded corpus: ten synthetic sounds with UrbanSound8K's names, layout and recording structure."""

from soundaug.sources.synthetic.corpus import CLASS_NAMES, ClipRow, synthesise_corpus
from soundaug.sources.synthetic.signals import CORPUS_RATE

__all__ = ["CLASS_NAMES", "CORPUS_RATE", "ClipRow", "synthesise_corpus"]
