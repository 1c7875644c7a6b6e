"""From nothing to a small Whisper checkpoint that knows spoken smart-home commands.

The stages, each in a module of its own: texts, speech, tokenizer, training, export, evaluation.
"""
