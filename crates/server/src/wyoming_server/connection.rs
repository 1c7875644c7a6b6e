//! One connection: reads events, feeds audio, waits for words, answers in order.
//!
//! The end of the client's stream does not say whether the client still reads: shell pipelines close
//! their sending side and wait, Home Assistant closes the socket, and over TCP both look the same. The
//! reference writes the transcript and nothing else, and a client may read one event and stop. So
//! while words are awaited and nothing is read, the client is sent a space now and then, which belongs
//! to the header that follows: a closed socket refuses it, and then the work is cancelled
//! ([`Outgoing::is_gone`]). A client that waits for nothing is done.
//!
//! Where the server ends utterances itself (`--endpointing`), what the client sends of one that has ended is passed over.
//!
//! When the server drains, a connection on which nothing was asked ends, wherever it waits
//! ([`Service::within`]).
//!
//! Every fault ends the connection: an `error` event, then the write side is closed, then what the
//! client still sends is read and thrown away for a while. Some clients upload everything before
//! they read, and closing with unread bytes would reset the connection and lose the `error`.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use audio::PcmFormat;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::codec::FramedRead;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Span, debug, info};
use wyoming::{AudioFormat, Code, Event, EventError, Excerpt, Form, FrameCodec, FrameError};

use super::endpoint_rule::Endpoint;
use super::hearing::{Hearing, Part};
use super::outgoing::{NotSent, Outgoing};
use super::parts::Times;
use super::request::Request;
use super::service::{CLOSE_PATIENCE, Service};
use super::session::{Session, Step};
use super::told::Told;
use super::utterance::{self, Heard, Utterance};
use crate::fault::Fault;
use crate::queue::{Answered, Ticket};

/// Utterances of one connection whose words have not come yet. Beyond it the connection is not read.
const MAX_PIPELINED: usize = 4;
/// After an `error` this much is read and thrown away, at most: a minute of 48 kHz stereo.
const DRAIN_BYTES: u64 = 16 << 20;

/// A place of the reserve is not kept for longer without an event, or after a refusal.
const RESERVE_IDLE: Duration = Duration::from_secs(5);
/// How often it is asked whether a client is there that waits for words and is not read.
const GONE_CHECK: Duration = Duration::from_millis(100);
/// Parts of a second of audio that are worked at once: others have their turn between two parts.
const PARTS_A_SECOND: usize = 2;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Full,
    /// Describe and ping only: the server has all the connections that it wants.
    DescribeOnly {
        /// How many those are.
        limit: usize,
    },
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// By the client, or because there was nothing left to do.
    Closed,
    /// The client takes no answers.
    Untaken,
    /// With an `error` event.
    Fault(Fault, Form),
}

/// Serves one connection to its end.
pub(crate) async fn serve<R, W>(service: Arc<Service>, reader: R, writer: W, access: Access)
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let _open = service.metrics.connection();
    let abort = service.abort.clone();
    let mut connection = Connection {
        session: Session::new(service.model.clone()),
        incoming: FramedRead::new(reader, FrameCodec::new(service.limits.frame)),
        outgoing: Outgoing::new(&service, writer),
        form: Form::Block,
        current: None,
        pending: VecDeque::new(),
        unanswered: None,
        access,
        service,
    };
    // Biased, so that a pending abort wins over a busy client.
    tokio::select! {
        biased;
        () = abort.cancelled() => {
            let fault = connection.service.end();
            connection.fail(fault, connection.form).await;
        }
        end = connection.run() => match end {
            End::Closed => connection.close(CLOSE_PATIENCE).await,
            End::Untaken => debug!("client takes no answers"),
            End::Fault(fault, form) => connection.fail(fault, form).await,
        },
    }
}

struct Connection<R, W> {
    service: Arc<Service>,
    session: Session,
    incoming: FramedRead<R, FrameCodec>,
    outgoing: Outgoing<W>,
    /// How the client reads events.
    form: Form,
    /// The utterance whose audio is arriving.
    current: Option<Utterance>,
    /// Utterances that wait for their words, in order.
    pending: VecDeque<Pending>,
    /// Held while an utterance has begun and has no answer.
    unanswered: Option<TaskTrackerToken>,
    access: Access,
}

type Answer = Pin<Box<dyn Future<Output = Result<Answered, Fault>> + Send>>;

/// An utterance that waits for its words.
struct Pending {
    answer: Answer,
    form: Form,
    /// When the end of its audio came, and when the queue had it.
    ended: Instant,
    queued: Instant,
    /// Its transcription began before its audio had ended.
    ahead: bool,
    /// From the first of its audio to its words, in traces.
    span: Span,
    /// Where words are told before all of them are there: those that were, and those that are heard.
    telling: Option<(Told, Option<Hearing>)>,
}

/// What the device has for the client.
enum News {
    /// Words of a window of the oldest utterance; `None` when the rest come with its answer.
    Words(Option<Part>),
    /// The answer to it.
    Answer(Result<Answered, Fault>),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    async fn run(&mut self) -> End {
        let mut idle_since = Instant::now();
        let mut no_more_input = false;
        loop {
            let waiting = !self.pending.is_empty();
            let resting = !waiting && !self.session.is_receiving();
            self.note_whether_answered(resting);
            if no_more_input && !waiting {
                return End::Closed;
            }
            let reading = !no_more_input && self.pending.len() < MAX_PIPELINED;
            let idle = self.idle_limit();
            let closing = self.service.closing.clone();
            let due = self.current.as_ref().and_then(Utterance::due);
            let endpoint = self.current.as_ref().and_then(Utterance::endpoint);
            // Every branch is cancel-safe: a frame is taken whole or stays in the buffer, an answer
            // is polled in place, the others hold nothing.
            tokio::select! {
                frame = self.incoming.next(), if reading => {
                    idle_since = Instant::now();
                    let taken = match frame {
                        Some(Err(FrameError::Io(error))) => {
                            debug!(%error, "client is gone");
                            return End::Closed;
                        }
                        Some(frame) => { let step = self.understand(frame); self.act(step).await }
                        None => { no_more_input = true; self.input_ended() }
                    };
                    if let Err(end) = taken {
                        return end;
                    }
                }
                news = news(&mut self.pending, &mut self.current) => {
                    idle_since = Instant::now();
                    let told = match news {
                        News::Words(part) => self.tell(part).await,
                        News::Answer(answer) => self.answered(answer).await,
                    };
                    if let Err(end) = told {
                        return end;
                    }
                }
                () = reached(due) => self.speculate().await,
                () = reached(endpoint.map(|(due, _)| due)), if reading => {
                    if let Err(end) = self.end_utterance(endpoint).await {
                        return end;
                    }
                }
                () = sleep(GONE_CHECK), if !reading => {
                    if self.outgoing.is_gone().await {
                        debug!("client is gone");
                        return End::Closed;
                    }
                }
                () = closing.cancelled(), if resting => return End::Closed,
                () = sleep_until(idle_since + idle), if !waiting => {
                    return End::Fault(Fault::Idle { limit: idle }, self.form);
                }
            }
        }
    }

    fn note_whether_answered(&mut self, resting: bool) {
        if resting {
            self.unanswered = None;
        } else if self.unanswered.is_none() {
            self.unanswered = Some(self.service.unanswered.token());
        }
    }

    fn idle_limit(&self) -> Duration {
        self.within_access(self.service.limits.idle)
    }

    /// How long a refused client may still send.
    fn drain_limit(&self) -> Duration {
        self.within_access(self.service.limits.drain)
    }

    fn within_access(&self, limit: Duration) -> Duration {
        match self.access {
            Access::Full => limit,
            Access::DescribeOnly { .. } => limit.min(RESERVE_IDLE),
        }
    }

    /// The client sends no more.
    fn input_ended(&mut self) -> Result<(), End> {
        self.current = None;
        if self.pending.is_empty() {
            return Err(End::Closed);
        }
        Ok(())
    }

    fn understand(&mut self, frame: Result<wyoming::Frame, FrameError>) -> Step {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Step::Fail(bad_frame(&error)),
        };
        self.form = frame.form;
        let event = match Event::from_frame(frame) {
            Ok(event) => event,
            Err(error) => return Step::Fail(bad_event(&error)),
        };
        match (self.access, event) {
            (_, event @ (Event::Describe | Event::Ping { .. } | Event::Other { .. }))
            | (Access::Full, event) => self.session.take(event),
            (Access::DescribeOnly { limit }, _) => Step::Fail(Fault::TooManyConnections { limit }),
        }
    }

    async fn act(&mut self, step: Step) -> Result<(), End> {
        let form = self.form;
        match step {
            Step::Nothing => Ok(()),
            Step::Describe => {
                let info = self.service.info();
                self.write([Event::Info(Box::new(info))], form).await?;
                self.service.metrics.described();
                Ok(())
            }
            Step::Reply(event) => self.write([event], form).await,
            Step::Want(request) => {
                if let Some(utterance) = &mut self.current {
                    utterance.is_wanted(request);
                }
                Ok(())
            }
            Step::Abandon => self.abandon().await,
            Step::Append { format, pcm, anew } => {
                if anew {
                    self.abandon().await?;
                }
                let appended = self.append(format, &pcm).await;
                appended.map_err(|fault| End::Fault(fault, form))
            }
            Step::Transcribe(request) => self
                .transcribe(&request)
                .await
                .map_err(|fault| End::Fault(fault, form)),
            Step::Fail(fault) => Err(End::Fault(fault, form)),
        }
    }

    /// What was sent of an utterance is of no use: another begins.
    async fn abandon(&mut self) -> Result<(), End> {
        let Some(mut utterance) = self.current.take() else {
            return Ok(());
        };
        debug!("utterance abandoned by its client");
        let stop = utterance.told().and_then(Told::abandon);
        self.write(stop, self.form).await
    }

    /// Works audio in parts: a megabyte may be minutes of it.
    async fn append(&mut self, format: AudioFormat, pcm: &[u8]) -> Result<(), Fault> {
        let (rate, width, channels) = (format.rate_hz(), format.width_bytes(), format.channels());
        let format = PcmFormat::new(rate, width, channels).map_err(|error| Fault::AudioFormat {
            reason: Excerpt::of(&error.to_string()),
        })?;
        let service = &self.service;
        let utterance = self
            .current
            .get_or_insert_with(|| Utterance::begin(service, self.session.request()));
        let bytes_a_second = format.frame_bytes() * rate as usize;
        // Without audio too, an utterance has begun.
        let (first, rest) = pcm.split_at(pcm.len().min(bytes_a_second / PARTS_A_SECOND));
        utterance.push(format, first)?;
        for part in rest.chunks(bytes_a_second / PARTS_A_SECOND) {
            yield_now().await;
            utterance.push(format, part)?;
        }
        Ok(())
    }

    /// The client has paused, and may have said all.
    async fn speculate(&mut self) {
        if let Some(utterance) = &mut self.current {
            utterance.speculate().await;
        }
    }

    /// The speaker has ended, whatever the client still sends.
    async fn end_utterance(&mut self, endpoint: Option<(Instant, Endpoint)>) -> Result<(), End> {
        let Some((_, endpoint)) = endpoint else {
            return Ok(());
        };
        debug!(reason = endpoint.as_str(), "the utterance has ended");
        self.service.metrics.endpoint(endpoint.as_str());
        let request = self.session.end_utterance();
        let form = self.form;
        let handed = self.transcribe(&request).await;
        handed.map_err(|fault| End::Fault(fault, form))
    }

    /// Hands the utterance to the queue; its words are answered when those before it are.
    async fn transcribe(&mut self, request: &Arc<Request>) -> Result<(), Fault> {
        let ended = Instant::now();
        let span = self
            .current
            .as_ref()
            .map_or_else(utterance::span, Utterance::span);
        let mut told = self.service.tells_words.then(Told::default);
        let heard = if let Some(mut utterance) = self.current.take() {
            let prepared = utterance.end().await?;
            told = utterance.told();
            prepared
        } else {
            self.service.language(request)?;
            Heard::Nothing
        };
        let ahead = matches!(heard, Heard::Ahead(..));
        let mut hearing = None;
        let (audio, ticket) = match heard {
            Heard::Nothing => (Duration::ZERO, None),
            Heard::Ahead(ticket, audio) => (audio, Some(ticket)),
            Heard::Audio(mut input) => {
                let audio = input.waveform.duration();
                if told.is_some() {
                    let (progress, news) = Hearing::new(&self.service.blocklist);
                    input.progress = Some(progress);
                    hearing = Some(news);
                }
                (audio, Some(self.service.queue.submit(*input)?))
            }
        };
        span.record("audio_s", audio.as_secs_f64());
        let limit = self.service.limits.answer;
        let queued = ticket.as_ref().map_or(ended, Ticket::since);
        let answer: Answer = match ticket {
            Some(ticket) => Box::pin(ticket.wait(limit)),
            // Nothing was said: the answer is known.
            None => Box::pin(std::future::ready(Ok(Answered::default()))),
        };
        self.pending.push_back(Pending {
            answer,
            form: self.form,
            ended,
            queued,
            ahead,
            span,
            telling: told.map(|told| (told, hearing)),
        });
        Ok(())
    }

    /// The oldest utterance has its words, or will never have any.
    async fn answered(&mut self, answer: Result<Answered, Fault>) -> Result<(), End> {
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        let answered = answer.map_err(|fault| {
            pending
                .span
                .in_scope(|| info!(code = fault.code().as_str(), "no words"));
            End::Fault(fault, pending.form)
        })?;
        let transcript = self
            .service
            .answered(&pending.span, &pending.times(), answered);
        let language = Some(transcript.language).filter(|language| !language.is_empty());
        let transcript = wyoming::Transcript {
            text: transcript.text,
            language,
            context: None,
        };
        let events = match pending.telling {
            Some((told, _)) => told.end(transcript),
            None => vec![Event::Transcript(transcript)],
        };
        self.write(events, pending.form).await
    }

    /// The oldest utterance has words that may be told before the others.
    async fn tell(&mut self, part: Option<Part>) -> Result<(), End> {
        let (events, form) = match (self.pending.front_mut(), &mut self.current) {
            (Some(pending), _) => (pending.tell(part), pending.form),
            (None, Some(utterance)) => (utterance.tell(part.as_ref()), self.form),
            (None, None) => return Ok(()),
        };
        self.write(events, form).await
    }

    /// Writes these together.
    async fn write(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        form: Form,
    ) -> Result<(), End> {
        let mut events = events.into_iter().peekable();
        if events.peek().is_none() {
            return Ok(());
        }
        let sent = self.outgoing.send(events, form).await;
        sent.map_err(|not_sent| match not_sent {
            NotSent::Unwritable => End::Fault(Fault::Internal, form),
            NotSent::NotTaken => End::Untaken,
        })
    }

    /// Tells the client, then reads until it stops sending, so that it gets to read what it was told.
    async fn fail(&mut self, fault: Fault, form: Form) {
        self.forget();
        self.service.metrics.fault(fault.code());
        // Noise from probes and port scanners is not worth a line each.
        match fault.code() {
            Code::BadHeader | Code::Truncated | Code::IdleTimeout => {
                debug!(%fault, "connection ended");
            }
            code => info!(code = code.as_str(), %fault, "connection ended"),
        }
        if self.write([fault.to_event()], form).await.is_ok() {
            self.close(self.drain_limit()).await;
        }
    }

    /// Closes our side, then waits for the client to close its own.
    async fn close(&mut self, patience: Duration) {
        self.forget();
        let reader = self.incoming.get_mut();
        let outgoing = &mut self.outgoing;
        let drained = async {
            outgoing.finish().await?;
            let mut rest = reader.take(DRAIN_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // However it ends, the connection is over.
        drop(self.service.within(patience, drained).await);
    }

    /// Gives up what was asked: the queue's places are free at once.
    fn forget(&mut self) {
        self.pending.clear();
        self.current = None;
        self.unanswered = None;
    }
}

impl Pending {
    fn times(&self) -> Times {
        Times {
            ended: self.ended,
            queued: self.queued,
            now: Instant::now(),
            ahead: self.ahead,
        }
    }

    /// Takes a window of it; what the client is told.
    fn tell(&mut self, part: Option<Part>) -> Vec<Event> {
        match (&mut self.telling, part) {
            (Some((told, _)), Some(part)) => told.window(&part.language, &part.text()),
            (Some((_, hearing)), None) => {
                *hearing = None;
                Vec::new()
            }
            (None, _) => Vec::new(),
        }
    }
}

/// What comes of the oldest utterance next.
async fn news(pending: &mut VecDeque<Pending>, current: &mut Option<Utterance>) -> News {
    let Some(first) = pending.front_mut() else {
        return match current {
            Some(utterance) => News::Words(utterance.heard().await),
            None => std::future::pending().await,
        };
    };
    match &mut first.telling {
        Some((_, Some(hearing))) => tokio::select! {
            biased;
            part = hearing.next() => News::Words(part),
            answer = &mut first.answer => News::Answer(answer),
        },
        _ => News::Answer((&mut first.answer).await),
    }
}

/// That time has come; never when there is none.
async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn bad_frame(error: &FrameError) -> Fault {
    match error.code() {
        Some(code) => Fault::BadInput {
            code,
            reason: Excerpt::of(&error.to_string()),
        },
        None => Fault::Cancelled,
    }
}

fn bad_event(error: &EventError) -> Fault {
    Fault::BadInput {
        code: error.code(),
        reason: Excerpt::of(&error.to_string()),
    }
}

#[cfg(test)]
mod tests;
