"""The training stage: two processes with one thread each, on one model.

They meet once in an update, to average their gradients. Two threads of one process would meet at every
operation, and wait there whenever another program has one of the cores.
"""

import hashlib
import os
import signal
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recipe import checkpoint, export
from recipe.bank import Bank
from recipe.batches import BatchMaker, Share
from recipe.curriculum import stage_at
from recipe.evaluation import quick_figures
from recipe.model import Shape, Whisper
from recipe.progress import Progress
from recipe.pronounce import Phonemes
from recipe.recognition import Recogniser
from recipe.tokenizer import Vocabulary
from recipe.trainee import Trainee, is_bf16_fast, optimiser, set_rates

_SEED = 5
_CHECKPOINT_EVERY_S = 180
_REPORT_EVERY = 100
# Some seconds of one worker, in which the others wait.
_GLANCE_EVERY_S = 720
_GLANCE_CLIPS = 40
# The weights that are kept are an average in which those of this many updates ago count a third.
_AVERAGED_UPDATES = 400


@dataclass(frozen=True)
class TrainingPlan:
    """Where everything is and how long to train.

    Minutes are those that a worker computes: whoever else uses the cores makes the end later, not the model worse.
    """

    bank: Path
    held_out: Path
    tokenizer: Path
    phonemes: Path
    checkpoint: Path
    log: Path
    minutes: float
    # The folder of an exported model whose training goes on; None: from nothing.
    begin_with: Path | None = None
    batch: int = 32
    workers: int = 2
    learning_rate_from_nothing: float = 2.2e-3
    # Higher would forget, lower would learn little that is new.
    learning_rate_going_on: float = 1.2e-3
    weight_decay: float = 0.05
    # Phonemes from the encoder, in addition to tokens from the decoder: without, the model needs several
    # times as long to find out which sound belongs to which word.
    phoneme_weight: float = 0.65

    @property
    def learning_rate(self) -> float:
        return self.learning_rate_going_on if self.begin_with else self.learning_rate_from_nothing

    @property
    def beginning(self) -> str:
        """What a checkpoint says about where its training began."""
        if self.begin_with is None:
            return "nothing"
        return hashlib.sha256((self.begin_with / "model.safetensors").read_bytes()).hexdigest()


def train(plan: TrainingPlan) -> None:
    """Trains until the time is used up; goes on from the checkpoint if there is one."""
    checkpoint.check_beginning(plan.checkpoint, plan.beginning)
    if checkpoint.minutes_trained(plan.checkpoint) >= plan.minutes:
        return
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, args=(plan, f"file://{folder}/meeting"), nprocs=plan.workers)


def _work(worker: int, plan: TrainingPlan, meeting: str) -> None:
    # What torch has a worker sent when its parent dies. A shell lets what it starts in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=meeting, rank=worker, world_size=plan.workers)
    try:
        _Training(worker, plan).run()
    finally:
        dist.destroy_process_group()


class _Training:
    """One worker's side: the same weights and decisions as the others', batches of its own."""

    def __init__(self, worker: int, plan: TrainingPlan) -> None:
        self._plan, self._is_first = plan, worker == 0
        self._vocabulary = Vocabulary(plan.tokenizer)
        phonemes = Phonemes.load(plan.phonemes)
        torch.manual_seed(_SEED)
        self._trainee = Trainee(self._whisper(), phonemes.count, in_bf16=is_bf16_fast())
        self._average = AveragedModel(
            self._trainee.whisper, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / _AVERAGED_UPDATES)
        )
        self._optimiser = optimiser(self._trainee, plan.weight_decay)
        self._seconds, self._updates, self._clips = 0.0, 0, 0
        is_resumed = plan.checkpoint.exists()
        if is_resumed:
            self._load()
        # Not the same batches again after a restart.
        seed = _SEED + self._updates
        share = Share(plan.batch, worker, plan.workers, seed)
        self._batches = BatchMaker(Bank(plan.bank), self._vocabulary, phonemes, share)
        if not is_resumed and plan.begin_with is None:
            self._scale_front()
        self._progress = Progress(plan.log)
        self._report = _Report(self._progress)

    def run(self) -> None:
        begun = time.process_time() - self._seconds
        saved = glanced = time.monotonic()
        while self._seconds < 60 * self._plan.minutes:
            self._update(time.process_time() - begun)
            if not self._is_first:
                continue
            if self._updates % _REPORT_EVERY == 0:
                self._report.say(self._seconds, self._updates, self._clips)
            if time.monotonic() - saved > _CHECKPOINT_EVERY_S:
                self._save()
                saved = time.monotonic()
            if time.monotonic() - glanced > _GLANCE_EVERY_S:
                self._glance()
                glanced = time.monotonic()
        if self._is_first:
            self._save()

    def _update(self, seconds: float) -> None:
        """One step; afterwards all workers agree that the first one's `seconds` have passed."""
        passed = self._seconds / (60 * self._plan.minutes)
        stage = stage_at(self._clips, passed, is_going_on=self._plan.begin_with is not None)
        rate = self._plan.learning_rate
        set_rates(self._optimiser, model=rate * stage.rate, head=rate * stage.head_rate)
        preparing = time.monotonic()
        batch = self._batches.batch(stage)
        prepared = time.monotonic()
        token_loss, phoneme_loss = self._trainee.losses(batch)
        (token_loss + self._plan.phoneme_weight * phoneme_loss).backward()
        told = [seconds if self._is_first else 0.0, len(batch.mel), token_loss.item(), phoneme_loss.item()]
        facts = self._average_gradients(torch.tensor(told))
        norm = nn.utils.clip_grad_norm_(self._trainee.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._average.update_parameters(self._trainee.whisper)
        self._seconds = facts[0].item()
        self._updates += 1
        self._clips += int(facts[1].item())
        losses = facts[2:] / self._plan.workers
        self._report.note(losses.tolist(), norm.item(), prepared - preparing)

    def _average_gradients(self, facts: torch.Tensor) -> torch.Tensor:
        """Averages the gradients of all workers in place; returns the sums of the facts."""
        gradients = [parameter.grad for parameter in self._trainee.parameters() if parameter.requires_grad]
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [facts])
        dist.all_reduce(flat)
        rest = flat[: -len(facts)] / self._plan.workers
        for gradient in gradients:
            gradient.copy_(rest[: gradient.numel()].view_as(gradient))
            rest = rest[gradient.numel() :]
        return flat[-len(facts) :]

    def _whisper(self) -> Whisper:
        """As it is before the first update, the same in all workers."""
        shape = Shape(tokens=self._vocabulary.size)
        if self._plan.begin_with is None:
            return Whisper(shape)
        whisper, _ = export.load(self._plan.begin_with)
        return whisper.grown(shape)

    def _scale_front(self) -> None:
        # All draw a batch, since they must go on drawing alike.
        self._trainee.whisper.encoder.scale_front(self._batches.batch(stage_at(clips=60_000, passed=0.0)).mel)
        for parameter in self._trainee.parameters():
            dist.broadcast(parameter.data, src=0)

    def _glance(self) -> None:
        """Word errors as they are now; the time that it takes counts as training time."""
        recogniser = Recogniser(self._average.module, self._vocabulary)
        figures = quick_figures(recogniser, self._plan.held_out, _GLANCE_CLIPS)
        self._progress.say(f"held-out sentences after {self._updates} updates", **figures)

    def _save(self) -> None:
        state = {
            "trainee": self._trainee.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "shape": asdict(self._trainee.whisper.shape),
            "beginning": self._plan.beginning,
            "seconds": self._seconds,
            "updates": self._updates,
            "clips": self._clips,
        }
        checkpoint.write(self._plan.checkpoint, state)

    def _load(self) -> None:
        state = checkpoint.read(self._plan.checkpoint)
        self._trainee.load_state_dict(state["trainee"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._seconds, self._updates, self._clips = state["seconds"], state["updates"], state["clips"]


class _Report:
    """Means since the last line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begin()

    def note(self, losses: list[float], norm: float, preparing_s: float) -> None:
        self._noted.append((*losses, norm, preparing_s))

    def say(self, seconds: float, updates: int, clips: int) -> None:
        tokens, phonemes, norm, preparing_s = (sum(column) / len(column) for column in zip(*self._noted, strict=True))
        update_s = (time.monotonic() - self._begun) / len(self._noted)
        self._progress.say(
            f"trained {seconds / 60:.1f} min",
            updates=updates,
            clips=clips,
            token_loss=tokens,
            phoneme_loss=phonemes,
            gradient_norm=norm,
            updates_per_s=1 / update_s,
            preparing_share=preparing_s / update_s,
        )
        self._begin()

    def _begin(self) -> None:
        self._noted: list[tuple[float, ...]] = []
        self._begun = time.monotonic()
