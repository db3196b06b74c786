"""The stylizer's tokenizer: CLIP's format, learned from captions, and prompts that are too long."""

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from soundaug.running.errors import StudyError
from soundaug.stylizer.tokenizer import build_tokenizer, check_prompt, token_ids

CAPTIONS = ["lo fi beats, slow, electric piano", "epic orchestra in a minor key", "electric beats with drums"]


def test_words_of_the_captions_become_tokens_and_any_other_text_can_be_told() -> None:
    tokenizer = build_tokenizer(CAPTIONS, 700, 16)
    assert tokenizer.tokenize("Electric  BEATS") == ["electric</w>", "beats</w>"]
    assert tokenizer.decode(tokenizer("é 本")["input_ids"], skip_special_tokens=True).strip() == "é 本"
    assert tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.eos_token_id == len(tokenizer) - 1  # CLIP's last, which its pooled output looks for


def test_the_size_of_the_vocabulary_is_kept() -> None:
    assert len(build_tokenizer(CAPTIONS, 514, 16)) == 514
    assert build_tokenizer(CAPTIONS, 514, 16).tokenize("beats") == ["b", "e", "a", "t", "s</w>"]
    assert len(build_tokenizer(CAPTIONS, 520, 16)) == 520
    assert build_tokenizer(CAPTIONS[::-1], 600, 16).get_vocab() == build_tokenizer(CAPTIONS, 600, 16).get_vocab()


def test_pairs_as_frequent_as_one_another_are_always_joined_in_the_same_order() -> None:
    captions = [f"{first}{last}" for first in "abcdefgh" for last in "lmnopqrs"]
    found = [build_tokenizer(captions, 560, 16).get_vocab() for _ in range(8)]
    assert all(vocabulary == found[0] for vocabulary in found)


def test_saved_and_read_by_transformers(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(CAPTIONS, 600, 9)
    tokenizer.save_pretrained(tmp_path)
    read = CLIPTokenizer.from_pretrained(tmp_path)
    assert read.model_max_length == 9
    assert token_ids(read, CAPTIONS) == token_ids(tokenizer, CAPTIONS)


def test_texts_are_filled_up() -> None:
    tokenizer = build_tokenizer(CAPTIONS, 700, 6)
    beginning, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    beats = tokenizer.get_vocab()["beats</w>"]
    assert token_ids(tokenizer, ["", "beats"]) == [[beginning, *[end] * 5], [beginning, beats, *[end] * 4]]


def test_a_prompt_that_is_too_long_is_told() -> None:
    tokenizer = build_tokenizer(CAPTIONS, 700, 6)
    check_prompt(tokenizer, "slow electric beats drums")
    with pytest.raises(StudyError, match=r"prompt: found 7 tokens in 'slow electric beats drums, '\.\.\., wanted at"):
        check_prompt(tokenizer, "slow electric beats drums, ")
