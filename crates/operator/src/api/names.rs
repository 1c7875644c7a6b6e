//! Names that speech may contain.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKey;

/// Where the replicas read names from. A name that is expected is heard more often, and spelled as it is written here.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NamesSettings {
    /// Names in a ConfigMap: one a line; lines that begin with `#` are comments. A change is read without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKey>,
    /// A Home Assistant, whose entities that are exposed to Assist, areas, floors and aliases are expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_assistant: Option<HomeAssistant>,
}

/// One value of a ConfigMap in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which of its values.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Home Assistant that the replicas ask for names.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "!has(self.caConfigMapRef) || self.url.startsWith('https://')",
    "names.homeAssistant.caConfigMapRef needs a url that begins with https://"
))]
#[serde(rename_all = "camelCase")]
pub struct HomeAssistant {
    /// As a browser has it, such as `http://homeassistant.local:8123`. The pods must be able to resolve its name.
    #[schemars(
        length(max = 253),
        regex(
            pattern = r"^https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s?#@]*)?$"
        )
    )]
    pub url: String,
    /// A long-lived access token of one of its users, who needs no administrator's rights. The pods read it; the
    /// operator never does.
    pub token_secret_ref: SecretKey,
    /// Certificates (PEM) of those who may have signed that of Home Assistant, or its own; those that the image trusts
    /// when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<ConfigMapKey>,
}

impl HomeAssistant {
    /// Host (IPv6 without brackets) and port of the URL; `None` for a port that cannot be.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        let (scheme, rest) = self.url.split_once("://")?;
        let usual_port = if scheme == "https" { 443 } else { 80 };
        let authority = rest.split('/').next()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => usual_port,
        };
        Some((host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_port() {
        for (url, expected) in [
            ("http://hass:8123", Some(("hass", 8123))),
            ("http://hass/core", Some(("hass", 80))),
            ("https://192.0.2.7", Some(("192.0.2.7", 443))),
            ("https://[2001:db8::7]:8443/x", Some(("2001:db8::7", 8443))),
            ("http://hass:0", None),
            ("http://hass:70000", None),
        ] {
            let home = HomeAssistant {
                url: url.to_owned(),
                token_secret_ref: SecretKey {
                    name: "hass".to_owned(),
                    key: "token".to_owned(),
                },
                ca_config_map_ref: None,
            };
            assert_eq!(home.host_and_port(), expected, "{url}");
        }
    }
}
