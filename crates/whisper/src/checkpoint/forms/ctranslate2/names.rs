//! CTranslate2's names of tensors and transformers'.

/// Rows of a variable that are one tensor of transformers: part `index` of `of` equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) index: usize,
    pub(super) of: usize,
}

/// What transformers calls a variable, or its parts; nothing for what it has not, such as settings and the keys' biases.
pub(super) fn parts(called: &str) -> Vec<Part> {
    let whole = |name: String| {
        let (index, of) = (0, 1);
        vec![Part { name, index, of }]
    };
    let parts: Vec<&str> = called.split('/').collect();
    match parts[..] {
        ["decoder", "projection", "weight"] => whole("proj_out.weight".to_owned()),
        ["decoder", "embeddings", "weight"] => whole("decoder.embed_tokens.weight".to_owned()),
        [side, "position_encodings", "encodings"] => {
            whole(format!("{side}.embed_positions.weight"))
        }
        ["encoder", conv @ ("conv1" | "conv2"), field] => whole(format!("encoder.{conv}.{field}")),
        [side, "layer_norm", field] => {
            let field = norm_field(field);
            field.map_or_else(Vec::new, |field| {
                whole(format!("{side}.layer_norm.{field}"))
            })
        }
        [side, layer, block, inner, field] => {
            let Some(layer) = layer.strip_prefix("layer_") else {
                return Vec::new();
            };
            of_layer(&format!("{side}.layers.{layer}"), block, inner, field)
        }
        _ => Vec::new(),
    }
}

fn of_layer(layer: &str, block: &str, inner: &str, field: &str) -> Vec<Part> {
    let attention = match block {
        "self_attention" => "self_attn",
        _ => "encoder_attn",
    };
    let field = match (inner, field) {
        ("layer_norm", field) => norm_field(field),
        (_, "weight") => Some("weight"),
        (_, "bias") => Some("bias"),
        _ => None,
    };
    let Some(field) = field else {
        return Vec::new();
    };
    let projections: &[&str] = match (block, inner) {
        ("ffn", "layer_norm") => &["final_layer_norm"],
        ("ffn", "linear_0") => &["fc1"],
        ("ffn", "linear_1") => &["fc2"],
        ("self_attention", "linear_0") => &["q_proj", "k_proj", "v_proj"],
        ("attention", "linear_0") => &["q_proj"],
        ("attention", "linear_1") => &["k_proj", "v_proj"],
        ("self_attention", "linear_1") | ("attention", "linear_2") => &["out_proj"],
        ("self_attention" | "attention", "layer_norm") => {
            let name = format!("{layer}.{attention}_layer_norm.{field}");
            let (index, of) = (0, 1);
            return vec![Part { name, index, of }];
        }
        _ => &[],
    };
    let between = if block == "ffn" {
        String::new()
    } else {
        format!("{attention}.")
    };
    let part = |(index, projection): (usize, &&str)| Part {
        name: format!("{layer}.{between}{projection}.{field}"),
        index,
        of: projections.len(),
    };
    let is_there = |part: &Part| !part.name.ends_with("k_proj.bias");
    projections
        .iter()
        .enumerate()
        .map(part)
        .filter(is_there)
        .collect()
}

fn norm_field(field: &str) -> Option<&'static str> {
    match field {
        "gamma" => Some("weight"),
        "beta" => Some("bias"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(called: &str, expected: &[(&str, usize, usize)]) {
        let found = parts(called);
        let found: Vec<(&str, usize, usize)> = found
            .iter()
            .map(|part| (part.name.as_str(), part.index, part.of))
            .collect();
        assert_eq!(found, expected, "{called}");
    }

    #[test]
    fn names_are_those_of_transformers() {
        check(
            "encoder/position_encodings/encodings",
            &[("encoder.embed_positions.weight", 0, 1)],
        );
        check("encoder/conv2/bias", &[("encoder.conv2.bias", 0, 1)]);
        check(
            "decoder/layer_norm/gamma",
            &[("decoder.layer_norm.weight", 0, 1)],
        );
        check(
            "decoder/layer_3/ffn/linear_1/weight",
            &[("decoder.layers.3.fc2.weight", 0, 1)],
        );
        check(
            "decoder/layer_0/attention/layer_norm/beta",
            &[("decoder.layers.0.encoder_attn_layer_norm.bias", 0, 1)],
        );
        check("decoder/projection/weight", &[("proj_out.weight", 0, 1)]);
    }

    #[test]
    fn fused_matrices_are_parts_in_order() {
        check(
            "encoder/layer_1/self_attention/linear_0/weight",
            &[
                ("encoder.layers.1.self_attn.q_proj.weight", 0, 3),
                ("encoder.layers.1.self_attn.k_proj.weight", 1, 3),
                ("encoder.layers.1.self_attn.v_proj.weight", 2, 3),
            ],
        );
        check(
            "decoder/layer_1/attention/linear_1/bias",
            &[("decoder.layers.1.encoder_attn.v_proj.bias", 1, 2)],
        );
    }

    #[test]
    fn what_transformers_has_not_has_no_name() {
        for other in [
            "decoder/num_heads",
            "encoder/layer_0/ffn/linear_0/weight_scale",
            "encoder/layer_0/ffn/layer_norm/x",
            "a/b/c/d/e",
            "",
        ] {
            check(other, &[]);
        }
    }
}
