//! Tensors whose numbers do not lie row by row: views of others, which PyTorch saves as they are.

/// The numbers of a tensor, row by row. `strides`: numbers between neighbours in each dimension; `size`: bytes of a
/// number. `None` where a number lies outside of `bytes`. `shape` must be trusted: it says how much memory is taken.
pub(super) fn gather(
    bytes: &[u8],
    size: usize,
    shape: &[usize],
    strides: &[usize],
) -> Option<Vec<u8>> {
    let count: usize = shape.iter().product();
    let mut gathered = Vec::with_capacity(count * size);
    let mut place = vec![0; shape.len()];
    for _ in 0..count {
        let number: usize = place
            .iter()
            .zip(strides)
            .map(|(at, stride)| at * stride)
            .sum();
        let start = number.checked_mul(size)?;
        gathered.extend_from_slice(bytes.get(start..start + size)?);
        advance(&mut place, shape);
    }
    Some(gathered)
}

/// To the next place, the last dimension first.
fn advance(place: &mut [usize], shape: &[usize]) {
    for (at, size) in place.iter_mut().zip(shape).rev() {
        *at += 1;
        if *at < *size {
            return;
        }
        *at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_rows_are_gathered() {
        let columns = [1, 10, 4, 40, 2, 20, 5, 50, 3, 30, 6, 60];
        let rows = gather(&columns, 2, &[2, 3], &[1, 2]).unwrap();
        assert_eq!(rows, [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60]);
        assert_eq!(gather(&[7, 8], 1, &[2, 2], &[1, 0]).unwrap(), [7, 7, 8, 8]);
        assert_eq!(gather(&columns, 2, &[2, 4], &[1, 2]), None);
        assert_eq!(gather(&[5], 1, &[], &[]).unwrap(), [5]);
    }
}
