//! The names that OpenAI gives tensors.

/// `model.encoder.layers.0.fc1.weight` → `encoder.blocks.0.mlp.0.weight`.
pub(super) fn name_of(name: &str) -> String {
    // Order matters: longer names stand before those that they contain.
    const PARTS: [(&str, &str); 17] = [
        ("model.", ""),
        (".layers.", ".blocks."),
        ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("self_attn_layer_norm", "attn_ln"),
        ("final_layer_norm", "mlp_ln"),
        ("encoder.layer_norm", "encoder.ln_post"),
        ("decoder.layer_norm", "decoder.ln"),
        ("encoder_attn", "cross_attn"),
        ("self_attn", "attn"),
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "out"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
        ("embed_positions.weight", "positional_embedding"),
        ("embed_tokens", "token_embedding"),
    ];
    PARTS.iter().fold(name.to_owned(), |name, (theirs, ours)| {
        name.replace(theirs, ours)
    })
}
