//! The names that OpenAI gives tensors, which whisper.cpp took over, and the names of transformers.

/// `encoder.blocks.0.mlp.0.weight` → `encoder.layers.0.fc1.weight`; what is no name of OpenAI's stays as it is.
pub(super) fn to_transformers(name: &str) -> String {
    const OUTSIDE_OF_BLOCKS: [(&str, &str); 5] = [
        (
            "encoder.positional_embedding",
            "encoder.embed_positions.weight",
        ),
        (
            "decoder.positional_embedding",
            "decoder.embed_positions.weight",
        ),
        (
            "decoder.token_embedding.weight",
            "decoder.embed_tokens.weight",
        ),
        ("encoder.ln_post.", "encoder.layer_norm."),
        ("decoder.ln.", "decoder.layer_norm."),
    ];
    const WITHIN_BLOCKS: [(&str, &str); 13] = [
        ("attn_ln.", "self_attn_layer_norm."),
        ("attn.query.", "self_attn.q_proj."),
        ("attn.key.", "self_attn.k_proj."),
        ("attn.value.", "self_attn.v_proj."),
        ("attn.out.", "self_attn.out_proj."),
        ("cross_attn_ln.", "encoder_attn_layer_norm."),
        ("cross_attn.query.", "encoder_attn.q_proj."),
        ("cross_attn.key.", "encoder_attn.k_proj."),
        ("cross_attn.value.", "encoder_attn.v_proj."),
        ("cross_attn.out.", "encoder_attn.out_proj."),
        ("mlp_ln.", "final_layer_norm."),
        ("mlp.0.", "fc1."),
        ("mlp.2.", "fc2."),
    ];
    let renamed = |name: &str, names: &[(&str, &str)]| {
        names.iter().find_map(|(theirs, ours)| {
            let rest = name.strip_prefix(theirs)?;
            Some(format!("{ours}{rest}"))
        })
    };
    let within = split_block(name).and_then(|(side, block, rest)| {
        let rest = renamed(rest, &WITHIN_BLOCKS)?;
        Some(format!("{side}.layers.{block}.{rest}"))
    });
    within
        .or_else(|| renamed(name, &OUTSIDE_OF_BLOCKS))
        .unwrap_or_else(|| name.to_owned())
}

/// `encoder.blocks.0.mlp.0.weight` → `encoder`, `0`, `mlp.0.weight`.
fn split_block(name: &str) -> Option<(&str, &str, &str)> {
    let (side, rest) = name.split_once(".blocks.")?;
    let (block, rest) = rest.split_once('.')?;
    Some((side, block, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_openai_become_those_of_transformers() {
        let check = |theirs, ours| assert_eq!(to_transformers(theirs), ours);
        check("encoder.conv1.weight", "encoder.conv1.weight");
        check(
            "encoder.positional_embedding",
            "encoder.embed_positions.weight",
        );
        check("encoder.ln_post.bias", "encoder.layer_norm.bias");
        check("decoder.ln.weight", "decoder.layer_norm.weight");
        check(
            "decoder.token_embedding.weight",
            "decoder.embed_tokens.weight",
        );
        check(
            "encoder.blocks.11.attn.key.weight",
            "encoder.layers.11.self_attn.k_proj.weight",
        );
        check(
            "decoder.blocks.0.cross_attn.out.bias",
            "decoder.layers.0.encoder_attn.out_proj.bias",
        );
        check(
            "decoder.blocks.0.cross_attn_ln.bias",
            "decoder.layers.0.encoder_attn_layer_norm.bias",
        );
        check(
            "decoder.blocks.3.attn_ln.weight",
            "decoder.layers.3.self_attn_layer_norm.weight",
        );
        check("decoder.blocks.3.mlp.2.bias", "decoder.layers.3.fc2.bias");
        check(
            "decoder.blocks.3.mlp_ln.bias",
            "decoder.layers.3.final_layer_norm.bias",
        );
        check("proj_out.weight", "proj_out.weight");
    }
}
