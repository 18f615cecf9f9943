//! `/api/models`: the language models an agent may name, what they cost, and which of them can answer here.

use axum::extract::State;
use colloquy_actors::domain::catalog::models::{Model, Models};
use colloquy_wire::agents::{ModelList, ModelPrice, ModelView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, ModelServer};
use crate::auth::Console;
use crate::body::Json;
use crate::problem::Result;

/// What answers without any provider.
const BUILT_IN: &str = "built-in";
/// Prices are kept in millionths of a dollar.
const MICROS: f64 = 1_000_000.0;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The models an agent may name.
#[utoipa::path(get, path = "/api/models", tag = "agents", responses((status = 200, body = ModelList)))]
async fn list(State(app): State<App>, _console: Console) -> Result<Json<ModelList>> {
    let items = views(&app.actors.tools.catalog.models, app.settings.models.as_ref());
    Ok(Json(ModelList { items, next_cursor: None }))
}

/// The built-in responder, then every model of the catalog; `server` is what the operator configured.
fn views(models: &Models, server: Option<&ModelServer>) -> Vec<ModelView> {
    let built_in = ModelView {
        id: BUILT_IN.to_owned(),
        provider: "colloquy".to_owned(),
        name: "Built-in responder".to_owned(),
        context_tokens: 0,
        price: None,
        default: server.is_none(),
        available: true,
        why_not: None,
    };
    let view = |model: &Model| {
        let why_not = why_not(models, model, server);
        let dollars = |micros: u64| micros as f64 / MICROS;
        ModelView {
            id: model.id.clone(),
            provider: model.provider.clone(),
            name: model.name.clone(),
            context_tokens: model.context_tokens,
            price: Some(ModelPrice {
                input: dollars(model.input_micros_per_million_tokens),
                output: dollars(model.output_micros_per_million_tokens),
            }),
            default: server.is_some_and(|server| is_named(models, &server.default, model)),
            available: why_not.is_none(),
            why_not,
        }
    };
    std::iter::once(built_in).chain(models.models.iter().map(view)).collect()
}

/// Why a model cannot answer here: only what the configured server serves can, and it serves what is its own or what the operator named.
fn why_not(models: &Models, model: &Model, server: Option<&ModelServer>) -> Option<String> {
    let Some(server) = server else {
        return Some("There is no key of a model provider: set `models.openai.api_key`. Until then the built-in responder answers.".to_owned());
    };
    let chosen = [&server.default, &server.fallback].into_iter().any(|id| is_named(models, id, model));
    let address = |url: &str| url.trim().trim_end_matches('/').to_owned();
    let provider = models.provider(&model.provider);
    if chosen || provider.is_some_and(|provider| address(&provider.base_url) == address(&server.base_url)) {
        return None;
    }
    let name = provider.map_or(model.provider.as_str(), |provider| provider.name.as_str());
    Some(format!("It is served by {name}; `models.openai.base_url` is set to another provider."))
}

/// Whether a name of the settings, an id or an alias, means this model.
fn is_named(models: &Models, name: &str, model: &Model) -> bool {
    models.get(name).is_some_and(|named| named.id == model.id)
}

#[cfg(test)]
mod tests {
    use colloquy_actors::domain::catalog::models::{Provider, Tier};

    use super::*;

    fn models() -> Models {
        let model = |id: &str, provider: &str| Model {
            id: id.into(),
            name: id.to_uppercase(),
            provider: provider.into(),
            provider_model: id.into(),
            tier: Tier::All,
            context_tokens: 1_000,
            max_output_tokens: None,
            input_micros_per_million_tokens: 150_000,
            cached_input_micros_per_million_tokens: None,
            output_micros_per_million_tokens: 600_000,
            request_fee_micros: 0,
            price_as_of: "2026-01-01".into(),
            aliases: vec![format!("x/{id}")],
        };
        let provider =
            |id: &str| Provider { id: id.into(), name: id.into(), base_url: format!("https://{id}.example/v1") };
        Models {
            providers: vec![provider("a"), provider("b")],
            models: vec![model("m1", "a"), model("m2", "b")],
            ..Models::default()
        }
    }

    fn server(host: &str, default: &str) -> ModelServer {
        ModelServer {
            base_url: format!("https://{host}.example/v1/"),
            default: default.into(),
            fallback: String::new(),
        }
    }

    #[test]
    fn without_a_key_only_the_built_in_responder_answers() {
        let shown = views(&models(), None);
        let can: Vec<_> = shown.iter().filter(|model| model.available).map(|model| model.id.as_str()).collect();
        assert_eq!((can, shown[0].default), (vec![BUILT_IN], true));
        assert!(shown[1].why_not.as_deref().is_some_and(|why| why.contains("models.openai.api_key")));
        assert_eq!(shown[1].price, Some(ModelPrice { input: 0.15, output: 0.6 }));
    }

    #[test]
    fn a_server_serves_its_providers_models_and_what_the_operator_named() {
        let shown = views(&models(), Some(&server("a", "x/m1")));
        let state = |shown: &[ModelView]| -> Vec<(bool, bool)> {
            shown[1..].iter().map(|model| (model.available, model.default)).collect()
        };
        assert_eq!(state(&shown), [(true, true), (false, false)]);
        assert!(!shown[0].default);
        let own = views(&models(), Some(&server("own", "m2")));
        assert_eq!(state(&own), [(false, false), (true, true)], "a server of one's own serves what was named");
    }
}
