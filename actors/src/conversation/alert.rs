//! Alerts to people of the business: mail is keyed, a text message is sent once and looked up when its outcome is unknown.

use colloquy_cluster::effect::EffectHandle;
use colloquy_connectors::{Mail, Sms};
use colloquy_domain::Principal;
use colloquy_domain::catalog::template::AlertChannel;
use colloquy_domain::conversation::{Alert, Command, Reply};
use colloquy_domain::ids::TenantId;

use super::ConversationEntity;
use crate::core::Asked;
use crate::{ActorError, Tools};

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
    deliver(tools, handle, alert).await;
}

async fn deliver(tools: &Tools, handle: &EffectHandle, alert: Alert) {
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
    if let Err(error) = command(handle, result).await {
        tracing::warn!(conversation = %handle.key().id, %error, "an alert's outcome could not be brought back");
    }
}

async fn command(handle: &EffectHandle, command: Command) -> Result<Reply, ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    Ok(handle.command::<ConversationEntity>(Asked { by, command }).await?)
}
