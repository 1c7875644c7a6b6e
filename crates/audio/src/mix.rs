//! Many channels to one.

/// The mean of one frame's samples: it cannot clip, unlike the sum that some clients use.
pub(crate) fn to_mono(samples: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = samples.fold((0.0_f32, 0.0_f32), |(sum, count), sample| {
        (sum + sample, count + 1.0)
    });
    if count == 0.0 { 0.0 } else { sum / count }
}
