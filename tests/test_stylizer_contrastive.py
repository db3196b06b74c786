"""Words learned from images: a caption comes to be told apart by what it sounds like, not by its letters."""

import pytest
import torch
import torch.nn.functional as F
from tiny_stylizer import tiny_settings, write_music
from transformers import CLIPTextModel

from soundaug.music import PIECES, read_pieces
from soundaug.params import StyleText
from soundaug.running.errors import StudyError
from soundaug.stylizer.contrastive import learn_captions
from soundaug.stylizer.dataset import StyleWindows, draw_windows
from soundaug.stylizer.model import build_text_encoder
from soundaug.stylizer.tokenizer import build_tokenizer, token_ids

CAPTIONS = ["chiptune", "fast chiptune", "church organ", "slow organ music"]


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> StyleWindows:
    folder = tmp_path_factory.mktemp("music")
    write_music(folder)
    settings = tiny_settings()
    return draw_windows(folder, read_pieces(folder / PIECES), settings.image, settings.windows_per_piece, 0)


def learned(windows: StyleWindows, seed: int = 0, **changes: float) -> tuple[CLIPTextModel, torch.Tensor, float]:
    """The text encoder, the captions' embeddings [4, width] of length 1, the last loss."""
    text: StyleText = tiny_settings(text=changes).text
    tokenizer = build_tokenizer(CAPTIONS, text.vocabulary, text.max_tokens)
    encoder = build_text_encoder(tiny_settings(), tokenizer, 0)
    ids = torch.tensor(token_ids(tokenizer, CAPTIONS))
    told = [torch.tensor([CAPTIONS.index(caption) for caption in captions]) for captions in windows.captions]
    loss = learn_captions(encoder, ids, torch.from_numpy(windows.pixels), told, text, seed, "test")
    encoder.eval()
    with torch.no_grad():
        return encoder, F.normalize(encoder(ids).pooler_output, dim=-1), loss


def margin(embeddings: torch.Tensor) -> float:
    """How much more alike captions of one style are, at least, than any two of different styles."""
    likeness = embeddings @ embeddings.T
    return float(torch.minimum(likeness[0, 1], likeness[2, 3]) - likeness[:2, 2:].max())


def test_captions_of_one_style_come_together(windows: StyleWindows) -> None:
    _, before, _ = learned(windows, steps=0)
    _, after, loss = learned(windows, steps=60, learning_rate=1e-2, batch_size=8)
    assert margin(after) > 0.3  # of one style they are much more alike than of two
    assert margin(before) < 0.1
    # Which of the windows of one style it is, a caption does not say: of 8 pairs about 4 are as likely.
    assert loss < 1.8


def test_the_seed_decides_it(windows: StyleWindows) -> None:
    first, again, other = (learned(windows, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loss_that_is_no_number_is_told(windows: StyleWindows) -> None:
    with pytest.raises(StudyError, match=r"stylizer's text: found a loss of nan at step \d+, wanted a number: lower"):
        learned(windows, steps=20, learning_rate=1e30)
