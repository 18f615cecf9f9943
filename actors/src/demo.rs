//! The demonstration on the landing page: an organization with one agent that knows a small built-in text. It is made at the first start, and taught
//! again when a later version of the program has another text.

use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::agent::{self, config::AgentConfig};
use colloquy_domain::calendar::settings::office_hours;
use colloquy_domain::calendar::{self, Organization};
use colloquy_domain::catalog::template::{IntakeForm, SampleFaq};
use colloquy_domain::conversation::dialogue::{CONTACT_FORM, booking, field_of};
use colloquy_domain::demo::{AGENT, TENANT};
use colloquy_domain::ids::{AgentId, CalendarId, SourceId, TenantId, UserId};
use colloquy_domain::knowledge::{self, Blob, NewSource};
use colloquy_domain::principal::{Actor, Principal, Role};
use colloquy_domain::rejection::Rejection;
use colloquy_domain::tenant::plan::Plan;
use colloquy_domain::tenant::{self, DeploymentMode, Person};
use colloquy_domain::vocabulary::{SourceType, Urgency};
use serde_json::json;

use crate::ActorError;
use crate::agent::AgentEntity;
use crate::calendar::CalendarEntity;
use crate::core::ask;
use crate::knowledge::KnowledgeEntity;
use crate::tenant::TenantEntity;

/// What the agent knows.
const ABOUT: &str = include_str!("demo.md");
/// What it is told about itself.
const PROMPT: &str = "You are the receptionist of Colloquy on its own landing page. Answer questions about Colloquy from what you know, in two or three short sentences. You may show with the book_meeting tool how an appointment is booked, and say that it is a demonstration. Nothing that is written to you reaches a person: say so when somebody wants to be contacted.";
/// What people ask before they sign up, with the answers. The landing page shows the first of them to those who do not chat.
pub const ASKED: &[(&str, &str)] = &[
    (
        "What does it answer from?",
        "From the pages of your website, documents that you upload, and questions that you answered yourself. When nothing fits, it says so and notes the question for you.",
    ),
    (
        "Which language model does it use?",
        "Any that speaks the OpenAI chat interface, also one on your own machines. Without one, a built-in responder answers with sentences of your own content.",
    ),
    (
        "Does it work without a website?",
        "Yes. Type a few facts, such as opening hours, services and prices. There is a plugin for WordPress, steps for Webflow, and one line for any other page.",
    ),
    (
        "What happens to what my visitors write?",
        "It is encrypted on your own machines, with a key for each conversation. You can erase a person everywhere at once. The chat sets no cookies.",
    ),
    (
        "What does it cost?",
        "The program nothing: it is open source under the Apache License 2.0. A language model of a provider costs what the provider asks; the console shows it for each answer.",
    ),
    (
        "How long does the set-up take?",
        "About five minutes: choose a trade, give the address of your website, try the receptionist, and copy one line of code into your page.",
    ),
    (
        "Can a person take over?",
        "Yes, at any moment. You see every conversation live in the console, take it over, answer yourself, whisper to the assistant what to say next, and hand the conversation back.",
    ),
    (
        "Who are you?",
        "I am a receptionist made with Colloquy. I was given one short text about it, just as yours would be given your website.",
    ),
    (
        "Can I talk to a person?",
        "Not here: this is a demonstration, and what you write reaches nobody. On your own website a colleague of yours would be called now.",
    ),
];
/// All that is asked of who tries a booking.
const NAME: &str = "name";
/// Messages of one conversation: enough to try it, too few to be anybody's free assistant.
const MESSAGES_MAX: u32 = 30;
/// An address that no mail can ever reach (RFC 2606).
const NOBODY: &str = "demo@colloquy.invalid";

/// Makes what is missing of the demonstration. It may be repeated, also by several nodes at once: whoever comes second finds it done.
pub async fn establish(client: &Client) -> Result<AgentId, ActorError> {
    let (tenant, id) = (TenantId::from(TENANT), AgentId::from(AGENT));
    let owner = Person { user: UserId::from(TENANT), name: "Colloquy".into(), email: NOBODY.into() };
    let create = tenant::Command::Create {
        profile: json!({ "name": "Colloquy", "slug": TENANT }),
        owner: owner.clone(),
        plan: Plan::unlimited(),
        deployment_mode: DeploymentMode::MultiTenant,
    };
    ask::<TenantEntity>(client, &Principal::system(tenant.clone()), TENANT, create).await?;
    let by = Principal { tenant, actor: Actor::User { id: owner.user, role: Role::Owner, name: owner.name } };
    match ask::<AgentEntity>(client, &by, AGENT, agent::Command::View).await {
        // One from before it could show a booking learns it; what else was changed about it stays.
        Ok(agent::Reply::Agent(known)) if !known.config.tools.iter().any(|tool| tool == booking::TOOL) => {
            let AgentConfig { tools, form_fields, intake_forms, system_prompt, quick_prompts, .. } = config();
            let patch = json!({
                "tools": tools, "form_fields": form_fields, "intake_forms": intake_forms,
                "system_prompt": system_prompt, "quick_prompts": quick_prompts,
            });
            ask::<AgentEntity>(client, &by, AGENT, agent::Command::Update { patch, if_version: None }).await?;
        }
        Ok(_) => {}
        Err(ActorError::Rejected(Rejection::NotFound { .. })) => {
            let command = agent::Command::Create {
                agent: id.clone(),
                config: Box::new(config()),
                faqs: ASKED
                    .iter()
                    .map(|(q, a)| SampleFaq { q: (*q).into(), a: (*a).into(), category: String::new() })
                    .collect(),
                draft: false,
                publishable_key: format!("cq_pk_{AGENT}"),
                max_pages: None,
            };
            crate::agent::create(client, &by, &id, command).await?;
        }
        Err(error) => return Err(error),
    }
    let settings = json!({ "name": "Demonstration", "business_hours": office_hours() });
    let organization = Organization { timezone: "UTC".into(), ..Organization::default() };
    let calendar = calendar::Command::Create { id: CalendarId::from(TENANT), settings, organization };
    ask::<CalendarEntity>(client, &by, TENANT, calendar).await?;
    teach(client, &by).await?;
    Ok(id)
}

/// What the agent asks of who books: a name is enough to see how it goes, and nothing is reached with it.
fn contact() -> IntakeForm {
    IntakeForm {
        id: CONTACT_FORM.to_owned(),
        title: "Who comes?".to_owned(),
        intro: String::new(),
        fields: vec![NAME.to_owned()],
        urgency: Urgency::Normal,
        auto_alert: false,
        alert: Vec::new(),
        triggers: Vec::new(),
        confirmation: String::new(),
    }
}

/// Has the agent know the text of this version, and no other.
async fn teach(client: &Client, by: &Principal) -> Result<(), ActorError> {
    let hash = crate::digest(ABOUT.as_bytes());
    // Its name says which text it is, so that a start that finds it has nothing to do.
    let name = format!("About Colloquy ({})", &hash[..8]);
    let knowledge::Reply::Sources { items } =
        ask::<KnowledgeEntity>(client, by, AGENT, knowledge::Command::Sources).await?
    else {
        return Err(ActorError::Failed);
    };
    if !items.iter().any(|source| source.name == name) {
        let path = format!("knowledge/{TENANT}/{AGENT}/uploads/{hash}");
        let owner = EntityKey::new(TENANT, knowledge::KIND, AGENT);
        client.put_blob(&owner, &path, ABOUT.as_bytes()).await?;
        let bytes = ABOUT.len() as u64;
        let content = Blob { path, bytes, hash, media_type: "text/markdown".into(), file_name: String::new() };
        let new = NewSource {
            kind: SourceType::ManualText,
            name: name.clone(),
            url: None,
            content: Some(content),
            auto_sync: false,
            sync_frequency: None,
            limit: None,
            metadata: Default::default(),
        };
        ask::<KnowledgeEntity>(client, by, AGENT, knowledge::Command::AddSource { new }).await?;
    }
    let older: Vec<SourceId> = items.into_iter().filter(|source| source.name != name).map(|source| source.id).collect();
    for source in older {
        ask::<KnowledgeEntity>(client, by, AGENT, knowledge::Command::RemoveSource { source }).await?;
    }
    Ok(())
}

fn config() -> AgentConfig {
    AgentConfig {
        name: "Colloquy".into(),
        system_prompt: PROMPT.into(),
        welcome_message: "Hello! I am a receptionist like the one your visitors would meet, and I know about Colloquy. What would you like to know?".into(),
        fallback_message: "I do not know that. On your website this question would be noted for you, or a colleague of yours would be called.".into(),
        quick_prompts: ["How long does the set-up take?", "Can a person take over?", "Book an appointment"]
            .map(str::to_owned)
            .to_vec(),
        tools: vec![booking::TOOL.to_owned()],
        form_fields: field_of(&AgentConfig::default(), NAME).into_iter().collect(),
        intake_forms: vec![contact()],
        collect_leads: false,
        escalation_enabled: false,
        max_messages_per_convo: MESSAGES_MAX,
        show_branding: false,
        ..AgentConfig::default()
    }
}
