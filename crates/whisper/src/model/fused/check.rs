//! Whether the kernels give on a device what Candle's operations give there in f32. In f16 those round scores too, of which
//! some are ten and more, and are off by a hundredth.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_transformers::models::whisper::Config;

use super::{ARE_BUILT, Fused, Then, append_and_attend, attend_few, attend_to_all, finish};
#[cfg(feature = "testing")]
use crate::model::elsewhere;
use crate::model::{attention, ops};

/// Values are up to 2 and some sums up to 6, and f16 rounds those by up to 0.002. A kernel that is wrong is off by much
/// more.
const TOLERANCE: f32 = 0.005;

const HEADS: usize = 3;

/// Whether a model of this shape has kernels on this device, in f16.
///
/// # Errors
/// What the device said, if it cannot be used any more after a kernel of ours.
pub(in crate::model) fn check(config: &Config, device: &Device) -> Result<Fused> {
    let width = config.d_model;
    let head_widths = [
        width / config.encoder_attention_heads,
        width / config.decoder_attention_heads,
    ];
    let on_gpu = ARE_BUILT
        && device.is_cuda()
        && head_widths.iter().all(|width| HEAD_WIDTHS.contains(width));
    #[cfg(feature = "testing")]
    let on_gpu = on_gpu || elsewhere::has_fused();
    if on_gpu {
        compare(device, head_widths)
    } else {
        Ok(Fused::None)
    }
}

/// All checkpoints of OpenAI have heads of 64, the demo model has 32.
const HEAD_WIDTHS: [usize; 2] = [32, 64];

/// Takes some milliseconds, and on a GPU as long again as the driver needs to compile the kernels.
///
/// # Errors
/// What Candle said when its own operations failed.
fn compare(device: &Device, head_widths: [usize; 2]) -> Result<Fused> {
    let mut random = Random::new(device);
    for head_width in head_widths {
        for (kernel, difference) in [
            ("attend_to_all", to_all as Check),
            ("attend_few", few),
            ("append_and_attend", appended),
            ("best_tokens", best),
            ("finish", finished),
        ] {
            match difference(&mut random, head_width) {
                Ok(off) if off <= TOLERANCE => {}
                Ok(off) => return Ok(Fused::Wrong { kernel, off }),
                Err(error) => {
                    // After some faults a GPU does nothing more for this process.
                    device.synchronize()?;
                    return Ok(Fused::Failed { error });
                }
            }
        }
    }
    Ok(Fused::Used)
}

/// The largest difference for heads of a width.
type Check = fn(&mut Random<'_>, usize) -> Result<f32>;

/// Two windows that end within a block of keys.
fn to_all(random: &mut Random<'_>, head_width: usize) -> Result<f32> {
    const WINDOWS: usize = 2;
    const POSITIONS: usize = 150;
    let qkv = random.tensor((WINDOWS * POSITIONS, 3 * HEADS * head_width))?;
    let [queries, keys, values] = attention::split_heads(&wide(&qkv)?, WINDOWS, HEADS)?;
    let expected = attention::attend(&queries, &keys, &values, None)?;
    difference(&expected, &attend_to_all(&qkv, WINDOWS, HEADS)?)
}

/// Slots whose queries see a part of what is there, or nothing.
fn few(random: &mut Random<'_>, head_width: usize) -> Result<f32> {
    const CAPACITY: usize = 90;
    const POSITIONS: usize = 80;
    const SEEN: [[u32; 2]; 3] = [[80, 79], [0, 0], [1, 33]];
    let [slots, queries] = [SEEN.len(), SEEN[0].len()];
    let x = random.tensor((slots * queries, HEADS * head_width))?;
    let queries_of = attention::views_of_heads(&x, slots, HEADS)?;
    let mut side = || {
        let shelf = random.tensor((slots, HEADS, CAPACITY, head_width))?;
        shelf.narrow(2, 0, POSITIONS)
    };
    let (keys, values) = (side()?, side()?);
    let seen = Tensor::new(SEEN.as_flattened(), x.device())?;
    let found = attend_few(&queries_of, &keys, &values, &seen)?;
    let expected = each_by_candle(&queries_of, [&keys, &values], SEEN.as_flattened())?;
    difference(&expected, &found)
}

/// Slots with tokens before, with none, and one that takes no part.
fn appended(random: &mut Random<'_>, head_width: usize) -> Result<f32> {
    const CAPACITY: usize = 90;
    const SEEN: [[u32; 2]; 3] = [[79, 80], [0, 0], [1, 2]];
    let [slots, queries] = [SEEN.len(), SEEN[0].len()];
    let qkv = random.tensor((slots * queries, 3 * HEADS * head_width))?;
    let shelf = random.tensor((2, slots, HEADS, CAPACITY, head_width))?;
    let seen = Tensor::new(SEEN.as_flattened(), qkv.device())?;
    let expected_shelf = shelf.copy()?;
    let [queries_of, keys, values] = attention::split_heads(&qkv, slots, HEADS)?;
    for (row, seen) in SEEN.as_flattened().iter().enumerate() {
        let Some(place) = (*seen as usize).checked_sub(1) else {
            continue;
        };
        for (part, fresh) in [&keys, &values].into_iter().enumerate() {
            let own = fresh.narrow(0, row / queries, 1)?;
            let own = own.narrow(2, row % queries, 1)?.contiguous()?;
            let to = expected_shelf.get(part)?.narrow(0, row / queries, 1)?;
            to.slice_set(&own, 2, place)?;
        }
    }
    let found = append_and_attend(&qkv, &shelf, &seen)?;
    let sides = [&expected_shelf.get(0)?, &expected_shelf.get(1)?];
    let expected = each_by_candle(&queries_of, sides, SEEN.as_flattened())?;
    let off = difference(&expected, &found)?;
    Ok(largest(off, difference(&expected_shelf, &shelf)?))
}

/// Attention of each query to as many positions as it sees; zeros for none. Shapes as [`attend_few`] has them.
fn each_by_candle(queries: &Tensor, sides: [&Tensor; 2], seen: &[u32]) -> Result<Tensor> {
    let (_, heads, of_slot, head_width) = queries.dims4()?;
    let one = |(row, &seen): (usize, &u32)| {
        if seen == 0 {
            return Tensor::zeros((1, heads * head_width), DType::F32, queries.device());
        }
        let own = |x: &Tensor| wide(x)?.narrow(0, row / of_slot, 1);
        let seen = |x: &Tensor| own(x)?.narrow(2, 0, seen as usize)?.contiguous();
        let query = own(queries)?.narrow(2, row % of_slot, 1)?.contiguous()?;
        attention::attend(&query, &seen(sides[0])?, &seen(sides[1])?, None)
    };
    let rows: Result<Vec<Tensor>> = seen.iter().enumerate().map(one).collect();
    Tensor::cat(&rows?, 0)
}

/// Many logits are equal, and the best of one row is forbidden. A wrong token is off by 1 at least.
fn best(random: &mut Random<'_>, _: usize) -> Result<f32> {
    const ROWS: usize = 3;
    const VOCAB: usize = 5003;
    let logits = random.tensor((ROWS, VOCAB))?;
    let choice = |forbidden: &[u32], has_fused: bool| {
        ops::BestTokens::new(forbidden, VOCAB, logits.device(), has_fused)
    };
    let free = choice(&[], false)?.found_by_candle(&logits)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number of a token"
    )]
    let forbidden = free.get(0)?.get(0)?.to_scalar::<f32>()? as u32;
    let expected = choice(&[forbidden], false)?.found_by_candle(&logits)?;
    difference(&expected, &choice(&[forbidden], true)?.found(&logits)?)
}

/// More values than one block has threads for.
fn finished(random: &mut Random<'_>, head_width: usize) -> Result<f32> {
    let dims = (30, HEADS * head_width);
    let [product, other] = [random.tensor(dims)?, random.tensor(dims)?];
    let bias = random.tensor(dims.1)?;
    let mut off: f32 = 0.0;
    let wide_other = wide(&other)?;
    for (then, wide_then) in [
        (Then::Nothing, Then::Nothing),
        (Then::Gelu, Then::Gelu),
        (Then::Add(&other), Then::Add(&wide_other)),
    ] {
        let found = product.copy()?;
        finish(&found, &bias, then)?;
        let expected = ops::finish_by_candle(&wide(&product)?, &wide(&bias)?, wide_then)?;
        off = largest(off, difference(&expected, &found)?);
    }
    Ok(off)
}

fn wide(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)
}

fn difference(expected: &Tensor, found: &Tensor) -> Result<f32> {
    let values = |x: &Tensor| wide(x)?.flatten_all()?.to_vec1::<f32>();
    let (expected, found) = (values(expected)?, values(found)?);
    let differences = expected.iter().zip(&found).map(|(a, b)| (a - b).abs());
    Ok(differences.fold(0.0, largest))
}

/// A difference that is no number is larger than all.
fn largest(a: f32, b: f32) -> f32 {
    if b.is_nan() || b > a { b } else { a }
}

/// The same values on each device, between −2 and 2.
struct Random<'a> {
    device: &'a Device,
    state: u32,
}

impl<'a> Random<'a> {
    fn new(device: &'a Device) -> Self {
        Self { device, state: 1 }
    }

    fn tensor(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let values: Vec<f32> = (0..shape.elem_count()).map(|_| self.next()).collect();
        Tensor::from_vec(values, shape, self.device)?.to_dtype(DType::F16)
    }

    /// Marsaglia's xorshift.
    fn next(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state as f32 / u32::MAX as f32 * 4.0 - 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loops_that_stand_in_for_the_kernels_pass() {
        let found = compare(&Device::Cpu, [32, 64]);
        assert!(matches!(found, Ok(Fused::Used)), "{found:?}");
    }

    #[test]
    fn the_largest_difference_counts_and_one_that_is_no_number_most() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let of = |found: &[f32]| difference(&tensor(&[1.0, 2.0, 3.0]), &tensor(found)).unwrap();
        assert!((of(&[1.0, 2.5, 3.25]) - 0.5).abs() < 1e-6);
        assert!(of(&[f32::NAN, 2.0, 9.0]).is_nan() && of(&[1.0, 2.0, f32::NAN]).is_nan());
    }
}
