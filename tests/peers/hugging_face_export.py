"""OpenAI's weights from a CTranslate2 folder, in Hugging Face's layout. usage: hugging_face_export.py CT2_DIR HF_DIR

The other engines' converters read that layout. Needs torch and transformers; the tensors are those of the folder, in
f32, by the conversion that `tests/real` has for its reference programs.
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "real"))

import weights


def main(source: Path, out: Path) -> None:
    """Weights, configurations, and the tokenizer as one file and in parts."""
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model, features, _ = weights.for_transformers(source)
    model.save_pretrained(unfinished)
    features.save_pretrained(unfinished)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    files = {"tokenizer.json": tokenizer, "vocab.json": tokenizer["model"]["vocab"], "added_tokens.json": added}
    for name, value in files.items():
        (unfinished / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


main(Path(sys.argv[1]), Path(sys.argv[2]))
