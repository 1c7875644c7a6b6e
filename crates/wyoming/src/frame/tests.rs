use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    AudioChunk, AudioFormat, AudioStart, Code, ErrorEvent, Event, Transcribe, Transcript,
    TranscriptStart,
};
use tokio_util::codec::Encoder;

/// Everything that a stream of these bytes holds, read in pieces of `piece` bytes.
fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, FrameError> {
    let mut codec = FrameCodec::new(Limits::default());
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = codec.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    while let Some(frame) = codec.decode_eof(&mut buffer)? {
        frames.push(frame);
    }
    Ok(frames)
}

fn read(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    read_in_pieces(bytes, bytes.len())
}

fn written(event: Event, form: Form) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameCodec::new(Limits::default())
        .encode((event, form), &mut out)
        .unwrap();
    out.to_vec()
}

fn pcm16() -> AudioFormat {
    AudioFormat::new(16_000, 2, 1).unwrap()
}

/// Bytes as release 1.10.2 of the reference library writes them.
fn golden() -> Vec<(Event, &'static [u8])> {
    let names = Transcribe {
        name: Some("base".to_owned()),
        language: Some("de".to_owned()),
        context: json!({"k": 1}).as_object().cloned(),
        vad_sensitivity: Some("relaxed".to_owned()),
        transcript_names: vec!["Küche".to_owned()],
        transcript_terms: vec!["lamp".to_owned()],
    };
    vec![
        (Event::Describe, b"{\"type\": \"describe\", \"version\": \"1.10.2\"}\n"),
        (
            Event::SelectProgram { name: "whisper".to_owned() },
            b"{\"type\": \"select-program\", \"version\": \"1.10.2\", \"data_length\": 19}\n{\"name\": \"whisper\"}",
        ),
        (
            Event::Transcribe(Transcribe::default()),
            b"{\"type\": \"transcribe\", \"version\": \"1.10.2\"}\n",
        ),
        (
            Event::Transcribe(names),
            "{\"type\": \"transcribe\", \"version\": \"1.10.2\", \"data_length\": 147}\n{\"name\": \"base\", \"language\": \"de\", \"context\": {\"k\": 1}, \"vad_sensitivity\": \"relaxed\", \"transcript_names\": [\"Küche\"], \"transcript_terms\": [\"lamp\"]}".as_bytes(),
        ),
        (
            Event::AudioStart(AudioStart { format: pcm16(), timestamp_ms: None }),
            b"{\"type\": \"audio-start\", \"version\": \"1.10.2\", \"data_length\": 61}\n{\"rate\": 16000, \"width\": 2, \"channels\": 1, \"timestamp\": null}",
        ),
        (
            Event::AudioChunk(AudioChunk { format: pcm16(), timestamp_ms: None, pcm: Bytes::from_static(&[0, 1, 0, 1]) }),
            b"{\"type\": \"audio-chunk\", \"version\": \"1.10.2\", \"data_length\": 61, \"payload_length\": 4}\n{\"rate\": 16000, \"width\": 2, \"channels\": 1, \"timestamp\": null}\x00\x01\x00\x01",
        ),
        (
            Event::AudioChunk(AudioChunk { format: pcm16(), timestamp_ms: None, pcm: Bytes::new() }),
            b"{\"type\": \"audio-chunk\", \"version\": \"1.10.2\", \"data_length\": 61}\n{\"rate\": 16000, \"width\": 2, \"channels\": 1, \"timestamp\": null}",
        ),
        (
            Event::AudioStop { timestamp_ms: None },
            b"{\"type\": \"audio-stop\", \"version\": \"1.10.2\", \"data_length\": 19}\n{\"timestamp\": null}",
        ),
        (
            Event::Transcript(Transcript { text: "Schalte das Licht in der Küche ein".to_owned(), ..Transcript::default() }),
            "{\"type\": \"transcript\", \"version\": \"1.10.2\", \"data_length\": 47}\n{\"text\": \"Schalte das Licht in der Küche ein\"}".as_bytes(),
        ),
        (
            Event::Transcript(Transcript { text: "hi".to_owned(), language: Some("en".to_owned()), context: None }),
            b"{\"type\": \"transcript\", \"version\": \"1.10.2\", \"data_length\": 32}\n{\"text\": \"hi\", \"language\": \"en\"}",
        ),
        (
            Event::TranscriptStart(TranscriptStart::default()),
            b"{\"type\": \"transcript-start\", \"version\": \"1.10.2\"}\n",
        ),
        (
            Event::TranscriptChunk { text: "hi ".to_owned() },
            b"{\"type\": \"transcript-chunk\", \"version\": \"1.10.2\", \"data_length\": 15}\n{\"text\": \"hi \"}",
        ),
        (Event::TranscriptStop, b"{\"type\": \"transcript-stop\", \"version\": \"1.10.2\"}\n"),
        (
            Event::Error(ErrorEvent { text: "boom".to_owned(), code: Some("x".to_owned()) }),
            b"{\"type\": \"error\", \"version\": \"1.10.2\", \"data_length\": 29}\n{\"text\": \"boom\", \"code\": \"x\"}",
        ),
        (
            Event::Ping { text: None },
            b"{\"type\": \"ping\", \"version\": \"1.10.2\", \"data_length\": 14}\n{\"text\": null}",
        ),
        (
            Event::Pong { text: Some("a".to_owned()) },
            b"{\"type\": \"pong\", \"version\": \"1.10.2\", \"data_length\": 13}\n{\"text\": \"a\"}",
        ),
        (
            Event::Info(Box::new(golden_info())),
            b"{\"type\": \"info\", \"version\": \"1.10.2\", \"data_length\": 514}\n{\"asr\": [{\"name\": \"p\", \"attribution\": {\"name\": \"OpenAI\", \"url\": \"https://x\"}, \"installed\": true, \"description\": null, \"version\": \"1\", \"models\": [{\"name\": \"m\", \"attribution\": {\"name\": \"OpenAI\", \"url\": \"https://x\"}, \"installed\": true, \"description\": \"d\", \"version\": null, \"languages\": [\"en\"]}], \"supports_transcript_streaming\": false, \"requires_external_vad\": true, \"prefers_auto_gain_enabled\": true, \"prefers_noise_reduction_enabled\": true}], \"tts\": [], \"handle\": [], \"intent\": [], \"wake\": [], \"mic\": [], \"snd\": []}",
        ),
    ]
}

fn golden_info() -> crate::info::Info {
    use crate::info::{AsrModel, AsrProgram, Attribution, Info};
    let attribution = Attribution {
        name: "OpenAI".to_owned(),
        url: "https://x".to_owned(),
    };
    let model = AsrModel {
        name: "m".to_owned(),
        attribution: attribution.clone(),
        installed: true,
        description: Some("d".to_owned()),
        version: None,
        languages: vec!["en".to_owned()],
    };
    let program = AsrProgram {
        name: "p".to_owned(),
        attribution,
        installed: true,
        description: None,
        version: Some("1".to_owned()),
        models: vec![model],
        supports_transcript_streaming: false,
        requires_external_vad: true,
        prefers_auto_gain_enabled: true,
        prefers_noise_reduction_enabled: true,
    };
    Info {
        asr: vec![program],
        ..Info::default()
    }
}

#[test]
fn events_are_written_as_the_reference_writes_them() {
    for (event, bytes) in golden() {
        let kind = event.kind().to_owned();
        assert_eq!(
            String::from_utf8_lossy(&written(event, Form::Block)),
            String::from_utf8_lossy(bytes),
            "{kind}"
        );
    }
}

#[test]
fn the_bytes_of_the_reference_are_read_as_the_same_events() {
    for (event, bytes) in golden() {
        let frames = read(bytes).unwrap();
        assert_eq!(frames.len(), 1);
        for frame in frames {
            assert_eq!(frame.form, Form::Block);
            assert_eq!(Event::from_frame(frame).unwrap(), event);
        }
    }
}

#[test]
fn any_fragmentation_gives_the_same_frames() {
    let stream: Vec<u8> = golden()
        .into_iter()
        .flat_map(|(_, bytes)| bytes.to_vec())
        .collect();
    let whole = read(&stream).unwrap();
    assert_eq!(whole.len(), golden().len());
    for piece in [1, 2, 3, 7, 64, 100] {
        assert_eq!(
            read_in_pieces(&stream, piece).unwrap(),
            whole,
            "pieces of {piece}"
        );
    }
}

#[test]
fn the_oldest_release_is_recognised_and_answered_inline() {
    let stream = b"{\"type\": \"describe\", \"data\": {}}\n{\"type\": \"audio-chunk\", \"data\": {\"rate\": 16000, \"width\": 2, \"channels\": 1, \"timestamp\": null}, \"payload_length\": 2}\n\x01\x02";
    let frames = read(stream).unwrap();
    assert!(frames.iter().all(|frame| frame.form == Form::Inline));
    let pong = Event::Pong {
        text: Some("a".to_owned()),
    };
    assert_eq!(
        written(pong, Form::Inline),
        b"{\"type\": \"pong\", \"data\": {\"text\": \"a\"}}\n"
    );
    assert_eq!(
        written(Event::TranscriptStop, Form::Inline),
        b"{\"type\": \"transcript-stop\", \"data\": {}}\n"
    );
}

#[test]
fn hand_written_headers_are_answered_in_block_form() {
    let frames = read(b"{ \"type\": \"describe\" }\n").unwrap();
    assert_eq!(frames.first().map(|frame| frame.form), Some(Form::Block));
}

/// Rows that the reference accepts, and the kind that it then sees.
#[test]
fn what_the_reference_tolerates_is_tolerated() {
    let lenient: [(&[u8], &str); 15] = [
        (b"{\"type\": \"describe\"}\r\n", "describe"),
        (b"  {\"type\": \"describe\"}  \n", "describe"),
        (b"\xEF\xBB\xBF{\"type\": \"describe\"}\n", "describe"),
        (b"{\"type\": \"d\\u0065scribe\"}\n", "describe"),
        (
            b"{\"type\": \"ping\", \"type\": \"describe\"}\n",
            "describe",
        ),
        (b"{\"type\": \"describe\", \"x\": NaN}\n", "describe"),
        (b"{\"type\": \"describe\", \"unknown\": [1]}\n", "describe"),
        (
            b"{\"type\": \"describe\", \"data_length\": 0, \"payload_length\": null}\n",
            "describe",
        ),
        (
            b"{\"type\": \"describe\", \"data_length\": -5, \"payload_length\": -1}\n",
            "describe",
        ),
        (b"{\"type\": null}\n", "null"),
        (b"{\"type\": 7}\n", "7"),
        (b"{\"type\": \"describe\", \"data\": null}\n", "describe"),
        (b"{\"type\": \"describe\", \"data\": [1]}\n", "describe"),
        (b"{\"type\": \"describe\", \"data\": \"x\"}\n", "describe"),
        (b"{\"type\": \"describe\"}", "describe"),
    ];
    for (bytes, kind) in lenient {
        let frames = read(bytes).unwrap();
        let kinds: Vec<&str> = frames.iter().map(|frame| frame.kind.as_str()).collect();
        assert_eq!(kinds, [kind], "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn what_breaks_the_reference_is_a_coded_error() {
    let malformed: [(&[u8], Code); 18] = [
        (b"\n", Code::BadHeader),
        (b"hello\n", Code::BadHeader),
        (b"GET / HTTP/1.1\r\n", Code::BadHeader),
        (b"{\"type\": \"\xff\"}\n", Code::BadHeader),
        (b"[]\n", Code::BadHeader),
        (b"7\n", Code::BadHeader),
        (b"null\n", Code::BadHeader),
        (b"{\"data\": {}}\n", Code::BadHeader),
        (
            b"{\"type\": \"x\", \"data_length\": \"5\"}\n",
            Code::BadHeader,
        ),
        (
            b"{\"type\": \"x\", \"payload_length\": 1.5}\n",
            Code::BadHeader,
        ),
        (
            b"{\"type\": \"x\", \"payload_length\": 1e30}\n",
            Code::BadHeader,
        ),
        (
            b"{\"type\": \"x\", \"data\": null, \"data_length\": 2}\n{}",
            Code::BadData,
        ),
        (b"{\"type\": \"x\", \"data_length\": 2}\n[]", Code::BadData),
        (b"{\"type\": \"x\", \"data_length\": 2}\n{x", Code::BadData),
        (
            b"{\"type\": \"x\", \"data_length\": 99999999999}\n",
            Code::DataTooLong,
        ),
        (
            b"{\"type\": \"x\", \"payload_length\": 18446744073709551615}\n",
            Code::PayloadTooLong,
        ),
        (
            b"{\"type\": \"x\", \"data_length\": 5}\n{}",
            Code::Truncated,
        ),
        (
            b"{\"type\": \"x\", \"payload_length\": 5}\nabc",
            Code::Truncated,
        ),
    ];
    for (bytes, code) in malformed {
        let error = read(bytes).unwrap_err();
        assert_eq!(
            error.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn a_header_may_have_65536_bytes_and_not_one_more() {
    let header = |length: usize| {
        let frame = "{\"type\": \"x\", \"pad\": \"\"}".len();
        let pad = "a".repeat(length.checked_sub(frame).unwrap());
        format!("{{\"type\": \"x\", \"pad\": \"{pad}\"}}\n").into_bytes()
    };
    assert_eq!(read(&header(65_536)).unwrap().len(), 1);
    let error = read(&header(65_537)).unwrap_err();
    assert_eq!(error.code(), Some(Code::HeaderTooLong));
}

#[test]
fn an_endless_header_is_refused_without_being_kept() {
    let error = read_in_pieces(&[b'a'; 70_000], 1_000).unwrap_err();
    assert!(matches!(error, FrameError::HeaderTooLong { limit: 65_536 }));
}

#[test]
fn keys_of_the_data_block_replace_inline_ones_whole() {
    let stream = b"{\"type\": \"x\", \"data\": {\"a\": {\"b\": 1}, \"c\": 2}, \"data_length\": 8}\n{\"a\": 3}";
    let frames = read(stream).unwrap();
    let data = frames
        .first()
        .map(|frame| Value::Object(frame.data.clone()));
    assert_eq!(data, Some(json!({"a": 3, "c": 2})));
}

fn any_event() -> impl Strategy<Value = Event> {
    let text = any::<Option<String>>();
    let format = (1_u32.., 1_u8.., 1_u8..)
        .prop_map(|(rate, width, channels)| AudioFormat::new(rate, width, channels).unwrap());
    let pcm = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        Just(Event::Describe),
        text.clone().prop_map(|text| Event::Ping { text }),
        any::<String>().prop_map(|name| Event::SelectProgram { name }),
        (format, any::<Option<i64>>(), pcm).prop_map(|(format, timestamp_ms, pcm)| {
            Event::AudioChunk(AudioChunk {
                format,
                timestamp_ms,
                pcm,
            })
        }),
        (any::<String>(), text.clone()).prop_map(|(text, language)| {
            Event::Transcript(Transcript {
                text,
                language,
                context: None,
            })
        }),
        (any::<String>(), text.clone())
            .prop_map(|(text, code)| Event::Error(ErrorEvent { text, code })),
        (
            text.clone(),
            text,
            any::<Vec<String>>(),
            any::<Vec<String>>()
        )
            .prop_map(|(name, language, transcript_names, transcript_terms)| {
                Event::Transcribe(Transcribe {
                    name,
                    language,
                    transcript_names,
                    transcript_terms,
                    ..Transcribe::default()
                })
            }),
    ]
}

/// A JSON value that no event, or some event, has in a field.
fn any_json() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
    ];
    prop_oneof![
        plain.clone(),
        proptest::collection::vec(plain.clone(), 0..4).prop_map(Value::from),
        proptest::collection::vec(("[a-z]{1,5}", plain), 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect())),
    ]
}

/// The events before the first fault, read in pieces, and how that is called.
fn read_up_to_the_fault(
    bytes: &[u8],
    piece: usize,
) -> (Vec<Result<Event, String>>, Option<String>) {
    let mut codec = FrameCodec::new(Limits::default());
    let (mut buffer, mut events) = (BytesMut::new(), Vec::new());
    let mut take = |codec: &mut FrameCodec, buffer: &mut BytesMut, at_end: bool| loop {
        let frame = if at_end {
            codec.decode_eof(buffer)
        } else {
            codec.decode(buffer)
        };
        match frame {
            Ok(Some(frame)) => {
                events.push(Event::from_frame(frame).map_err(|error| error.to_string()));
            }
            Ok(None) => return None,
            Err(error) => return Some(error.to_string()),
        }
    };
    let fault = bytes
        .chunks(piece.max(1))
        .find_map(|piece| {
            buffer.extend_from_slice(piece);
            take(&mut codec, &mut buffer, false)
        })
        .or_else(|| take(&mut codec, &mut buffer, true));
    (events, fault)
}

/// An `audio-chunk` with a payload of so many bytes, each another than its neighbours.
fn chunk_of(bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let pcm: Vec<u8> = (0_u8..251).cycle().take(bytes).collect();
    let chunk = Event::AudioChunk(AudioChunk {
        format: pcm16(),
        timestamp_ms: Some(7),
        pcm: pcm.clone().into(),
    });
    (written(chunk, Form::Block), pcm)
}

#[test]
fn a_recording_in_one_chunk_comes_in_pieces() {
    let (stream, pcm) = chunk_of(3 << 20);
    for arriving in [1_000, 70_000, stream.len()] {
        let frames = read_in_pieces(&stream, arriving).unwrap();
        let mut joined = Vec::new();
        for frame in frames {
            assert!(frame.payload.len() <= Limits::default().piece_bytes);
            let Ok(Event::AudioChunk(chunk)) = Event::from_frame(frame) else {
                panic!("a piece is a chunk too");
            };
            assert_eq!((chunk.format, chunk.timestamp_ms), (pcm16(), Some(7)));
            joined.extend_from_slice(&chunk.pcm);
        }
        assert!(joined == pcm, "arriving in {arriving} bytes");
    }
}

#[test]
fn payloads_that_mean_nothing_are_passed_over() {
    let stream = [
        b"{\"type\": \"ping\", \"payload_length\": 100000}\n".to_vec(),
        vec![b'\n'; 100_000],
        b"{\"type\": \"describe\"}\n".to_vec(),
    ]
    .concat();
    for arriving in [1, 999, stream.len()] {
        let frames = read_in_pieces(&stream, arriving).unwrap();
        let kinds: Vec<&str> = frames.iter().map(|frame| frame.kind.as_str()).collect();
        assert_eq!(kinds, ["ping", "describe"]);
        assert!(frames.iter().all(|frame| frame.payload.is_empty()));
    }
}

#[test]
fn only_an_info_may_be_long() {
    let limits = Limits::default();
    let announced = |kind: &str, bytes: usize| {
        let header = format!("{{\"type\": \"{kind}\", \"data_length\": {bytes}}}\n");
        let mut codec = FrameCodec::new(limits);
        codec.decode(&mut BytesMut::from(header.as_bytes()))
    };
    for kind in ["transcribe", "audio-chunk", "x"] {
        assert!(announced(kind, limits.data_bytes).is_ok(), "{kind}");
        let error = announced(kind, limits.data_bytes.saturating_add(1)).unwrap_err();
        assert_eq!(error.code(), Some(Code::DataTooLong), "{kind}");
    }
    assert!(announced("info", limits.info_bytes).is_ok());
    assert!(announced("info", limits.info_bytes.saturating_add(1)).is_err());
}

#[test]
fn a_header_that_waits_keeps_its_fields() {
    let stream =
        b"{\"type\": \"x\", \"data\": {\"a\": [1, 2], \"b\": NaN}, \"data_length\": 8}\n{\"c\": 3}";
    assert_eq!(read_in_pieces(stream, 1).unwrap(), read(stream).unwrap());
    let data = read(stream).unwrap().remove(0).data;
    assert_eq!(Value::Object(data), json!({"a": [1, 2], "b": null, "c": 3}));
}

#[test]
fn a_buffer_that_grew_is_given_back() {
    let mut codec = FrameCodec::new(Limits::default());
    let block = format!("{{\"k\": \"{}\"}}", "a".repeat(100_000));
    let header = format!("{{\"type\": \"x\", \"data_length\": {}}}\n", block.len());
    let mut buffer = BytesMut::new();
    buffer.extend_from_slice(header.as_bytes());
    buffer.extend_from_slice(block.as_bytes());
    buffer.extend_from_slice(b"{\"ty");
    assert!(codec.decode(&mut buffer).unwrap().is_some());
    assert!(codec.decode(&mut buffer).unwrap().is_none());
    assert_eq!(
        (&buffer[..], buffer.capacity()),
        (&b"{\"ty"[..], BUFFER_BYTES)
    );
}

#[test]
fn lengths_and_rates_may_have_a_point() {
    let stream = b"{\"type\": \"audio-chunk\", \"data\": {\"rate\": 16000.0, \"width\": 2.0, \"channels\": 1.0, \"timestamp\": 3.0}, \"payload_length\": 2.0}\n\x01\x02";
    let frame = read(stream).unwrap().remove(0);
    let expected = Event::AudioChunk(AudioChunk {
        format: pcm16(),
        timestamp_ms: Some(3),
        pcm: Bytes::from_static(&[1, 2]),
    });
    assert_eq!(Event::from_frame(frame).unwrap(), expected);
    let bad = b"{\"type\": \"audio-start\", \"data\": {\"rate\": 16000.5, \"width\": 2, \"channels\": 1}}\n";
    let frame = read(bad).unwrap().remove(0);
    assert!(Event::from_frame(frame).is_err());
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(
        events in proptest::collection::vec((any_event(), prop_oneof![Just(Form::Inline), Just(Form::Block)]), 0..6),
        piece in 1_usize..80,
    ) {
        let stream: Vec<u8> = events.iter().cloned().flat_map(|(event, form)| written(event, form)).collect();
        let read: Vec<Event> = read_in_pieces(&stream, piece)
            .unwrap()
            .into_iter()
            .map(|frame| Event::from_frame(frame).unwrap())
            .collect();
        let sent: Vec<Event> = events.into_iter().map(|(event, _)| event).collect();
        prop_assert_eq!(read, sent);
    }

    /// Valid events with bytes between them that are none: what comes before the first of those is
    /// read, nothing of it panics, and how the bytes arrive makes no difference.
    #[test]
    fn no_bytes_make_the_reader_panic(
        event in any_event(),
        bytes in proptest::collection::vec(any::<u8>(), 1..400),
        piece in 1_usize..50,
    ) {
        let stream = [written(event.clone(), Form::Block), bytes].concat();
        let whole = read_up_to_the_fault(&stream, stream.len());
        prop_assert_eq!(&read_up_to_the_fault(&stream, piece), &whole);
        prop_assert_eq!(whole.0.first(), Some(&Ok(event)));
    }

    /// Objects that are nearly events: each is one, or an error that names the field.
    #[test]
    fn fields_of_any_type_are_read_or_named(
        kind in "describe|transcribe|audio-start|audio-chunk|audio-stop|select-program|transcript|error|info|x",
        field in "rate|width|channels|timestamp|name|language|transcript_names|text|asr|data",
        value in any_json(),
    ) {
        let header = json!({"type": kind, "data": {(&field): value}});
        let stream = format!("{header}\n").into_bytes();
        let frame = read(&stream).unwrap().remove(0);
        match Event::from_frame(frame) {
            Ok(event) => prop_assert_eq!(event.kind(), kind),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with(&kind) && text.chars().count() < 250, "{text}");
            }
        }
    }
}
