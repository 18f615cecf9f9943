//! Alerts to people of the business: mail is keyed and limited for each address, a text message is sent once and looked up when its outcome is unknown.

use colloquy_cluster::effect::EffectHandle;
use colloquy_connectors::{Mail, Sms};
use colloquy_domain::Principal;
use colloquy_domain::catalog::template::AlertChannel;
use colloquy_domain::conversation::{Alert, Command, Reply};
use colloquy_domain::ids::{ConversationId, TenantId};
use colloquy_domain::vocabulary::Urgency;

use super::ConversationEntity;
use crate::core::{Asked, ask};
use crate::{ActorError, Tools, letters};

/// Sends an alert. The attempt is journaled before anything leaves.
pub(super) async fn send(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    let attempt = Command::AlertAttempt { id: alert.id.clone(), attempt: alert.attempt };
    if let Err(error) = command(handle, attempt).await {
        tracing::warn!(conversation = %handle.key().id, %error, "an alert's attempt could not be journaled");
        return; // It stays queued: the next activation or timer takes it up.
    }
    deliver(tools, handle, alert).await;
}

/// Settles an alert whose attempt was journaled but whose outcome is not known. Both senders take the alert's id as key: the same key is the
/// same message, so asking again is a look-up where it went out and a delivery where it did not.
pub(super) async fn check(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    // Commands of an attempt are keyed by their order. The first one was to begin it: asked again it is answered as it was, and the outcome that
    // follows is not taken for it.
    let attempt = Command::AlertAttempt { id: alert.id.clone(), attempt: alert.attempt };
    match command(handle, attempt).await {
        Ok(_) | Err(ActorError::Rejected(_)) => deliver(tools, handle, alert).await,
        Err(error) => {
            tracing::warn!(conversation = %handle.key().id, %error, "an alert's attempt could not be looked up");
        }
    }
}

async fn deliver(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    if !matches!(alert.channel, AlertChannel::Email) {
        return hand_over(tools, handle, alert).await;
    }
    match admitted(tools, handle, &alert).await {
        Ok(true) => hand_over(tools, handle, alert).await,
        // It is told with the next letter to this address, and is nobody's unfinished work here.
        Ok(false) => settle(handle, Command::AlertDone { id: alert.id, attempt: alert.attempt }).await,
        Err(error) => {
            let error = error.to_string();
            settle(handle, Command::AlertFailed { id: alert.id, attempt: alert.attempt, error, retry: true }).await;
        }
    }
}

/// Whether a letter may go to its address now: there are so many in an hour. Emergencies have room of their own.
async fn admitted(tools: &Tools, handle: &EffectHandle, alert: &Alert) -> Result<bool, ActorError> {
    let tenant = TenantId::from(&*handle.key().tenant);
    let by = Principal::system(tenant.clone());
    let urgent = match ask::<ConversationEntity>(handle.client(), &by, &handle.key().id, Command::Get).await? {
        Reply::State(state) => state.urgency == Urgency::Emergency,
        _ => false,
    };
    let about = ConversationId(handle.key().id.to_string());
    letters::admit(handle.client(), tools, &tenant, &alert.to, &alert.id, &about, urgent).await
}

async fn hand_over(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    let link = tools.links.conversation(&handle.key().id);
    let text = format!("{}\n\n{link}", alert.body);
    let outcome = match alert.channel {
        AlertChannel::Email => {
            let mail = Mail {
                to: alert.to.clone(),
                subject: alert.subject.clone(),
                text,
                html: None,
                idempotency_key: alert.id.clone(),
            };
            tools.mailer.send(&mail).await
        }
        AlertChannel::Sms => {
            tools.sms.send(&Sms { to: alert.to.clone(), text, idempotency_key: alert.id.clone() }).await
        }
    };
    let channel = match alert.channel {
        AlertChannel::Email => "email",
        AlertChannel::Sms => "sms",
    };
    metrics::counter!(crate::telemetry::ALERTS, "channel" => channel, "outcome" => if outcome.is_ok() { "sent" } else { "failed" }).increment(1);
    let result = match outcome {
        Ok(_) => Command::AlertDone { id: alert.id, attempt: alert.attempt },
        Err(error) => Command::AlertFailed {
            id: alert.id,
            attempt: alert.attempt,
            error: error.to_string(),
            retry: error.retryable(),
        },
    };
    settle(handle, result).await;
}

async fn settle(handle: &EffectHandle, result: Command) {
    if let Err(error) = command(handle, result).await {
        tracing::warn!(conversation = %handle.key().id, %error, "an alert's outcome could not be brought back");
    }
}

async fn command(handle: &EffectHandle, command: Command) -> Result<Reply, ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    Ok(handle.command::<ConversationEntity>(Asked { by, command }).await?)
}
