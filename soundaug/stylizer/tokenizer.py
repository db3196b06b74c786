"""The tokenizer of a stylizer: CLIP's byte-level byte pairs, learned from the captions it will be told."""

import json
from collections.abc import Iterable, Sequence

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from soundaug.running.errors import StudyError

BEGINNING, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def build_tokenizer(captions: Iterable[str], vocabulary: int, max_tokens: int) -> CLIPTokenizer:
    """A tokenizer of at most ``vocabulary`` tokens, for texts of ``max_tokens`` with their marks.

    Any text can be told: 512 tokens are of single bytes, as in CLIP's own; the others join those of the captions.
    """
    letters = _letters()
    untrained = CLIPTokenizer(vocab=_numbered([*letters, BEGINNING, END]), merges=[])
    backend = untrained.backend_tokenizer
    # Pairs as frequent as one another are joined in the order of their letters' numbers. The trainer would number those
    # at the end of a word as it happens to meet them, another way each time: named as special, they have theirs.
    trainer = BpeTrainer(
        vocab_size=vocabulary + len(letters),  # more pairs than there is room for beside all bytes
        end_of_word_suffix=WORD_END,
        special_tokens=[letter for letter in letters if letter.endswith(WORD_END)],
        show_progress=False,
    )
    backend.train_from_iterator(sorted(set(captions)), trainer)
    merges = _merges(backend.to_str())[: vocabulary - len(letters) - 2]
    tokens = [*letters, *dict.fromkeys("".join(pair) for pair in merges), BEGINNING, END]
    return CLIPTokenizer(vocab=_numbered(tokens), merges=merges, model_max_length=max_tokens)


def check_prompt(tokenizer: CLIPTokenizer, prompt: str, name: str = "prompt") -> None:
    """Raise StudyError that names ``name`` for a prompt of more tokens than the model takes: nothing is cut off."""
    found = len(tokenizer(prompt, verbose=False)["input_ids"])
    if found > tokenizer.model_max_length:
        raise StudyError(
            f"{name}: found {found} tokens in {prompt[:40]!r}..., "
            f"wanted at most {tokenizer.model_max_length} with the marks of beginning and end: shorten it"
        )


def token_ids(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, filled up to the longest that the model takes, as diffusers' pipelines fill them."""
    ids: list[list[int]] = tokenizer(
        list(texts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True
    )["input_ids"]
    return ids


def _letters() -> list[str]:
    """Every byte as a letter, within a word and at its end, in the order of CLIP's vocabulary."""
    letters = sorted(ByteLevel.alphabet())
    return [*letters, *(f"{letter}{WORD_END}" for letter in letters)]


def _numbered(tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _merges(tokenizer: str) -> list[tuple[str, str]]:
    """Those in a tokenizer's JSON, in the order they were learned."""
    pairs = json.loads(tokenizer)["model"]["merges"]
    return [(first, second) for first, second in pairs]
