//! `/openapi.json`: the API as it is served, made from its types.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::answer::{Short, Verbose};
use super::events::{TextDelta, TextDone};
use super::{models, problem, transcription};

#[derive(OpenApi)]
#[openapi(
    info(title = "wyoming-stt", description = "Speech to text, as OpenAI's clients ask for it."),
    paths(transcription::transcribe, transcription::translate, models::list, models::one),
    components(schemas(TextDelta, TextDone, Short, Verbose, problem::Body)),
    modifiers(&Keys),
    security((), ("key" = []))
)]
struct Api;

/// A key is needed where the server has some.
struct Keys;

impl Modify for Keys {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The document.
pub(super) async fn document() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, Api::openapi().to_json().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_path_and_what_it_answers() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/v1/audio/transcriptions",
                "/v1/audio/translations",
                "/v1/models",
                "/v1/models/{id}"
            ]
        );
        let post = &document["paths"]["/v1/audio/transcriptions"]["post"];
        for status in ["200", "400", "401", "413", "415", "422", "429", "503"] {
            assert!(post["responses"].get(status).is_some(), "{status}: {post}");
        }
        let form = &document["components"]["schemas"]["TranscriptionForm"];
        assert_eq!(form["required"], serde_json::json!(["file"]), "{form}");
        assert!(
            form["properties"]
                .get("timestamp_granularities[]")
                .is_some(),
            "{form}"
        );
    }
}
