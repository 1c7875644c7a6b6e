//! A client of Home Assistant's websocket: authentication, commands one after the other, events.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::address::Address;
use super::error::HomeAssistantError;
use super::message::{self, Head, Kind, Reply};
use crate::model_store::Secret;

/// Bytes of one message. The states of ten thousand entities have some five million.
const MOST_BYTES: usize = 16 << 20;
/// For the handshake, and for the answer to any command.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest silence until a ping is sent.
const SILENCE: Duration = Duration::from_secs(30);
/// For anything to come after a ping.
const PONG: Duration = Duration::from_secs(10);

/// An open connection.
#[derive(Debug)]
pub(super) struct Client<S> {
    socket: WebSocketStream<S>,
    address: Address,
    last_id: u64,
    /// An event has come while something else was waited for.
    has_event: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Opens the websocket over a connection.
    pub(super) async fn open(address: &Address, stream: S) -> Result<Self, HomeAssistantError> {
        let command = "the handshake of a websocket";
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MOST_BYTES))
            .max_frame_size(Some(MOST_BYTES));
        let opening = client_async_with_config(address.websocket(), stream, Some(limits));
        let slow = |_elapsed| HomeAssistantError::Slow {
            address: address.clone(),
            command,
            within: ANSWER,
        };
        match timeout(ANSWER, opening).await.map_err(slow)? {
            Ok((socket, _response)) => Ok(Self {
                socket,
                address: address.clone(),
                last_id: 0,
                has_event: false,
            }),
            Err(tungstenite::Error::Http(answer)) => Err(HomeAssistantError::NoWebSocket {
                address: address.clone(),
                status: answer.status().as_u16(),
            }),
            Err(error) => Err(ended(address, command, error)),
        }
    }

    /// Shows the token.
    pub(super) async fn authenticate(&mut self, token: &Secret) -> Result<(), HomeAssistantError> {
        let command = "authentication";
        let (head, _) = self.answer(command).await?;
        if head.kind != Kind::AuthRequired {
            return Err(self.unexpected("another message", command));
        }
        let auth = json!({ "type": "auth", "access_token": token.reveal() });
        self.send(command, auth.to_string()).await?;
        match self.answer(command).await?.0.kind {
            Kind::AuthOk => Ok(()),
            Kind::AuthInvalid => Err(HomeAssistantError::Refused {
                address: self.address.clone(),
            }),
            _ => Err(self.unexpected("another message", command)),
        }
    }

    /// Gives a command, and waits for its result.
    pub(super) async fn call<T: DeserializeOwned + Default>(
        &mut self,
        command: &'static str,
        arguments: Map<String, Value>,
    ) -> Result<T, HomeAssistantError> {
        self.last_id += 1;
        let text = message::command(self.last_id, command, arguments);
        self.send(command, text).await?;
        loop {
            let (head, text) = self.answer(command).await?;
            match head.kind {
                Kind::Event => self.has_event = true,
                Kind::Result if head.id == Some(self.last_id) => {
                    let reply: Reply<T> = serde_json::from_str(&text)
                        .map_err(|source| self.not_understood(command, source))?;
                    return reply
                        .outcome()
                        .map_err(|code| HomeAssistantError::Command { command, code });
                }
                // Of a command that was given up, or new.
                _ => {}
            }
        }
    }

    /// Waits for an event, or takes one that has come meanwhile. An error when the other side is gone.
    ///
    /// # Cancel safety
    /// No event is lost: a message is taken from the socket and looked at without waiting between.
    pub(super) async fn event(&mut self) -> Result<(), HomeAssistantError> {
        let command = "a ping";
        let mut has_pinged = false;
        while !std::mem::take(&mut self.has_event) {
            let within = if has_pinged { PONG } else { SILENCE };
            match timeout(within, self.message(command)).await {
                Ok(message) => {
                    has_pinged = false;
                    if let Message::Text(text) = message? {
                        self.has_event = self.head(command, &text)?.kind == Kind::Event;
                    }
                }
                Err(_elapsed) if has_pinged => return Err(self.slow(command, PONG)),
                Err(_elapsed) => {
                    self.write(command, Message::Ping(Vec::new().into()))
                        .await?;
                    has_pinged = true;
                }
            }
        }
        Ok(())
    }

    async fn send(
        &mut self,
        command: &'static str,
        text: String,
    ) -> Result<(), HomeAssistantError> {
        self.write(command, Message::text(text)).await
    }

    async fn write(
        &mut self,
        command: &'static str,
        message: Message,
    ) -> Result<(), HomeAssistantError> {
        match timeout(ANSWER, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| ended(&self.address, command, error)),
            Err(_elapsed) => Err(self.slow(command, ANSWER)),
        }
    }

    /// The next message in text.
    async fn answer(
        &mut self,
        command: &'static str,
    ) -> Result<(Head, String), HomeAssistantError> {
        let text = async {
            loop {
                match self.message(command).await? {
                    Message::Text(text) => return Ok(text.as_str().to_owned()),
                    Message::Binary(_) => return Err(self.unexpected("a binary message", command)),
                    // Pings are answered by the library.
                    _ => {}
                }
            }
        };
        let text = match timeout(ANSWER, text).await {
            Ok(text) => text?,
            Err(_elapsed) => return Err(self.slow(command, ANSWER)),
        };
        Ok((self.head(command, &text)?, text))
    }

    async fn message(&mut self, command: &'static str) -> Result<Message, HomeAssistantError> {
        let error = match self.socket.next().await {
            Some(Ok(Message::Close(_))) | None => tungstenite::Error::ConnectionClosed,
            Some(Ok(message)) => return Ok(message),
            Some(Err(error)) => error,
        };
        Err(ended(&self.address, command, error))
    }

    fn head(&self, command: &'static str, text: &str) -> Result<Head, HomeAssistantError> {
        serde_json::from_str(text).map_err(|source| self.not_understood(command, source))
    }

    fn not_understood(
        &self,
        command: &'static str,
        source: serde_json::Error,
    ) -> HomeAssistantError {
        HomeAssistantError::Answer {
            address: self.address.clone(),
            command,
            source,
        }
    }

    fn unexpected(&self, unexpected: &'static str, command: &'static str) -> HomeAssistantError {
        HomeAssistantError::Protocol {
            address: self.address.clone(),
            unexpected,
            command,
        }
    }

    fn slow(&self, command: &'static str, within: Duration) -> HomeAssistantError {
        HomeAssistantError::Slow {
            address: self.address.clone(),
            command,
            within,
        }
    }
}

fn ended(
    address: &Address,
    command: &'static str,
    error: tungstenite::Error,
) -> HomeAssistantError {
    let address = address.clone();
    match error {
        tungstenite::Error::Capacity(_) => HomeAssistantError::TooMuch {
            address,
            command,
            limit: MOST_BYTES,
        },
        error => HomeAssistantError::Ended {
            address,
            source: Box::new(error),
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::DuplexStream;
    use tokio_tungstenite::accept_async;

    use super::*;

    pub(in super::super) fn token() -> Secret {
        "the-token".parse().unwrap()
    }

    pub(in super::super) fn address() -> Address {
        "http://hass:8123".parse().unwrap()
    }

    /// The other end: says and expects what a test tells it.
    struct Server(WebSocketStream<DuplexStream>);

    impl Server {
        async fn hears(&mut self) -> Value {
            loop {
                if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        }

        async fn says(&mut self, text: &str) {
            self.0.send(Message::text(text)).await.unwrap();
        }
    }

    async fn both() -> (Client<DuplexStream>, Server) {
        let (here, there) = tokio::io::duplex(1 << 16);
        let address = address();
        let (client, server) = tokio::join!(Client::open(&address, here), accept_async(there));
        (client.unwrap(), Server(server.unwrap()))
    }

    #[tokio::test]
    async fn a_command_gets_its_own_answer_and_events_are_kept() {
        let (mut client, mut server) = both().await;
        let serve = async {
            server
                .says(r#"{"type":"auth_required","ha_version":"2025.4.4"}"#)
                .await;
            let auth = server.hears().await;
            assert_eq!(auth, json!({"type": "auth", "access_token": "the-token"}));
            server.says(r#"{"type":"auth_ok"}"#).await;
            let command = server.hears().await;
            assert_eq!(command, json!({"id": 1, "type": "list", "of": "areas"}));
            server.says(r#"{"id":9,"type":"event","event":{}}"#).await;
            server
                .says(r#"{"id":99,"type":"result","success":true,"result":["old"]}"#)
                .await;
            server
                .says(r#"{"id":1,"type":"result","success":true,"result":["new"]}"#)
                .await;
            server
        };
        let ask = async {
            client.authenticate(&token()).await.unwrap();
            let mut arguments = Map::new();
            arguments.insert("of".to_owned(), "areas".into());
            let answer: Vec<String> = client.call("list", arguments).await.unwrap();
            assert_eq!(answer, ["new"]);
            client.event().await.unwrap();
        };
        tokio::join!(serve, ask);
    }

    /// What becomes of the first command when this is the answer.
    async fn failure(answer: &str) -> HomeAssistantError {
        let (mut client, mut server) = both().await;
        server.says(answer).await;
        let error = client.call::<Vec<String>>("list", Map::new()).await;
        error.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_no_answer_is_named_with_its_command() {
        for (answer, expected) in [
            ("hello", "the answer to list is not understood"),
            ("[1]", "the answer to list is not understood"),
            (
                r#"{"id":1,"type":"result","success":true,"result":{"a":1}}"#,
                "not understood",
            ),
            (
                r#"{"id":1,"type":"result","success":false,"error":{"code":"unauthorized"}}"#,
                "refuses list (unauthorized); the token's user must be an administrator",
            ),
        ] {
            let error = failure(answer).await.to_string();
            assert!(error.contains(expected), "{answer}: {error}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_kept() {
        let (here, there) = tokio::io::duplex(1 << 16);
        let address = address();
        let (client, server) = tokio::join!(Client::open(&address, here), accept_async(there));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let flood = async {
            let text = "x".repeat(MOST_BYTES + 1);
            // The client leaves in the middle of it.
            server.send(Message::text(text)).await.ok();
        };
        let ask = async {
            let error = client
                .call::<Vec<String>>("list", Map::new())
                .await
                .unwrap_err();
            drop(client);
            assert!(
                matches!(error, HomeAssistantError::TooMuch { .. }),
                "{error}"
            );
        };
        tokio::join!(flood, ask);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_is_given_up() {
        let (mut client, _server) = both().await;
        let error = client.authenticate(&token()).await.unwrap_err();
        assert!(matches!(error, HomeAssistantError::Slow { .. }), "{error}");
        // Without an answer to a ping.
        let (mut client, _server) = both().await;
        let error = client.event().await.unwrap_err();
        assert!(error.to_string().contains("a ping within 10 s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_home_that_only_has_no_news_is_kept() {
        let (mut client, mut server) = both().await;
        let serve = async {
            // Reading answers pings.
            timeout(10 * SILENCE, server.0.next()).await.ok();
            let mut pings = 0;
            while let Ok(Some(Ok(Message::Ping(_)))) = timeout(3 * SILENCE, server.0.next()).await {
                pings += 1;
                if pings == 3 {
                    break;
                }
            }
            assert_eq!(pings, 3);
            server.says(r#"{"id":1,"type":"event"}"#).await;
            server
        };
        let (event, _server) = tokio::join!(client.event(), serve);
        event.unwrap();
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_told_with_what_to_do() {
        let (mut client, mut server) = both().await;
        server.says(r#"{"type":"auth_required"}"#).await;
        server
            .says(r#"{"type":"auth_invalid","message":"Invalid access token"}"#)
            .await;
        let error = client.authenticate(&token()).await.unwrap_err();
        assert!(
            matches!(error, HomeAssistantError::Refused { .. }),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("the-token"));
    }
}
