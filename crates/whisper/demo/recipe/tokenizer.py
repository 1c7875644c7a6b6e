"""A byte-level BPE tokenizer with Whisper's special tokens behind its words."""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

# About nine tokens a sentence; more would leave the rarest ones hardly trained.
_TEXT_TOKENS = 768
_SPECIAL_TOKENS = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip
# 0.00 to 30.00 in steps of 0.02 s.
_TIMESTAMPS = 1_501


def train_tokenizer(sentences: list[str], path: Path) -> None:
    """Learns the merges from the sentences and writes `tokenizer.json`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_TEXT_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {words}" for words in sentences), trainer)
    if tokenizer.get_vocab_size() != _TEXT_TOKENS:
        raise ValueError(f"{len(sentences)} sentences are too few for {_TEXT_TOKENS} tokens")
    tokenizer.add_special_tokens([_added(name, special=True) for name in _SPECIAL_TOKENS])
    tokenizer.add_tokens([_added(f"<|{0.02 * step:.2f}|>", special=False) for step in range(_TIMESTAMPS)])
    # In one line the 1501 timestamps take 40 % less space in the program.
    path.write_text(tokenizer.to_str(pretty=False))


def _added(name: str, special: bool) -> AddedToken:
    return AddedToken(name, special=special, normalized=False)


class Vocabulary:
    """The tokens of a checkpoint by name."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self.size = self._tokenizer.get_vocab_size()
        self.end = self.id("<|endoftext|>")
        self.start = self.id("<|startoftranscript|>")
        self.english = self.id("<|en|>")
        self.transcribe = self.id("<|transcribe|>")
        self.translate = self.id("<|translate|>")
        self.previous = self.id("<|startofprev|>")
        self.no_speech = self.id("<|nospeech|>")
        self.no_timestamps = self.id("<|notimestamps|>")
        self.first_timestamp = self.id("<|0.00|>")

    def id(self, name: str) -> int:
        found = self._tokenizer.token_to_id(name)
        if found is None:
            raise KeyError(f"the tokenizer has no {name}")
        return found

    def encode(self, words: str) -> list[int]:
        """Tokens of a sentence, with the leading space that Whisper gives every sentence."""
        return self._tokenizer.encode(f" {words}").ids

    def decode(self, tokens: list[int]) -> str:
        """The text of the text tokens; special tokens and timestamps are left out."""
        return self._tokenizer.decode([token for token in tokens if token < self.end]).strip()

    def timestamp(self, seconds: float) -> int:
        return self.first_timestamp + min(_TIMESTAMPS - 1, round(seconds / 0.02))
