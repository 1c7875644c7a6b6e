from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from recipe import export
from recipe.model import Shape, Whisper

TOKENIZER = Path(__file__).parents[2] / "model" / "tokenizer.json"


def test_export_computes_the_same_in_transformers(tmp_path: Path):
    torch.manual_seed(1)
    model = Whisper(Shape(tokens=2_278))
    export.export(model.shape, model.state_dict(), TOKENIZER, tmp_path)
    ours, _ = export.load(tmp_path)
    theirs = WhisperForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    mel, tokens = torch.randn(2, 80, 3_000), torch.tensor([[769, 770, 772, 776, 300]] * 2)
    with torch.inference_mode():
        logits, _ = ours(mel, tokens)
        expected = theirs(input_features=mel, decoder_input_ids=tokens).logits
    # f32 on both sides, summed in another order.
    torch.testing.assert_close(logits, expected, atol=2e-4, rtol=0)


def test_exported_folder_has_what_a_program_loads(tmp_path: Path):
    model = Whisper(Shape(tokens=2_278))
    export.export(model.shape, model.state_dict(), TOKENIZER, tmp_path)
    shipped = TOKENIZER.parent
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in shipped.iterdir()}
    assert (tmp_path / "config.json").read_text().strip() == (shipped / "config.json").read_text().strip()
    assert (tmp_path / "model.safetensors").stat().st_size < 10_000_000


def test_added_layers_change_nothing_until_they_are_trained():
    torch.manual_seed(2)
    shape = Shape(tokens=300, encoder_layers=1, decoder_layers=1)
    small = Whisper(shape)
    large = small.grown(replace(shape, encoder_layers=2, decoder_layers=3))
    mel, tokens = torch.randn(2, 80, 64), torch.randint(0, 300, (2, 5))
    expected, ours = small(mel, tokens)[0], large(mel, tokens)[0]
    torch.testing.assert_close(ours, expected, atol=0, rtol=0)
    ours.square().sum().backward()
    assert large.decoder.layers[2].fc2.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("other", [{"width": 64}, {"tokens": 200}, {"decoder_layers": 1}])
def test_only_layers_can_be_added(other: dict[str, int]):
    shape = Shape(tokens=300, encoder_layers=1, decoder_layers=2)
    with pytest.raises(ValueError, match="cannot become"):
        Whisper(shape).grown(replace(shape, **other))
