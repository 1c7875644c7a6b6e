//! How a client wants its utterance: what of a `transcribe` means something here, in little memory.

use wyoming::{Excerpt, Transcribe};

use crate::fault::Fault;

/// Names and terms of one request, together. Home Assistant exposes hundreds to a large home.
pub(super) const MAX_NAMES: usize = 2_000;
/// Bytes of all of them. A connection keeps its last request, so this times `--max-connections` is
/// what strangers can make the server hold.
pub(super) const MAX_NAME_BYTES: usize = 48 << 10;

/// The request for an utterance. The fields of a `transcribe` that nothing here uses are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    language: Option<Excerpt>,
    /// And terms.
    names: Texts,
}

impl Request {
    /// Takes what is used of a `transcribe`.
    ///
    /// # Errors
    /// [`Fault::TooManyNames`].
    pub fn read(transcribe: &Transcribe) -> Result<Self, Fault> {
        let lists = [&transcribe.transcript_names, &transcribe.transcript_terms];
        let texts = || {
            let texts = lists.into_iter().flatten().map(String::as_str);
            texts.filter(|text| is_name(text))
        };
        let (names, bytes) = (texts().count(), texts().map(str::len).sum());
        if names > MAX_NAMES || bytes > MAX_NAME_BYTES {
            return Err(Fault::TooManyNames {
                names,
                bytes,
                most: MAX_NAMES,
                most_bytes: MAX_NAME_BYTES,
            });
        }
        Ok(Self {
            language: transcribe.language.as_deref().map(Excerpt::of),
            names: Texts::of(texts()),
        })
    }

    /// The language, as the client wrote it.
    pub fn language(&self) -> Option<&str> {
        self.language.as_ref().map(Excerpt::as_str)
    }

    /// Names and terms to expect.
    pub fn names(&self) -> Vec<String> {
        self.names.iter().map(str::to_owned).collect()
    }
}

/// A list of texts in two pieces of memory: two thousand short strings would be a hundred kilobytes
/// more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts {
    joined: Box<str>,
    /// Where each ends in `joined`.
    ends: Box<[u32]>,
}

impl Texts {
    fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut joined = String::new();
        let mut ends = Vec::new();
        for text in texts {
            joined.push_str(text);
            // The sum was compared with `MAX_NAME_BYTES`.
            ends.push(u32::try_from(joined.len()).unwrap_or(u32::MAX));
        }
        Self {
            joined: joined.into(),
            ends: ends.into(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let range = |(start, end): (u32, &u32)| self.joined.get(start as usize..*end as usize);
        starts.zip(&self.ends).filter_map(range)
    }
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn named(names: Vec<String>) -> Transcribe {
        Transcribe {
            transcript_names: names,
            ..Transcribe::default()
        }
    }

    #[test]
    fn only_what_is_used_is_kept() {
        let request = Request::read(&Transcribe {
            name: Some("base".repeat(10_000)),
            language: Some("de".to_owned()),
            context: json!({"long": vec![0; 10_000]}).as_object().cloned(),
            vad_sensitivity: Some("relaxed".to_owned()),
            transcript_names: ["Zoë", "", "  ", "Küche"].map(str::to_owned).to_vec(),
            transcript_terms: vec!["lamp".to_owned()],
        })
        .unwrap();
        assert_eq!(request.language(), Some("de"));
        assert_eq!(request.names(), ["Zoë", "Küche", "lamp"]);
    }

    #[test]
    fn names_are_bounded_in_number_and_in_bytes_and_with_the_terms() {
        let short = |number: usize| vec!["x".to_owned(); number];
        assert!(Request::read(&named(short(MAX_NAMES))).is_ok());
        let both = Transcribe {
            transcript_terms: short(1),
            ..named(short(MAX_NAMES))
        };
        let refused = Request::read(&both).unwrap_err();
        assert_eq!(refused.code(), wyoming::Code::TooManyNames);
        let long = |bytes: usize| Request::read(&named(vec!["x".repeat(bytes)]));
        assert!(long(MAX_NAME_BYTES).is_ok());
        assert!(long(MAX_NAME_BYTES + 1).is_err());
        // Texts that are no names cost nothing, and count for nothing.
        let empty = Request::read(&named(vec![String::new(); 100_000])).unwrap();
        assert_eq!(empty, Request::default());
    }

    proptest! {
        #[test]
        fn texts_come_out_as_they_went_in(texts in proptest::collection::vec(".{1,9}", 0..20)) {
            let kept = Texts::of(texts.iter().map(String::as_str));
            let iterated: Vec<String> = kept.iter().map(str::to_owned).collect();
            prop_assert_eq!(iterated, texts);
        }
    }
}
