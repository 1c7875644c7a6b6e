//! `/v1/models`: the one that is served.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use wyoming::Excerpt;

use super::api::Api;
use super::problem::Problem;

/// The name that OpenAI's clients send for Whisper; it stands for whatever is served.
const ALIAS: &str = "whisper-1";

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Always 0.
    created: u64,
    owned_by: &'static str,
}

/// The models.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Models {
    /// Always `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// The models that can be asked for.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses(
    (status = 200, description = "The model that is served, and its alias whisper-1", body = Models),
    (status = 401, description = "No API key, or one that is not known", body = super::problem::Body),
))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Models> {
    let names = [name(&api), ALIAS.to_owned()];
    Json(Models {
        object: "list",
        data: names.into_iter().map(model).collect(),
    })
}

/// One model.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "models", params(
    ("id" = String, Path, description = "Name of the model"),
), responses(
    (status = 200, description = "The model", body = Model),
    (status = 401, description = "No API key, or one that is not known", body = super::problem::Body),
    (status = 404, description = "Another model is served", body = super::problem::Body),
))]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Model>, Problem> {
    check(&api, &id)?;
    Ok(Json(model(id)))
}

/// Whether a request may name this model.
///
/// # Errors
/// A [`Problem`] that names the one that is served.
pub(super) fn check(api: &Api, asked: &str) -> Result<(), Problem> {
    let served = name(api);
    if asked == served || asked == ALIAS {
        return Ok(());
    }
    let message = format!(
        "there is no model \"{}\" here, only \"{served}\", which {ALIAS} stands for too",
        Excerpt::of(asked)
    );
    Err(Problem::new(StatusCode::NOT_FOUND, "model_not_found", message).about("model"))
}

/// Of a folder or file its last part: what is before it is nothing that clients should know.
pub(super) fn name(api: &Api) -> String {
    let model = &api.service.model;
    let path = std::path::Path::new(model);
    if !path.is_absolute() && !model.starts_with('.') {
        return model.clone();
    }
    let last = path.file_name().and_then(|name| name.to_str());
    last.unwrap_or(ALIAS).to_owned()
}

fn model(id: String) -> Model {
    Model {
        id,
        object: "model",
        created: 0,
        owned_by: "wyoming-stt",
    }
}
