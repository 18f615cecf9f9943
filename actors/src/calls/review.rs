//! Says how a call went: a model, where there is one and it answers in the form it was asked for, named rules otherwise.

use std::time::Duration;

use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::call::{Command, Review, judge, score, talk};
use colloquy_domain::conversation;
use colloquy_domain::ids::{CallId, ConversationId, TenantId};
use colloquy_domain::{Principal, Rejection};
use colloquy_models::{ChatMessage, ChatRequest};
use tokio_util::sync::CancellationToken;

use super::CallEntity;
use crate::conversation::ConversationEntity;
use crate::core::{Asked, ask};
use crate::{ActorError, Tools};

/// How long a model may take: half of what the call waits for.
const JUDGED_WITHIN: Duration = Duration::from_secs(30);

/// Says it, from the call's conversation.
pub(super) async fn run(
    tools: &Tools,
    handle: &EffectHandle,
    attempt: u32,
    conversation: &ConversationId,
    campaigns: bool,
) {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    let call = CallId::from(&*handle.key().id);
    let state =
        ask::<ConversationEntity>(handle.client(), &by, conversation.as_str(), conversation::Command::Get).await;
    let (review, talk) = match state {
        Ok(conversation::Reply::State(state)) => {
            // What a node died over is not paid for twice.
            let asks = attempt == 1 && !state.sandbox;
            let judged = if asks { judged(tools, handle, &state, &call).await } else { None };
            let (review, cost_micros) = judged.unwrap_or_default();
            // What cannot be used was paid for all the same.
            let review = review.unwrap_or_else(|| Review { cost_micros, ..score::review(&state, &call) });
            let talk = campaigns.then(|| Box::new(talk::talk(&state, &call, review.score)));
            (review, talk)
        }
        // Erased since, or merged away: there is nothing to say.
        Ok(_) | Err(ActorError::Rejected(_)) => (Review::none(), None),
        Err(error) => {
            // The deadline in the call's state begins another attempt.
            tracing::warn!(call = %call, %error, "how a call went cannot be said yet");
            return;
        }
    };
    let command = Command::Reviewed { attempt, review: Box::new(review), talk };
    match handle.command::<CallEntity>(Asked { by, command }).await.map_err(ActorError::from) {
        Ok(_) | Err(ActorError::Rejected(Rejection::Superseded | Rejection::NotFound { .. })) => {}
        Err(error) => tracing::warn!(call = %call, %error, "how a call went could not be brought back"),
    }
}

/// What a model says, if it can be used, and what that cost; `None` without one, and when it says nothing.
async fn judged(
    tools: &Tools,
    handle: &EffectHandle,
    state: &conversation::State,
    call: &CallId,
) -> Option<(Option<Review>, i64)> {
    let model = tools.model.as_ref()?;
    let said = judge::transcript(state, call)?;
    let tenant = TenantId::from(&*handle.key().tenant);
    let agent = tools.agent(handle.client(), &tenant, &state.agent_id).await.ok()?;
    let name = &agent.config.llm_model;
    let request = ChatRequest {
        model: tools.catalog.models.get(name).map_or_else(|| name.clone(), |known| known.provider_model.clone()),
        fallback_model: None,
        messages: vec![ChatMessage::System(judge::TASK.to_owned()), ChatMessage::User(said)],
        tools: Vec::new(),
        temperature: 0.0,
        max_tokens: judge::ANSWER_TOKENS_MAX,
        user_hash: None,
        replace_shown: true,
    };
    // Its task ends with this one, whatever ends it.
    let cancel = CancellationToken::new();
    let _ends = cancel.clone().drop_guard();
    let asked = async {
        let _turn = tools.model_calls.acquire().await.ok()?;
        Some(model.answer(request, &cancel, &mut |_| {}).await)
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(JUDGED_WITHIN, asked) => answer,
        () = handle.cancelled() => return None,
    };
    match answer {
        Ok(Some(Ok(answer))) => {
            let cost = answer.cost_micros.and_then(|cost| i64::try_from(cost).ok()).unwrap_or(0);
            let review = judge::read(&answer.text, &answer.model, cost);
            if review.is_none() {
                tracing::info!(call = %call, "a model judged a call in a form that cannot be read: the rules do");
            }
            Some((review, cost))
        }
        Ok(Some(Err(error))) => {
            tracing::info!(call = %call, %error, "a model did not judge a call: the rules do");
            None
        }
        Ok(None) => None,
        Err(_) => {
            tracing::info!(call = %call, "a model took too long over a call: the rules judge it");
            None
        }
    }
}
