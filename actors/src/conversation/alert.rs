//! Alerts to people of the business: mail is keyed and limited for each address, a text message is sent once and looked up when its outcome is unknown.

use colloquy_cluster::effect::EffectHandle;
use colloquy_connectors::{Mail, Sms};
use colloquy_domain::Principal;
use colloquy_domain::catalog::template::AlertChannel;
use colloquy_domain::conversation::{Alert, AlertLine, Command, Reply};
use colloquy_domain::ids::{ConversationId, TenantId};
use colloquy_domain::vocabulary::Urgency;

use super::ConversationEntity;
use crate::core::{Asked, ask};
use crate::messages::staff::{self, Staff, Unsent};
use crate::{ActorError, Tools, letters};

/// Sends an alert. The attempt is journaled before anything leaves.
pub(super) async fn send(tools: &Tools, handle: &EffectHandle, mut alert: Alert) {
    alert.line = match line(tools, handle, alert.channel).await {
        Ok(line) => line,
        Err(error) => return again(handle, alert, error.to_string()).await,
    };
    let attempt = Command::AlertAttempt { id: alert.id.clone(), attempt: alert.attempt, line: alert.line.clone() };
    if let Err(error) = command(handle, attempt).await {
        tracing::warn!(conversation = %handle.key().id, %error, "an alert's attempt could not be journaled");
        return; // It stays queued: the next activation or timer takes it up.
    }
    deliver(tools, handle, alert).await;
}

/// Settles an alert whose attempt was journaled but whose outcome is not known. The mail server and the development mailbox take the alert's id as key: the
/// same key is the same message, so asking again is a look-up where it went out and a delivery where it did not. Who carries text messages is asked for
/// the list of them.
pub(super) async fn check(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    // Commands of an attempt are keyed by their order. The first one was to begin it: asked again it is answered as it was, and the outcome that
    // follows is not taken for it.
    let attempt = Command::AlertAttempt { id: alert.id.clone(), attempt: alert.attempt, line: alert.line.clone() };
    match command(handle, attempt).await {
        Ok(_) | Err(ActorError::Rejected(_)) => deliver(tools, handle, alert).await,
        Err(error) => {
            tracing::warn!(conversation = %handle.key().id, %error, "an alert's attempt could not be looked up");
        }
    }
}

/// Where a text message leaves from; none for mail, and where it is only recorded.
async fn line(tools: &Tools, handle: &EffectHandle, channel: AlertChannel) -> Result<Option<AlertLine>, ActorError> {
    match channel {
        AlertChannel::Email => Ok(None),
        AlertChannel::Sms => {
            let tenant = TenantId::from(&*handle.key().tenant);
            let by = Principal::system(tenant.clone());
            let asked = ask::<ConversationEntity>(handle.client(), &by, &handle.key().id, Command::Get).await?;
            let Reply::State(state) = asked else { return Err(ActorError::Failed) };
            staff::line(tools, handle, &tenant, &state.agent_id).await
        }
    }
}

async fn deliver(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    match (alert.channel, alert.line.clone()) {
        (AlertChannel::Sms, Some(line)) => text(tools, handle, alert, &line).await,
        (AlertChannel::Sms, None) => record(tools, handle, alert).await,
        (AlertChannel::Email, _) => match admitted(tools, handle, &alert).await {
            Ok(true) => mail(tools, handle, alert).await,
            // It is told with the next letter to this address, and is nobody's unfinished work here.
            Ok(false) => settle(handle, done(alert, false)).await,
            Err(error) => again(handle, alert, error.to_string()).await,
        },
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

/// What an alert says, and where to look.
fn words(tools: &Tools, handle: &EffectHandle, alert: &Alert) -> String {
    format!("{}\n\n{}", alert.body, tools.links.conversation(&handle.key().id))
}

async fn mail(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    let mail = Mail {
        to: alert.to.clone(),
        subject: alert.subject.clone(),
        text: words(tools, handle, &alert),
        html: None,
        idempotency_key: alert.id.clone(),
    };
    let outcome = tools.mailer.send(&mail).await;
    count("email", if outcome.is_ok() { "sent" } else { "failed" });
    match outcome {
        Ok(_) => settle(handle, done(alert, false)).await,
        Err(error) => settle(handle, failed(alert, error.to_string(), error.retryable())).await,
    }
}

/// Nothing that sends text messages is connected: developers find it in their mailbox, and its status says that it reached nobody.
async fn record(tools: &Tools, handle: &EffectHandle, alert: Alert) {
    let text = words(tools, handle, &alert);
    let sms = Sms { to: alert.to.clone(), text, idempotency_key: alert.id.clone() };
    let outcome = tools.sms.send(&sms).await;
    count("sms", if outcome.is_ok() { "recorded" } else { "failed" });
    match outcome {
        Ok(receipt) => settle(handle, done(alert, receipt.recorded)).await,
        Err(error) => settle(handle, failed(alert, error.to_string(), error.retryable())).await,
    }
}

/// From a number of the organization.
async fn text(tools: &Tools, handle: &EffectHandle, alert: Alert, line: &AlertLine) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let words = words(tools, handle, &alert);
    // Another attempt asks the guard anew: what holds then decides.
    let name = format!("alert/{}/{}", alert.id, alert.attempt);
    let of = Staff { name: &name, line, to: &alert.to, words: &words };
    let outcome = match alert.attempted_ms {
        Some(at_ms) => staff::look_up(tools, handle, &tenant, &of, at_ms).await,
        None => staff::send(tools, handle, &tenant, &of).await,
    };
    if handle.is_cancelled() {
        return;
    }
    count("sms", if outcome.is_ok() { "sent" } else { "failed" });
    match outcome {
        Ok(()) => settle(handle, done(alert, false)).await,
        Err(Unsent { why, retry }) => {
            tracing::warn!(conversation = %handle.key().id, why, retry, "an alert by text message did not leave");
            settle(handle, failed(alert, why, retry)).await;
        }
    }
}

fn count(channel: &'static str, outcome: &'static str) {
    metrics::counter!(crate::telemetry::ALERTS, "channel" => channel, "outcome" => outcome).increment(1);
}

fn done(alert: Alert, recorded: bool) -> Command {
    Command::AlertDone { id: alert.id, attempt: alert.attempt, recorded }
}

fn failed(alert: Alert, error: String, retry: bool) -> Command {
    Command::AlertFailed { id: alert.id, attempt: alert.attempt, error, retry }
}

/// It did not leave for a reason that passes.
async fn again(handle: &EffectHandle, alert: Alert, error: String) {
    settle(handle, failed(alert, error, true)).await;
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
