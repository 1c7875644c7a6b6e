//! What a Home Assistant is asked for. A token without an administrator's rights is enough.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::Client;
use super::error::HomeAssistantError;
use super::home::{Entry, Exposure, Home, User};

/// Events after which names may be others. The last comes for each integration that is loaded, in the minutes after a
/// start.
const EVENTS: [&str; 5] = [
    "entity_registry_updated",
    "device_registry_updated",
    "area_registry_updated",
    "floor_registry_updated",
    "component_loaded",
];

/// Asks to be told of changes.
pub(super) async fn subscribe<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Result<(), HomeAssistantError> {
    for event in EVENTS {
        let mut arguments = Map::new();
        arguments.insert("event_type".to_owned(), event.into());
        client.call::<Value>("subscribe_events", arguments).await?;
    }
    Ok(())
}

/// Reads everything that has names.
pub(super) async fn home<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Result<Home, HomeAssistantError> {
    let mut home = Home {
        areas: list(client, "config/area_registry/list").await?,
        floors: floors(client).await?,
        devices: list(client, "config/device_registry/list").await?,
        entities: list(client, "config/entity_registry/list").await?,
        states: list(client, "get_states").await?,
        exposed: exposed(client).await?,
        ..Home::default()
    };
    home.aliases = aliases(client, home.exposed_of_registry()).await?;
    Ok(home)
}

async fn list<S: AsyncRead + AsyncWrite + Unpin, T: DeserializeOwned + Default>(
    client: &mut Client<S>,
    command: &'static str,
) -> Result<T, HomeAssistantError> {
    client.call(command, Map::new()).await
}

/// None before Home Assistant 2024.4.
async fn floors<S: AsyncRead + AsyncWrite + Unpin, T: DeserializeOwned + Default>(
    client: &mut Client<S>,
) -> Result<T, HomeAssistantError> {
    match list(client, "config/floor_registry/list").await {
        Err(HomeAssistantError::Command { code, .. }) if code.is_unknown_command() => {
            Ok(T::default())
        }
        floors => floors,
    }
}

/// Which entities Assist may use. Only administrators may ask, and Home Assistant logs an error for others.
async fn exposed<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Result<Option<BTreeSet<String>>, HomeAssistantError> {
    let user: User = list(client, "auth/current_user").await?;
    if !user.is_admin() {
        return Ok(None);
    }
    let exposure: Exposure = list(client, "homeassistant/expose_entity/list").await?;
    Ok(Some(exposure.exposed_to_assist()))
}

async fn aliases<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    entities: Vec<&str>,
) -> Result<BTreeMap<String, Vec<String>>, HomeAssistantError> {
    if entities.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut arguments = Map::new();
    arguments.insert("entity_ids".to_owned(), entities.into());
    let entries: BTreeMap<String, Option<Entry>> = client
        .call("config/entity_registry/get_entries", arguments)
        .await?;
    let aliases = entries.into_iter().filter_map(|(entity, entry)| {
        let aliases: Vec<String> = entry?.aliases.into_iter().flatten().collect();
        (!aliases.is_empty()).then_some((entity, aliases))
    });
    Ok(aliases.collect())
}
