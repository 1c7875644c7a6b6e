//! What a hub's answers say in their headers.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::args::is_plain;

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The name of the blob: of the file itself where it lies in the store of large files.
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    let raw = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"))?;
    let plain = raw.trim_start_matches("W/").trim_matches('"');
    is_plain(plain).then(|| plain.to_owned())
}

pub(super) fn size(headers: &HeaderMap, status: StatusCode) -> Option<u64> {
    let own = || text(headers, "content-length").filter(|_| status.is_success());
    text(headers, "x-linked-size").or_else(own)?.parse().ok()
}

/// First byte by `Content-Range: bytes START-END/SIZE`.
pub(super) fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = text(headers, "content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_sum_of_the_large_file_counts_not_the_one_of_its_pointer() {
        let both = headers(&[("etag", "\"aa\""), ("x-linked-etag", "\"bb\"")]);
        assert_eq!(etag(&both).as_deref(), Some("bb"));
        assert_eq!(
            etag(&headers(&[("etag", "W/\"aa\"")])).as_deref(),
            Some("aa")
        );
        assert_eq!(etag(&headers(&[("etag", "\"../up\"")])), None);
    }

    #[test]
    fn a_redirect_tells_the_size_in_its_own_header_only() {
        let both = headers(&[("content-length", "300"), ("x-linked-size", "5")]);
        assert_eq!(size(&both, StatusCode::FOUND), Some(5));
        let own = headers(&[("content-length", "300")]);
        assert_eq!(size(&own, StatusCode::OK), Some(300));
        assert_eq!(size(&own, StatusCode::FOUND), None);
    }

    #[test]
    fn a_range_begins_where_it_says() {
        assert_eq!(
            range_start(&headers(&[("content-range", "bytes 7-9/10")])),
            Some(7)
        );
        assert_eq!(
            range_start(&headers(&[("content-range", "bytes */10")])),
            None
        );
        assert_eq!(range_start(&headers(&[])), None);
    }
}
