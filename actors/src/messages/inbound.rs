//! A message from a carrier whose signature was believed: which conversation it belongs to, orders such as STOP, and receipts of what we sent.

use std::collections::BTreeSet;

use colloquy_cluster::Client;
use colloquy_domain::contact_guard::said::{self, Tongue};
use colloquy_domain::contact_guard::{self, Address};
use colloquy_domain::conversation::attachment::without_words;
use colloquy_domain::conversation::{self, Carried, Command, MessageStatus, Order, Post, Reply};
use colloquy_domain::ids::{AgentId, ConversationId, MessageId, TenantId};
use colloquy_domain::lines::{NewNumber, Provider};
use colloquy_domain::rejection::Rejection;
use colloquy_domain::text::Words;
use colloquy_domain::thread::{self, Proof};
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, check};
use colloquy_telephony::twilio::keywords::{self, Keyword, keyword};
use colloquy_telephony::twilio::rest::CODE_OPTED_OUT;

use super::send;
use crate::conversation::ConversationEntity;
use crate::core::ask;
use crate::thread::ThreadEntity;
use crate::{ActorError, Tools, guard, lines};

/// The scope in which a code names its conversation.
const CODES: &str = "join_code";
/// Letters and digits of a code: none that can be taken for another.
const CODE_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// What stands before a code in a prepared message.
const CODE_WORD: &str = "JOIN";
/// A message that is older than this was replayed, or repeated beyond what any provider does, ms: Meta gives up after a week.
const AGE_MAX_MS: i64 = 7 * 24 * 3_600_000;
/// How far in the future a message may have been written, ms: clocks differ.
const CLOCKS_DIFFER_MS: i64 = 5 * 60 * 1000;
/// How often a message is brought to another conversation because one turned out to be closed.
const TRIES: u32 = 3;

/// What is said where no carrier says it: over WhatsApp, and to who says it in other words than the carrier's.
const STARTED: &str = "You will hear from us again. Write STOP at any time to end messages.";
const JOINED: &str = "Thanks! We go on here: everything you told us before is in this conversation.";
const NOT_JOINED: &str =
    "You already have a conversation with us on this number. We go on here; a colleague can bring both together.";

/// A message that came in.
#[derive(Clone)]
pub struct Incoming {
    /// Which of our numbers.
    pub number: NewNumber,
    /// Over what.
    pub channel: Channel,
    /// The provider's id: the same id is the same message.
    pub message: String,
    /// Who writes, E.164, as the carrier says.
    pub from: String,
    /// How they call themselves; proves nothing.
    pub name: Option<String>,
    /// What.
    pub text: String,
    /// Addresses of what is attached.
    pub attachments: Vec<String>,
    /// When it was written, Unix milliseconds, where the provider says so under its signature.
    pub at_ms: Option<i64>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It stands in a conversation.
    Stands {
        /// Which.
        conversation: ConversationId,
        /// It stood there before.
        repeated: bool,
    },
    /// It is of no use: too old, from nobody, or to an agent that is gone.
    PassedOver,
}

/// Takes a message in. Doing it again changes nothing.
pub async fn heard(client: &Client, tools: &Tools, tenant: &TenantId, of: Incoming) -> Result<Heard, ActorError> {
    let now_ms = client.now_ms();
    let stale = of.at_ms.is_some_and(|at| at < now_ms - AGE_MAX_MS || at > now_ms + CLOCKS_DIFFER_MS);
    // Short codes and names of senders cannot be answered.
    if stale || !check::is_e164(&of.from) || (of.text.trim().is_empty() && of.attachments.is_empty()) {
        return Ok(Heard::PassedOver);
    }
    let agent = &of.number.agent;
    let now = match tools.agent(client, tenant, agent).await {
        Ok(now) => now,
        Err(ActorError::Rejected(_)) => return Ok(Heard::PassedOver),
        Err(error) => return Err(error),
    };
    // Two of our own numbers would answer each other for ever.
    let own = tools.lines(client, tenant).await?;
    if own.numbers.values().any(|number| number.is.number == of.from) {
        return Ok(Heard::PassedOver);
    }
    let by = Principal::system(tenant.clone());
    let address = Address::of_carrier(&of.from);
    let known = guard::known(client, tools, tenant, &address).await?;
    let stopped = known.stopped_by_person(of.channel, now_ms);
    let word = keyword(&of.text, carried_channel(of.channel), stopped);
    // Who asks for it in other words means the same; no carrier knows these, so it is for us to obey and to confirm.
    let words = Words::of(&of.text);
    let asked = if word.is_none() { said::never_write_in(&words) } else { None };
    let orders = match word {
        Some(Keyword::Stop) => Some(true),
        Some(Keyword::Start) => Some(false),
        Some(Keyword::Help) | None => asked.map(|_| true),
    };
    if let Some(stop) = orders {
        // Before the message stands anywhere: what is asked for holds even if the rest fails.
        let order = contact_guard::Command::Order {
            masked: address.masked(),
            message: of.message.clone(),
            stop,
            channel: of.channel,
        };
        guard::ask_guard(client, tools, &by, &address, order).await?;
    } else if said::never_call(&words) {
        // They may still be written to, and are answered.
        let entry = contact_guard::NewEntry {
            masked: address.masked(),
            reach: contact_guard::Reach::Voice,
            source: contact_guard::Source::Complaint,
            reason: "wrote not to be called again".to_owned(),
            expires_ms: None,
        };
        guard::ask_guard(client, tools, &by, &address, contact_guard::Command::AddEntry(Box::new(entry))).await?;
    }
    let code = claimed(client, tenant, agent, &of.text).await?;
    let order = match asked {
        Some(tongue) if !stopped => Some(Order { reply: Some(said::stopped(tongue).to_owned()) }),
        Some(_) | None => order(&of, word, stopped, now.live()),
    };

    let mut closed: Option<ConversationId> = None;
    for _ in 0..TRIES {
        let goes = goes(client, tools, tenant, &of, code.clone(), closed.clone()).await?;
        let order = match (&code, goes.proof) {
            (Some(_), Some(Proof::Code)) => Some(Order { reply: Some(JOINED.to_owned()) }),
            (Some(_), _) => Some(Order { reply: Some(NOT_JOINED.to_owned()) }),
            (None, _) => order.clone(),
        };
        let mut line = lines::line(&of.number, &of.from);
        line.proof = goes.proof.or(Some(Proof::Began));
        let mut terms = now.terms();
        terms.prefers_form = false; // A text message shows no form.
        let post = Post {
            conversation_id: goes.conversation.clone(),
            agent_id: agent.clone(),
            client_message_id: Some(of.message.clone()),
            text: text(&of),
            channel: of.channel,
            visitor: conversation::Visitor {
                id: crate::thread::visitor(tools, agent, &of.from),
                name: of.name.clone(),
                phone: Some(of.from.clone()),
                ..conversation::Visitor::default()
            },
            terms,
            agent_live: now.live(),
            continues: false,
            carried: Some(Box::new(Carried { line, attachments: of.attachments.clone(), order })),
            spoken: None,
        };
        match ask::<ConversationEntity>(client, &by, goes.conversation.as_str(), Command::Post(Box::new(post))).await {
            Ok(Reply::Posted(posted)) => {
                link(client, &by, &goes.conversation, &goes.link).await;
                return Ok(Heard::Stands { conversation: goes.conversation, repeated: posted.repeated });
            }
            Ok(_) => return Err(ActorError::Failed),
            // Ended for good, or erased since: the person begins anew.
            Err(ActorError::Rejected(Rejection::Conflict { code, .. })) if code == "conversation_closed" => {}
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => {}
            Err(error) => return Err(error),
        }
        closed = Some(goes.conversation);
    }
    Err(ActorError::Failed)
}

/// A receipt of a message we sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// In which conversation.
    pub conversation: String,
    /// Which message.
    pub message: MessageId,
    /// Which part of it.
    pub part: u32,
    /// The provider's id.
    pub provider_id: String,
    /// Where it stands.
    pub status: MessageStatus,
    /// The provider's number for why it failed.
    pub error: Option<i64>,
}

/// Takes a receipt in. One of something unknown changes nothing and is no failure: the provider is not to say it again.
pub async fn received(client: &Client, tools: &Tools, tenant: &TenantId, of: Received) -> Result<(), ActorError> {
    let by = Principal::system(tenant.clone());
    let receipt = Command::Receipt {
        message_id: of.message.clone(),
        part: of.part,
        provider_id: of.provider_id,
        status: of.status,
        error: of.error,
    };
    match ask::<ConversationEntity>(client, &by, &of.conversation, receipt).await {
        Ok(_) => {}
        Err(ActorError::Rejected(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    if of.error == Some(CODE_OPTED_OUT)
        && let Reply::State(state) = ask::<ConversationEntity>(client, &by, &of.conversation, Command::Get).await?
        && let Some(line) = state.message(&of.message).and_then(|message| state.lines.get(&message.channel))
    {
        send::opted_out(tools, client, tenant, &Address::of_carrier(&line.to)).await;
    }
    Ok(())
}

/// A fresh code for a conversation; sent from a number, it proves that the same person holds both.
pub async fn make_code(
    client: &Client,
    by: &Principal,
    agent: &AgentId,
    conversation: &ConversationId,
    random: [u8; 8],
) -> Result<String, ActorError> {
    let letters: Vec<u8> = random.iter().map(|byte| CODE_LETTERS[usize::from(*byte) % CODE_LETTERS.len()]).collect();
    let letters = String::from_utf8_lossy(&letters).into_owned();
    let code = format!("{}-{}", &letters[..4], &letters[4..]);
    let unique = &client.store().unique;
    let value = code_value(agent, &code);
    if unique.reserve(CODES, &value, conversation.as_str(), client.now_ms()).await?.is_some() {
        return Err(ActorError::Busy { retry_after_ms: 100 }); // One in 2⁴⁰: another try makes another code.
    }
    let before = match ask::<ConversationEntity>(client, by, conversation.as_str(), Command::Get).await? {
        Reply::State(state) => state.join.clone(),
        _ => None,
    };
    ask::<ConversationEntity>(client, by, conversation.as_str(), Command::MakeJoinCode { code: code.clone() }).await?;
    unique.confirm(CODES, &value, conversation.as_str()).await?;
    if let Some(before) = before {
        unique.release(CODES, &code_value(agent, &before.code), conversation.as_str()).await?;
    }
    Ok(code)
}

/// The text of a prepared message that carries a code.
pub fn code_text(code: &str) -> String {
    format!("{CODE_WORD} {code}")
}

/// The conversation whose good code a message is.
async fn claimed(
    client: &Client,
    tenant: &TenantId,
    agent: &AgentId,
    text: &str,
) -> Result<Option<ConversationId>, ActorError> {
    let Some(code) = read_code(text) else { return Ok(None) };
    let Some(holder) = client.store().unique.holder(CODES, &code_value(agent, &code)).await? else { return Ok(None) };
    let by = Principal::system(tenant.clone());
    let state = match ask::<ConversationEntity>(client, &by, &holder.owner, Command::Get).await {
        Ok(Reply::State(state)) => state,
        Ok(_) | Err(ActorError::Rejected(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let good = state.agent_id == *agent
        && state.join.as_ref().is_some_and(|join| join.code == code && join.until_ms > client.now_ms());
    Ok(good.then(|| state.id.clone()))
}

/// A code, if the whole message is one.
fn read_code(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let code = text.strip_prefix(CODE_WORD).map_or(text.as_str(), str::trim);
    let (first, second) = code.split_once('-')?;
    let group = |part: &str| part.len() == 4 && part.bytes().all(|byte| CODE_LETTERS.contains(&byte));
    (group(first) && group(second)).then(|| code.to_owned())
}

fn code_value(agent: &AgentId, code: &str) -> String {
    format!("{agent}/{code}")
}

/// Where a message goes.
struct Goes {
    conversation: ConversationId,
    proof: Option<Proof>,
    link: Vec<ConversationId>,
}

async fn goes(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    of: &Incoming,
    code: Option<ConversationId>,
    closed: Option<ConversationId>,
) -> Result<Goes, ActorError> {
    let agent = &of.number.agent;
    // A message that comes a second time because its conversation was closed begins another one than the first time.
    let name = match &closed {
        Some(closed) => format!("{}/{closed}", of.message),
        None => of.message.clone(),
    };
    let heard = thread::Command::Heard {
        agent: agent.clone(),
        message: of.message.clone(),
        fresh: crate::thread::conversation(tools, agent, &of.from, &name),
        code,
        closed,
        within_ms: crate::thread::within_ms(client, tools, tenant).await?,
    };
    let id = crate::thread::id(tools, agent, &of.from);
    match ask::<ThreadEntity>(client, &Principal::system(tenant.clone()), &id, heard).await? {
        thread::Reply::Goes { conversation, proof, link } => Ok(Goes { conversation, proof, link }),
        thread::Reply::Person { .. } | thread::Reply::Done | thread::Reply::State(_) => Err(ActorError::Failed),
    }
}

/// Shows both sides that they claim the same person. It is a note for people: one that fails is missed, not wrong.
pub(crate) async fn link(client: &Client, by: &Principal, one: &ConversationId, with: &[ConversationId]) {
    let others: BTreeSet<&ConversationId> = with.iter().collect();
    let own = (one.as_str(), with.to_vec());
    let theirs = others.into_iter().map(|other| (other.as_str(), vec![one.clone()]));
    for (conversation, with) in std::iter::once(own).chain(theirs).filter(|(_, with)| !with.is_empty()) {
        if let Err(error) = ask::<ConversationEntity>(client, by, conversation, Command::Link { with }).await {
            tracing::info!(conversation, %error, "a link between conversations could not be noted");
        }
    }
}

/// Whether the assistant is silent, and what is said instead.
fn order(of: &Incoming, word: Option<Keyword>, stopped: bool, live: bool) -> Option<Order> {
    let whatsapp = of.channel == Channel::Whatsapp;
    // For SMS the carrier answers these words itself; a second answer would be one too many.
    let reply = |text: &str| whatsapp.then(|| text.to_owned());
    match word {
        Some(Keyword::Stop) => Some(Order { reply: reply(said::stopped(Tongue::English)) }),
        Some(Keyword::Start) => Some(Order { reply: reply(STARTED) }),
        Some(Keyword::Help) if !whatsapp => Some(Order { reply: None }),
        // Who said STOP is not answered, and an agent that is switched off does not answer; people see what was written.
        Some(Keyword::Help) | None if stopped || !live => Some(Order { reply: None }),
        Some(Keyword::Help) | None => None,
    }
}

/// What stands in the conversation for a message.
fn text(of: &Incoming) -> String {
    let text = of.text.trim();
    if text.is_empty() { without_words(of.attachments.len()) } else { text.to_owned() }
}

fn carried_channel(channel: Channel) -> keywords::Channel {
    match channel {
        Channel::Whatsapp => keywords::Channel::Whatsapp,
        Channel::Sms | Channel::Chat | Channel::Voice | Channel::Email | Channel::Linkedin | Channel::Messenger => {
            keywords::Channel::Sms
        }
    }
}

/// Whether a provider says that an account and a number are good.
///
/// # Errors
/// In a sentence for whoever connects it.
pub async fn try_account(
    tools: &Tools,
    provider: Provider,
    credentials: &colloquy_domain::lines::Credentials,
    number: Option<&NewNumber>,
    now_ms: i64,
) -> Result<(), String> {
    use colloquy_telephony::error::Fault;
    use colloquy_telephony::rest::{Repeat, Request};
    use colloquy_telephony::twilio::rest::read_numbers;
    use colloquy_telephony::vapi::rest as vapi;
    let name = provider.name();
    if tools.carriers.base(provider).is_none() {
        return Err("There is no simulated carrier here: set `messages.simulated_url`.".to_owned());
    }
    let refused = |fault: Fault| match provider.as_retell() {
        true => crate::retell::sentence(provider, &fault),
        false => format!("{name} says: {fault}."),
    };
    let call = async |request: Request| tools.carriers.call(provider, &request, now_ms).await.map_err(refused);
    match (provider, number) {
        (Provider::Twilio | Provider::Simulated, None) => {
            let answer = call(super::carrier::twilio(credentials).account()).await?;
            answer.as_answer().done(Repeat::Safe).map_err(refused)
        }
        (Provider::Twilio | Provider::Simulated, Some(number)) => {
            let answer = call(super::carrier::twilio(credentials).numbers(1000)).await?;
            let numbers = read_numbers(&answer.as_answer()).map_err(refused)?;
            let owned = numbers.iter().any(|owned| owned.phone_number == number.number);
            if owned { Ok(()) } else { Err(format!("{name} knows no such number in your account.")) }
        }
        (Provider::Retell | Provider::SimulatedRetell, None) => {
            let answer = call(super::carrier::retell(credentials).list_agents(1)).await?;
            answer.as_answer().done(Repeat::Safe).map_err(refused)
        }
        (Provider::Retell | Provider::SimulatedRetell, Some(number)) => {
            let answer = call(super::carrier::retell(credentials).number(&number.number)).await?;
            match answer.as_answer().done(Repeat::Safe) {
                Err(Fault::NotFound) => Err(format!("{name} knows no such number in your account.")),
                done => done.map_err(refused),
            }
        }
        // Reading the numbers is how the key is tried.
        (Provider::Vapi, number) => {
            let answer = call(vapi::numbers(&credentials.token.clone().into())).await?;
            let numbers = vapi::read_numbers(&answer.as_answer()).map_err(refused)?;
            let owned = number.is_none_or(|wanted| numbers.contains(&wanted.number));
            if owned { Ok(()) } else { Err(format!("{name} knows no such number in your account.")) }
        }
        // Meta's keys are tried with a number: without one there is nothing that both may read.
        (Provider::Whatsapp, None) => Ok(()),
        (Provider::Whatsapp, Some(number)) => {
            let id = number.external_id.as_deref().unwrap_or_default();
            let answer = call(super::carrier::whatsapp(credentials, id).number()).await?;
            answer.as_answer().done(Repeat::Safe).map_err(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_only_when_it_is_the_whole_message() {
        for (text, code) in [
            ("ABCD-2345", Some("ABCD-2345")),
            (" join abcd-2345 ", Some("ABCD-2345")),
            ("JOINABCD-2345", Some("ABCD-2345")),
            ("my code is ABCD-2345", None),
            ("ABCD-234", None),
            ("ABCD-2340", None), // No zero: it would be taken for an O.
            ("555-0100", None),
            ("", None),
        ] {
            assert_eq!(read_code(text).as_deref(), code, "{text:?}");
        }
        assert_eq!(read_code(&code_text("ABCD-2345")).as_deref(), Some("ABCD-2345"));
    }
}
