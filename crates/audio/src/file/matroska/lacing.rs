//! Blocks: a track, a time, and one or several packets.

use super::element::varint;

/// The track's number and the packets; `None` for a block whose sizes do not fit.
pub(super) fn packets(block: &[u8]) -> Option<(u64, Vec<&[u8]>)> {
    let (track, bytes) = varint(block)?;
    // A time of two bytes comes before the flags.
    let flags = *block.get(bytes + 2)?;
    let body = block.get(bytes + 3..)?;
    let lacing = (flags >> 1) & 3;
    if lacing == 0 {
        return Some((track, vec![body]));
    }
    let (&last, body) = body.split_first()?;
    let packets = match lacing {
        1 => cut(body, usize::from(last), xiph_size)?,
        2 => {
            let count = usize::from(last) + 1;
            let size = body.len() / count;
            let fits = size > 0 && body.len() % count == 0;
            fits.then(|| body.chunks_exact(size).collect())?
        }
        _ => cut_by_differences(body, usize::from(last))?,
    };
    Some((track, packets))
}

/// Sizes of all packets but the last, then the packets.
fn cut(body: &[u8], sizes: usize, read: fn(&[u8]) -> Option<(usize, usize)>) -> Option<Vec<&[u8]>> {
    let mut rest = body;
    let mut known = Vec::with_capacity(sizes);
    for _ in 0..sizes {
        let (size, bytes) = read(rest)?;
        known.push(size);
        rest = rest.get(bytes..)?;
    }
    split(rest, &known)
}

/// Bytes of 255 and a last smaller one, added up.
fn xiph_size(bytes: &[u8]) -> Option<(usize, usize)> {
    let full = bytes.iter().take_while(|&&byte| byte == 255).count();
    let last = usize::from(*bytes.get(full)?);
    Some((255 * full + last, full + 1))
}

/// The first size, then how much each differs from the one before.
fn cut_by_differences(body: &[u8], sizes: usize) -> Option<Vec<&[u8]>> {
    let (mut rest, mut known) = (body, Vec::with_capacity(sizes));
    let mut size = 0_i64;
    for index in 0..sizes {
        let (number, bytes) = varint(rest)?;
        let number = i64::try_from(number).ok()?;
        // Differences are stored with half of their range added.
        let bias = (1_i64 << (7 * bytes - 1)) - 1;
        size = if index == 0 {
            number
        } else {
            size.checked_add(number - bias)?
        };
        known.push(usize::try_from(size).ok()?);
        rest = rest.get(bytes..)?;
    }
    split(rest, &known)
}

fn split<'a>(mut rest: &'a [u8], sizes: &[usize]) -> Option<Vec<&'a [u8]>> {
    let mut packets = Vec::with_capacity(sizes.len() + 1);
    for &size in sizes {
        let (packet, behind) = rest.split_at_checked(size)?;
        packets.push(packet);
        rest = behind;
    }
    packets.push(rest);
    Some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lacing_gives_its_packets() {
        let block = |flags: u8, rest: &[u8]| [&[0x81, 0, 0, flags], rest].concat();
        let given = |block: &[u8]| packets(block).map(|(_, packets)| packets.concat());
        assert_eq!(packets(&block(0, b"ab")), Some((1, vec![&b"ab"[..]])));
        assert_eq!(
            packets(&block(2, b"\x02\x01\x02abbccc")).unwrap().1,
            [&b"a"[..], b"bb", b"ccc"]
        );
        assert_eq!(
            packets(&block(4, b"\x01aabb")).unwrap().1,
            [&b"aa"[..], b"bb"]
        );
        // 1 byte, then one more (63 is no difference), then the rest.
        assert_eq!(
            packets(&block(6, b"\x02\x81\xC0abbccc")).unwrap().1,
            [&b"a"[..], b"bb", b"ccc"]
        );
        for bad in [&b"\x02\x09\x09a"[..], b"\x02\xFF", b"\x02"] {
            assert_eq!(given(&block(2, bad)), None, "{bad:?}");
        }
    }
}
