"""Writes golden/generation.json: what openai-whisper makes of our checkpoints, from audio to segments.

    venv/bin/python make_golden_generation.py

openai-whisper and not transformers, because its beam search and its way through long audio are the ones that the crate
follows; where both must agree (greedy, one window) transformers is asked too, and this script stops if it does not. The
Rust test is `crates/whisper/tests/generation.rs`.
"""

import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from checkpoints import ALL, audio
from openai_whisper import Reference, whisper

HERE = Path(__file__).parent
DEMO = HERE / "../../demo/model"
FIXTURES = HERE / "../../../../tests/fixtures/audio"
PAUSE = 16_000  # samples between joined clips

SHORT = {"seed": 5, "samples": 83_217}
OTHER = {"seed": 8, "samples": 60_000}
LONG = {"seed": 7, "samples": 1_040_000}  # 65 s
HELD_OUT = sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("heldout/*.flac"))
SPOKEN = ["close_windows.wav", "green_lamp.wav", "office_lights.wav", "volume.wav"]


def cases() -> list:
    tiny = {"max_new_tokens": 40}
    found = []

    def case(checkpoint, sound, **options):
        found.append({"checkpoint": checkpoint, "audio": sound, "options": options})

    for checkpoint in ("multilingual", "english", "large_v3"):
        for sound in (SHORT, OTHER):
            case(checkpoint, sound, **tiny)
            case(checkpoint, sound, **tiny, beam_size=2)
            case(checkpoint, sound, **tiny, beam_size=5)
            case(checkpoint, sound, **tiny, initial_prompt="Names: Ada, Grace")
            if (checkpoint, sound) != ("large_v3", OTHER):
                # Left out: its segments are single control characters, which Python strips as blanks.
                case(checkpoint, sound, **tiny, timestamps=True)
                case(checkpoint, sound, **tiny, beam_size=5, timestamps=True)
        case(checkpoint, LONG, max_new_tokens=24)
    case("multilingual", SHORT, **tiny, language="fr", task="translate")
    case("multilingual", SHORT, **tiny, language="de")
    case("multilingual", SHORT, **tiny, initial_prompt="far too long a prompt, " * 20)
    case("multilingual", LONG, max_new_tokens=24, condition_on_previous_text=False)
    for clip in SPOKEN + HELD_OUT:
        case("demo", [clip])
        case("demo", [clip], timestamps=True)
    for clip in SPOKEN + HELD_OUT[:4]:
        case("demo", [clip], beam_size=2)
        case("demo", [clip], beam_size=5)
        case("demo", [clip], beam_size=5, timestamps=True)
    case("demo", SPOKEN, timestamps=True)
    case("demo", HELD_OUT)
    case("demo", HELD_OUT, beam_size=5)
    return found


def sound(described) -> np.ndarray:
    if isinstance(described, dict):
        return audio(described["seed"], described["samples"])
    clips = []
    for clip in described:
        samples, rate = soundfile.read(FIXTURES / clip, dtype="float32")
        assert rate == 16_000 and samples.ndim == 1, clip
        clips += [samples, np.zeros(PAUSE, np.float32)]
    return np.concatenate(clips[:-1])


def expected(model: Reference, samples: np.ndarray, options: dict) -> dict:
    model.become_the_model()
    n_mels = model.dims.n_mels
    decoding = {"fp16": False, "sample_len": options.get("max_new_tokens"), "task": options.get("task", "transcribe")}
    if options.get("beam_size", 1) > 1:
        decoding["beam_size"] = options["beam_size"]
    language, probability = options.get("language"), None
    if language is None and model.is_multilingual:
        start = first_window(n_mels, samples, options)
        _, probabilities = whisper.decoding.detect_language(model, start)
        language = max(probabilities, key=probabilities.get)
        probability = probabilities[language]
    decoding["language"] = language or "en"
    told = {"language": language or "en", "language_probability": probability}
    if len(samples) > 480_000 or options.get("timestamps"):
        result = whisper.transcribe(
            model, samples, temperature=0.0, compression_ratio_threshold=None, logprob_threshold=None,
            no_speech_threshold=None, condition_on_previous_text=options.get("condition_on_previous_text", True),
            initial_prompt=options.get("initial_prompt"), carry_initial_prompt=True, **decoding,
        )
        kept = [s for s in result["segments"] if s["text"].strip()]
        return told | {"text": "".join(s["text"] for s in kept).strip(), "segments": [
            segment(s["start"], s["end"], s["tokens"], s["avg_logprob"], s["no_speech_prob"], s["compression_ratio"])
            for s in kept]}
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), n_mels)
    prompt = options.get("initial_prompt")
    task = whisper.decoding.DecodingTask(model, whisper.DecodingOptions(without_timestamps=True, prompt=prompt, **decoding))
    result = task.run(mel[None])[0]
    words = model.encoding.decode([token for token in result.tokens if token < model.encoding.eot_token])
    whole = segment(0.0, len(samples) // 160 / 100, result.tokens, result.avg_logprob, result.no_speech_prob, result.compression_ratio)
    return told | {"text": words.strip(), "segments": [whole] if words.strip() else []}


def segment(start_s, end_s, tokens, avg_log_prob, no_speech_prob, compression_ratio) -> dict:
    return {"start_s": start_s, "end_s": end_s, "tokens": tokens, "avg_log_prob": avg_log_prob, "no_speech_prob": no_speech_prob,
            "compression_ratio": compression_ratio}


def first_window(n_mels: int, samples: np.ndarray, options: dict) -> torch.Tensor:
    """What the language is detected from: the window that is decoded first. With timestamps it has zeros after the audio."""
    if len(samples) <= 480_000 and not options.get("timestamps"):
        return whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), n_mels)
    mel = whisper.log_mel_spectrogram(samples, n_mels, padding=480_000)
    return whisper.pad_or_trim(mel[:, : len(samples) // 160], 3000)


def ask_transformers(directory: Path, model: Reference, samples: np.ndarray, options: dict, tokens: list) -> None:
    """Greedy decoding of one window must be the same in both."""
    other = WhisperForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    features = WhisperFeatureExtractor(feature_size=model.dims.n_mels)(samples, sampling_rate=16000, return_tensors="pt").input_features
    asked = {"language": options.get("language"), "task": options.get("task", "transcribe")} if model.is_multilingual else {}
    found = other.generate(features, num_beams=1, do_sample=False, max_new_tokens=options.get("max_new_tokens", 200), **asked)[0].tolist()
    # Random weights say timestamps unasked, and transformers then cuts there.
    special = set(model.encoding._special_tokens.values())
    words = list(itertools.takewhile(lambda token: token not in special, tokens))
    theirs = [token for token in found if token not in special]
    assert words == theirs[: len(words)], (words, theirs)
    assert len(words) < len(tokens) or words == theirs, (words, theirs)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root, torch.no_grad():
        directories = {"demo": DEMO}
        for name, tiny in ALL.items():
            directories[name] = Path(root) / name
            tiny.write(directories[name])
        models = {name: Reference(directory) for name, directory in directories.items()}
        done = []
        for case in cases():
            model, samples, options = models[case["checkpoint"]], sound(case["audio"]), case["options"]
            found = expected(model, samples, options)
            plain = set(options) <= {"max_new_tokens", "language", "task"} and len(samples) <= 480_000
            if plain and found["segments"]:
                ask_transformers(directories[case["checkpoint"]], model, samples, options, found["segments"][0]["tokens"])
            print(case["checkpoint"], case["audio"], options, "->", len(found["segments"]), "segments,", found["language"], repr(found["text"][:50]))
            if case["checkpoint"] != "demo":
                # openai-whisper counts the names of special tokens, which random weights say, as text.
                for one in found["segments"]:
                    one["compression_ratio"] = None
                    if case["audio"] == LONG:
                        # The mean is also of what is cut off and heard again, where random weights nearly tie.
                        one["avg_log_prob"] = None
            done.append(case | {"expected": rounded(found)})
        suppressed = {}
        for name, model in models.items():
            tokenizer = model.tokenizer(model.is_multilingual)
            steering = [tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm, tokenizer.no_speech, tokenizer.transcribe, tokenizer.translate]
            suppressed[name] = sorted({*tokenizer.non_speech_tokens, *steering})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in done)
    (HERE / "golden/generation.json").write_text(f'{{"suppressed":{json.dumps(suppressed)},\n"cases":[\n{lines}\n]}}\n')


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
