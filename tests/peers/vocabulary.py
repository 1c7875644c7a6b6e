"""A byte-level vocabulary of the official size, whose merges mean nothing but for the words of the script."""

from dataclasses import dataclass

# Tokens below this are text, in every Whisper vocabulary of more than one language.
TEXT_TOKENS = 50_257

# What every checkpoint of the benchmark says, whatever it hears: 32 words of one token each.
SCRIPT = (
    "please close the blinds in both bedrooms before sunset then turn every kitchen lamp off"
    " set heating to nineteen degrees play some quiet music and remind me about our dinner tomorrow evening"
).split()

# Whisper's languages in the order of their tokens; `yue` came with large-v3.
LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi"
    " ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd"
    " gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue"
).split()

TIMESTAMPS = 1501


def byte_characters() -> list[str]:
    """The printable stand-in of each byte in byte-level tokenizers: itself, or the next free one from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    free = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(256)]


@dataclass(frozen=True)
class Vocabulary:
    """Text tokens with the merges that make them, and special tokens behind them."""

    tokens: dict[str, int]
    merges: list[tuple[str, str]]
    special: list[str]

    @property
    def size(self) -> int:
        """Number of all tokens."""
        return len(self.tokens) + len(self.special)

    def special_token(self, name: str) -> int:
        """Of a text such as `<|en|>`."""
        return len(self.tokens) + self.special.index(name)

    def script_tokens(self) -> list[int]:
        """The words of the script."""
        space = byte_characters()[ord(" ")]
        return [self.tokens[space + word] for word in SCRIPT]

    def tokenizer(self) -> dict[str, object]:
        """`tokenizer.json`."""
        first_timestamp = len(self.special) - TIMESTAMPS
        added = [
            {
                "id": len(self.tokens) + index,
                "content": text,
                "special": index < first_timestamp,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for index, text in enumerate(self.special)
        ]
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": self.tokens,
                "merges": [list(pair) for pair in self.merges],
            },
        }


def make(languages: int) -> Vocabulary:
    """Bytes, the words of the script letter by letter, then pairs of bytes until it has the official size.

    The last is empty, as in the published vocabularies: by it CTranslate2 knows that there is more than English.
    """
    characters = byte_characters()
    tokens = {character: index for index, character in enumerate(characters)}
    merges: list[tuple[str, str]] = []

    def merge(left: str, right: str) -> None:
        if left + right not in tokens and len(tokens) < TEXT_TOKENS - 1:
            tokens[left + right] = len(tokens)
            merges.append((left, right))

    for word in SCRIPT:
        spelled = characters[ord(" ")] + word
        for end in range(1, len(spelled)):
            merge(spelled[:end], spelled[end])
    for left in characters:
        for right in characters:
            merge(left, right)
    tokens[""] = len(tokens)
    special = ["<|endoftext|>", "<|startoftranscript|>"]
    special += [f"<|{code}|>" for code in LANGUAGES[:languages]]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>"]
    special += [f"<|{step * 0.02:.2f}|>" for step in range(TIMESTAMPS)]
    return Vocabulary(tokens, merges, special)
