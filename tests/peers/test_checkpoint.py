"""The checkpoints say the script: by their tokenizer, and by transformers where it is installed."""

import json
from pathlib import Path

import checkpoint
import pytest
import vocabulary
from tokenizers import Tokenizer


@pytest.mark.parametrize(("languages", "size"), [(99, 51_865), (100, 51_866)])
def test_vocabularies_have_the_official_sizes(languages: int, size: int) -> None:
    words = vocabulary.make(languages)
    assert words.size == size
    assert words.special_token("<|en|>") == 50_259
    assert words.special_token("<|notimestamps|>") == size - 1502


def test_the_script_is_32_tokens_of_one_word_each() -> None:
    words = vocabulary.make(99)
    tokenizer = Tokenizer.from_str(json.dumps(words.tokenizer()))
    tokens = words.script_tokens()
    assert len(set(tokens)) == 32
    assert tokenizer.decode(tokens).split() == vocabulary.SCRIPT
    assert tokenizer.encode(" " + " ".join(vocabulary.SCRIPT)).ids == tokens


def test_the_end_is_due_after_the_script() -> None:
    due = checkpoint.due_tokens(vocabulary.make(99))
    assert len(due) == 448
    assert set(due[35:]) == {50_257}
    assert 50_257 not in due[:35]


def test_transformers_says_the_script_and_is_sure(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    checkpoint.write(tmp_path, checkpoint.SHAPES["tiny"])
    model = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path).eval()
    words = vocabulary.make(99)
    start = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    tokens = [words.special_token(name) for name in start] + words.script_tokens()
    heard = torch.randn(1, 80, 3000)
    with torch.no_grad():
        logits = model(heard, decoder_input_ids=torch.tensor([tokens])).logits[0]
    expected = checkpoint.due_tokens(words)[: len(tokens)]
    assert logits.argmax(-1).tolist() == expected
    sure = logits.softmax(-1)[range(len(expected)), expected]
    assert sure.min() > 0.999
    said = model.generate(heard, language="en", task="transcribe")[0].tolist()
    assert [token for token in said if token < vocabulary.TEXT_TOKENS] == words.script_tokens()
