"""A CTranslate2 folder of Whisper as the two reference programs want it: transformers' model, and openai-whisper's.

Only `golden.py` needs it: the server reads the folder as it is.
"""

import json
import struct
from pathlib import Path

import numpy as np

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
# Rows of the fused matrices, by the names that transformers gives them.
FUSED = {
    "self_attention/linear_0": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "self_attention/linear_1": ("self_attn", ("out_proj",)),
    "attention/linear_0": ("encoder_attn", ("q_proj",)),
    "attention/linear_1": ("encoder_attn", ("k_proj", "v_proj")),
    "attention/linear_2": ("encoder_attn", ("out_proj",)),
    "ffn/linear_0": ("", ("fc1",)),
    "ffn/linear_1": ("", ("fc2",)),
}
NORMS = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "ffn/layer_norm": "final_layer_norm",
}
OPENAI = [
    (".layers.", ".blocks."),
    (".self_attn_layer_norm.", ".attn_ln."),
    (".encoder_attn_layer_norm.", ".cross_attn_ln."),
    (".self_attn.", ".attn."),
    (".encoder_attn.", ".cross_attn."),
    (".q_proj.", ".query."),
    (".k_proj.", ".key."),
    (".v_proj.", ".value."),
    (".out_proj.", ".out."),
    (".final_layer_norm.", ".mlp_ln."),
    (".fc1.", ".mlp.0."),
    (".fc2.", ".mlp.2."),
    ("encoder.layer_norm.", "encoder.ln_post."),
    ("decoder.layer_norm.", "decoder.ln."),
    ("embed_positions.weight", "positional_embedding"),
    ("decoder.embed_tokens.", "decoder.token_embedding."),
]


def read(path):
    """The tensors of a `model.bin` by CTranslate2's names."""
    content = memoryview(Path(path).read_bytes())
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, content, at)
        at += struct.calcsize("<" + form)
        return values

    def name():
        (length,) = take("H")
        return bytes(take(f"{length}s")[0][:-1]).decode()

    take("I"), name(), take("I")
    tensors = {}
    for _ in range(take("I")[0]):
        tensor, rank = name(), take("B")[0]
        shape, (kind, size) = take("I" * rank), take("BI")
        tensors[tensor] = np.frombuffer(content[at : at + size], TYPES[kind]).reshape(shape)
        at += size
    return tensors


def transformers_names(given):
    """The same tensors in f32 by transformers' names, without `model.`."""
    found = {}

    def norm(to, at):
        found[to + ".weight"], found[to + ".bias"] = given[at + "/gamma"], given[at + "/beta"]

    for side in ("encoder", "decoder"):
        found[side + ".embed_positions.weight"] = given[side + "/position_encodings/encodings"]
        norm(side + ".layer_norm", side + "/layer_norm")
        layers = {name.split("/")[1] for name in given if name.startswith(side + "/layer_") and name.count("/") > 2}
        for layer in layers:
            at, to = f"{side}/{layer}", f"{side}.layers.{layer.removeprefix('layer_')}"
            for fused, (block, parts) in FUSED.items():
                if f"{at}/{fused}/weight" not in given:
                    continue
                rows = [np.split(given[f"{at}/{fused}/{kind}"], len(parts)) for kind in ("weight", "bias")]
                for part, weight, bias in zip(parts, *rows):
                    target = ".".join(filter(None, (to, block, part)))
                    found[target + ".weight"] = weight
                    if part != "k_proj":
                        found[target + ".bias"] = bias
            for fused, block in NORMS.items():
                if f"{at}/{fused}/gamma" in given:
                    norm(f"{to}.{block}", f"{at}/{fused}")
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            found[f"encoder.{conv}.{kind}"] = given[f"encoder/{conv}/{kind}"]
    found["decoder.embed_tokens.weight"] = given["decoder/embeddings/weight"]
    return {name: np.array(value, np.float32) for name, value in found.items()}


def shape(tensors):
    """The sizes that both programs ask for."""
    layers = {
        side: 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith(side + ".layers."))
        for side in ("encoder", "decoder")
    }
    vocabulary, width = tensors["decoder.embed_tokens.weight"].shape
    return {
        "mels": tensors["encoder.conv1.weight"].shape[1],
        "width": width,
        "heads": width // 64,
        "vocabulary": vocabulary,
        "english": vocabulary == 51_864,
        **layers,
    }


def for_transformers(folder):
    """`WhisperForConditionalGeneration` in f32, and its processor's parts: features and tokenizer."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast

    folder = Path(folder)
    tensors = transformers_names(read(folder / "model.bin"))
    given, sizes = json.loads((folder / "config.json").read_text()), shape(tensors)
    tokenizer = WhisperTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    number = tokenizer.convert_tokens_to_ids
    end = number("<|endoftext|>")
    tokens = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": number("<|startoftranscript|>"),
        "begin_suppress_tokens": given["suppress_ids_begin"],
        "suppress_tokens": given["suppress_ids"],
    }
    config = WhisperConfig(
        vocab_size=sizes["vocabulary"],
        num_mel_bins=sizes["mels"],
        d_model=sizes["width"],
        encoder_layers=sizes["encoder"],
        decoder_layers=sizes["decoder"],
        encoder_attention_heads=sizes["heads"],
        decoder_attention_heads=sizes["heads"],
        encoder_ffn_dim=4 * sizes["width"],
        decoder_ffn_dim=4 * sizes["width"],
        **{key: value for key, value in tokens.items() if "suppress" not in key},
    )
    model = WhisperForConditionalGeneration(config)
    state = {"model." + name: torch.from_numpy(value) for name, value in tensors.items()}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    model.load_state_dict(state)
    generation = {"no_timestamps_token_id": number("<|notimestamps|>"), "is_multilingual": not sizes["english"], "max_length": 448}
    if not sizes["english"]:
        languages = [token for token, index in tokenizer.get_added_vocab().items() if index in given["lang_ids"]]
        generation["lang_to_id"] = {token: number(token) for token in languages}
        generation["task_to_id"] = {task: number(f"<|{task}|>") for task in ("transcribe", "translate")}
    model.generation_config = GenerationConfig(**tokens, **generation)
    return model.eval(), WhisperFeatureExtractor(feature_size=sizes["mels"]), tokenizer


def for_openai(folder):
    """openai-whisper's model in f32."""
    import torch
    import whisper

    tensors = transformers_names(read(Path(folder) / "model.bin"))
    sizes = shape(tensors)
    dims = whisper.ModelDimensions(
        n_mels=sizes["mels"],
        n_audio_ctx=1500,
        n_audio_state=sizes["width"],
        n_audio_head=sizes["heads"],
        n_audio_layer=sizes["encoder"],
        n_vocab=sizes["vocabulary"],
        n_text_ctx=448,
        n_text_state=sizes["width"],
        n_text_head=sizes["heads"],
        n_text_layer=sizes["decoder"],
    )
    model = whisper.model.Whisper(dims)
    state = {}
    for name, value in tensors.items():
        for there, here in OPENAI:
            name = name.replace(there, here)
        state[name] = torch.from_numpy(value)
    model.load_state_dict(state)
    heads = torch.zeros(sizes["decoder"], sizes["heads"], dtype=torch.bool)
    for layer, head in json.loads((Path(folder) / "config.json").read_text())["alignment_heads"]:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()
