//! Numbers as JSON writers of many languages write them.

use serde_json::Number;

/// Below this every whole number has an `f64` of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The number if it is whole: `16000`, and `16000.0` too, which is what languages with one kind of
/// number write.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        let is_whole = float.fract() == 0.0 && float.abs() < EXACT;
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "whole and within ±2^53"
        )]
        is_whole.then_some(float as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<i64> {
        whole(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        for (text, number) in [
            ("16000", Some(16_000)),
            ("16000.0", Some(16_000)),
            ("1.6e4", Some(16_000)),
            ("-0.0", Some(0)),
            ("-3.0", Some(-3)),
            ("16000.5", None),
            ("1e30", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(read(text), number, "{text}");
        }
    }
}
