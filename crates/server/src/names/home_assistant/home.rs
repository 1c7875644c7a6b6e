//! What the registries of a Home Assistant say → names that people may speak. Pure.
//!
//! The names are those that Assist itself compares with a sentence: friendly names and aliases of the entities that are
//! exposed to it, and all areas and floors with their aliases (`default_agent.py` of Home Assistant's `conversation`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// `DEFAULT_EXPOSED_DOMAINS` of Home Assistant's `exposed_entities.py`.
const EXPOSED_DOMAINS: [&str; 11] = [
    "climate",
    "cover",
    "fan",
    "humidifier",
    "light",
    "media_player",
    "scene",
    "switch",
    "todo",
    "vacuum",
    "water_heater",
];

/// What is known of a home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) floors: Vec<Place>,
    pub(super) areas: Vec<Place>,
    /// The registry's entries, exposed or not.
    pub(super) entities: Vec<Entity>,
    /// Of the entities that are exposed to Assist; `None` when the token's user may not ask, and the registry must do.
    pub(super) exposed: Option<BTreeSet<String>>,
    /// By entity; only the registry's entities have any.
    pub(super) aliases: BTreeMap<String, Vec<String>>,
    pub(super) states: Vec<State>,
    pub(super) devices: Vec<Device>,
}

/// A floor or an area.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
}

/// An entry of the entity registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "entity_id")]
    id: String,
    /// Given by the user.
    #[serde(default)]
    name: Option<String>,
    /// Given by the integration.
    #[serde(default)]
    original_name: Option<String>,
    /// Whether the names above are only what distinguishes the entity from others of its device.
    #[serde(default)]
    has_entity_name: bool,
    #[serde(default)]
    device_id: Option<String>,
    #[serde(default)]
    disabled_by: Option<String>,
    #[serde(default)]
    options: Options,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Options {
    #[serde(default)]
    conversation: Assistant,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Assistant {
    #[serde(default)]
    should_expose: Option<bool>,
}

/// An entry with what only single entries tell. Newer versions have `null` among the aliases, for the entity's own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) aliases: Vec<Option<String>>,
}

/// An entity as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct State {
    entity_id: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Attributes {
    #[serde(default)]
    friendly_name: Option<String>,
}

/// An entry of the device registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Device {
    id: String,
    /// Given by the integration.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    name_by_user: Option<String>,
}

/// The token's user: `auth/current_user`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    is_admin: bool,
}

impl User {
    /// Whether everything may be asked.
    pub(super) fn is_admin(&self) -> bool {
        self.is_admin
    }
}

/// Which assistants may use what: `homeassistant/expose_entity/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Exposure {
    #[serde(default)]
    exposed_entities: BTreeMap<String, Assistants>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Assistants {
    #[serde(default)]
    conversation: bool,
}

impl Exposure {
    /// The entities that are exposed to Assist.
    pub(super) fn exposed_to_assist(self) -> BTreeSet<String> {
        let entities = self.exposed_entities.into_iter();
        entities
            .filter(|(_, exposed)| exposed.conversation)
            .map(|(entity, _)| entity)
            .collect()
    }
}

impl Home {
    /// The entities that are exposed to Assist. Without an administrator's token, what the owner has chosen for entities
    /// that are in no registry (of YAML, without a unique id) is not known, but only what Home Assistant chooses itself.
    pub(super) fn exposed(&self) -> BTreeSet<&str> {
        if let Some(exposed) = &self.exposed {
            return exposed.iter().map(String::as_str).collect();
        }
        let registered: BTreeSet<&str> = self.entities.iter().map(|it| &*it.id).collect();
        let of_registry = self.entities.iter();
        let of_registry = of_registry
            .filter(|entity| entity.options.conversation.should_expose == Some(true))
            .map(|entity| &*entity.id);
        let others = self.states.iter().map(|state| &*state.entity_id);
        let others = others
            .filter(|entity| !registered.contains(entity))
            .filter(|entity| is_exposed_as_it_comes(entity));
        of_registry.chain(others).collect()
    }

    /// Exposed entities of the registry: those that can have aliases.
    pub(super) fn exposed_of_registry(&self) -> Vec<&str> {
        let exposed = self.exposed();
        let entities = self.entities.iter().map(|entity| &*entity.id);
        entities.filter(|entity| exposed.contains(entity)).collect()
    }

    /// The names that people may speak. Rooms first: there are few of them, and most orders have one.
    pub(super) fn names(&self) -> Vec<String> {
        let exposed = self.exposed();
        let mut names = Vec::new();
        for place in self.areas.iter().chain(&self.floors) {
            names.push(place.name.clone());
            names.extend(place.aliases.iter().cloned());
        }
        names.extend(self.entity_names(&exposed));
        for (entity, aliases) in &self.aliases {
            if exposed.contains(&**entity) {
                names.extend(aliases.iter().cloned());
            }
        }
        names
    }

    /// What the exposed entities are called: as Home Assistant shows them; otherwise, while an integration is not
    /// loaded, as the registry would have it.
    fn entity_names(&self, exposed: &BTreeSet<&str>) -> Vec<String> {
        let shown: BTreeMap<&str, &str> = self
            .states
            .iter()
            .filter_map(|state| {
                Some((
                    &*state.entity_id,
                    state.attributes.friendly_name.as_deref()?,
                ))
            })
            .collect();
        let of_registry: BTreeMap<&str, &Entity> = self
            .entities
            .iter()
            .map(|entity| (&*entity.id, entity))
            .collect();
        let name = |entity: &&str| match shown.get(entity) {
            Some(name) => Some((*name).to_owned()),
            None => self.registered_name(of_registry.get(entity)?),
        };
        exposed.iter().filter_map(name).collect()
    }

    /// The name that Home Assistant would make of an entry.
    fn registered_name(&self, entity: &Entity) -> Option<String> {
        if entity.disabled_by.is_some() {
            return None;
        }
        let own = given(entity.name.as_ref()).or_else(|| given(entity.original_name.as_ref()));
        let device = self.device_name(entity);
        match (own, device) {
            (Some(own), Some(device))
                if entity.has_entity_name && given(entity.name.as_ref()).is_none() =>
            {
                Some(format!("{device} {own}"))
            }
            (Some(name), _) | (None, Some(name)) => Some(name.to_owned()),
            (None, None) => None,
        }
    }

    fn device_name(&self, entity: &Entity) -> Option<&str> {
        let id = entity.device_id.as_deref()?;
        let device = self.devices.iter().find(|device| device.id == id)?;
        given(device.name_by_user.as_ref()).or_else(|| given(device.name.as_ref()))
    }
}

/// Whether Home Assistant exposes a new entity of this domain.
fn is_exposed_as_it_comes(entity_id: &str) -> bool {
    let domain = entity_id.split('.').next().unwrap_or_default();
    EXPOSED_DOMAINS.contains(&domain)
}

fn given(name: Option<&String>) -> Option<&str> {
    name.map(String::as_str).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// As Home Assistant answers, with fields that are of no use here.
    fn home() -> Home {
        let exposure: Exposure = from(json!({"exposed_entities": {
            "light.bed": {"conversation": true, "cloud.alexa": true},
            "light.hidden": {"cloud.alexa": true},
            "light.off": {"conversation": false},
            "script.night": {"conversation": true},
            "switch.loading": {"conversation": true},
            "switch.disabled": {"conversation": true},
            "fan.only_device": {"conversation": true},
            "light.renamed": {"conversation": true},
        }}));
        Home {
            floors: from(
                json!([{"floor_id": "og", "name": "Obergeschoss", "aliases": ["oben"], "level": 1}]),
            ),
            areas: from(
                json!([{"area_id": "kueche", "name": "Küche", "aliases": []}, {"name": "Bad"}]),
            ),
            entities: from(json!([
                {"entity_id": "light.bed", "name": null, "original_name": "Bed Light", "options": {}, "labels": []},
                {"entity_id": "light.hidden", "original_name": "Hidden"},
                {"entity_id": "switch.loading", "original_name": "Power", "has_entity_name": true, "device_id": "d1"},
                {"entity_id": "switch.disabled", "original_name": "Disabled", "disabled_by": "user"},
                {"entity_id": "fan.only_device", "original_name": null, "has_entity_name": true, "device_id": "d2"},
                {"entity_id": "light.renamed", "name": "Leselampe", "original_name": "Light", "has_entity_name": true, "device_id": "d1"},
            ])),
            exposed: Some(exposure.exposed_to_assist()),
            aliases: BTreeMap::from([
                ("light.bed".to_owned(), vec!["Nachttischlampe".to_owned()]),
                ("light.hidden".to_owned(), vec!["never".to_owned()]),
            ]),
            states: from(json!([
                {"entity_id": "light.bed", "state": "off", "attributes": {"friendly_name": "Bed Light", "min_mireds": 1}},
                {"entity_id": "light.hidden", "attributes": {"friendly_name": "Hidden"}},
                {"entity_id": "script.night", "attributes": {"friendly_name": "Gute Nacht"}},
                {"entity_id": "sun.sun", "attributes": {}},
            ])),
            devices: from(json!([
                {"id": "d1", "name": "Plug S", "name_by_user": "Kaffeemaschine"},
                {"id": "d2", "name": "Ventilator", "name_by_user": null},
            ])),
        }
    }

    #[test]
    fn the_names_are_those_that_assist_knows() {
        assert_eq!(
            home().names(),
            [
                "Küche",
                "Bad",
                "Obergeschoss",
                "oben",
                "Ventilator",
                "Bed Light",
                "Leselampe",
                "Gute Nacht",
                "Kaffeemaschine Power",
                "Nachttischlampe",
            ]
        );
    }

    #[test]
    fn without_an_administrators_token_the_registry_tells_what_is_exposed() {
        let home = Home {
            exposed: None,
            entities: from(json!([
                {"entity_id": "light.a", "original_name": "A1", "options": {"conversation": {"should_expose": true}}},
                {"entity_id": "light.b", "original_name": "B1", "options": {"conversation": {"should_expose": false}, "light": {"x": 1}}},
                {"entity_id": "light.c", "original_name": "C1", "options": {"conversation": {}}},
            ])),
            states: from(json!([
                {"entity_id": "scene.yaml", "attributes": {"friendly_name": "Gute Nacht"}},
                {"entity_id": "sensor.yaml", "attributes": {"friendly_name": "Load"}},
                {"entity_id": "light.b", "attributes": {"friendly_name": "B1"}},
            ])),
            ..Home::default()
        };
        assert_eq!(home.names(), ["A1", "Gute Nacht"]);
        assert_eq!(home.exposed_of_registry(), ["light.a"]);
    }

    #[test]
    fn only_entities_of_the_registry_are_asked_for_aliases() {
        let home = home();
        let asked = home.exposed_of_registry();
        assert!(
            asked.contains(&"light.bed") && !asked.contains(&"script.night"),
            "{asked:?}"
        );
        assert!(!asked.contains(&"light.hidden"));
    }

    #[test]
    fn an_alias_may_stand_for_the_entitys_own_name() {
        let entry: Entry = from(json!({"aliases": [null, "Lampe"], "capabilities": {}}));
        assert_eq!(entry.aliases, [None, Some("Lampe".to_owned())]);
    }
}
