"""What is trained: the model, a head for phonemes that is dropped at the end, and their losses."""

import time

import torch
import torch.nn.functional as F
from torch import nn

from recipe.batches import Batch
from recipe.model import Whisper
from recipe.targets import IGNORED

class Trainee(nn.Module):
    """The model, and a head for phonemes that is dropped at the end."""

    def __init__(self, whisper: Whisper, phonemes: int, in_bf16: bool) -> None:
        """in_bf16: compute the matrix products so, where `is_bf16_fast`."""
        super().__init__()
        self._in_bf16 = in_bf16
        self.whisper = whisper
        self.blank = phonemes
        self.phoneme_head = nn.Linear(whisper.shape.width, phonemes + 1)

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of a token and CTC loss of a phoneme."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._in_bf16):
            logits, encoded = self.whisper(batch.mel, batch.read)
            phonemes = self.phoneme_head(encoded)
        token_loss = F.cross_entropy(logits.float().flatten(0, 1), batch.answers.flatten(), ignore_index=IGNORED)
        lengths = torch.tensor([len(row) for row in batch.phonemes])
        phoneme_loss = F.ctc_loss(
            phonemes.float().log_softmax(-1).transpose(0, 1),
            torch.tensor([phoneme for row in batch.phonemes for phoneme in row], dtype=torch.long),
            torch.full((len(lengths),), encoded.shape[1]),
            lengths,
            blank=self.blank,
            reduction="sum",
            zero_infinity=True,
        )
        return token_loss, phoneme_loss / lengths.sum().clamp_min(1)


def optimiser(trainee: Trainee, weight_decay: float) -> torch.optim.AdamW:
    """Matrices decay, biases, norms and embeddings do not; the phoneme head, the last group, has a rate of its own.

    The rates are set before every step.
    """
    named = [(name, p) for name, p in trainee.whisper.named_parameters() if p.requires_grad]
    decaying = [p for name, p in named if p.ndim > 1 and "embed" not in name]
    steady = [p for name, p in named if p.ndim == 1 or "embed" in name]
    groups = [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": steady, "weight_decay": 0.0},
        {"params": list(trainee.phoneme_head.parameters()), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def set_rates(optimiser: torch.optim.AdamW, model: float, head: float) -> None:
    *of_model, of_head = optimiser.param_groups
    for group in of_model:
        group["lr"] = model
    of_head["lr"] = head


def is_bf16_fast() -> bool:
    """Whether this processor multiplies bf16 at least half as fast again as f32; else converting eats the gain.

    That it has instructions for bf16 does not tell: measured were 2.7 times the speed of f32, and 0.7 times.
    """
    return _product_s(torch.float32) > 1.5 * _product_s(torch.bfloat16)


def _product_s(dtype: torch.dtype) -> float:
    """Seconds of the processor for a product as large as those of the training; the best of ten."""
    left, right = torch.ones(3_072, 128, dtype=dtype), torch.ones(128, 512, dtype=dtype)
    seconds = []
    for _ in range(10):
        begun = time.process_time()
        left @ right
        seconds.append(time.process_time() - begun)
    return min(seconds)
