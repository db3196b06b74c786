"""Music of the embedded corpus: short pieces composed, arranged in several styles and played, and a prelude by Bach."""

from soundaug.music.corpus import BACH, PIECES, MusicPiece, play_bach, play_corpus, read_pieces
from soundaug.music.styles import STYLES

__all__ = ["BACH", "PIECES", "STYLES", "MusicPiece", "play_bach", "play_corpus", "read_pieces"]
