//! A conversation held with the built-in responder: the real core, the shipped templates, no runtime.

use std::{collections::BTreeMap, fs, path::Path};

use colloquy_domain::{
    Context, Principal, Rejection,
    agent::{
        config::{AgentConfig, BusinessHours},
        make::from_template,
    },
    catalog::{
        load::{Catalog, CatalogFile},
        template::Template,
    },
    conversation::{
        self, Command, Effect, Event, Reply, State,
        command::{Answer, Post, Posted},
        confidential::Confidential,
        dialogue::{self, Setting},
        retrieved::{KnowledgeAnswer, SourceRef},
        state::{Message, Terms, Visitor},
    },
    principal::{Actor, Role},
    vocabulary::{Channel, Vertical},
};
use serde_json::json;

/// Friday, 20 November 2026, 12:00 in New York.
pub(crate) const NOON_MS: i64 = 1_795_194_000_000;
pub(crate) const ZONE: &str = "America/New_York";

pub(crate) fn catalog() -> Catalog {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/catalog");
    let mut files = Vec::new();
    for (folder, prefix) in [(root.clone(), ""), (root.join("verticals"), "verticals/")] {
        for entry in fs::read_dir(folder).expect("the catalog's folder") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                files.push((format!("{prefix}{name}"), fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    let files: Vec<_> = files.iter().map(|(path, text)| CatalogFile { path, text }).collect();
    Catalog::load(&files).expect("the shipped catalog")
}

/// The configuration an owner gets who picks the template and says who is to be alerted.
pub(crate) fn config_of(template: &Template) -> AgentConfig {
    let owner = json!({
        "variables": {"business_name": "Acme"},
        "escalation_email": "boss@acme.example",
        "escalation_phone": "+12175550111",
    });
    let mut config = from_template(template, &owner).expect("a configuration");
    // An organization that says nothing about itself but its name.
    let own = std::mem::replace(&mut config.variables, config.variable_defaults.clone());
    config.variables.extend(own);
    config
}

/// A conversation under way.
pub(crate) struct Talk {
    pub state: State,
    pub events: Vec<Event>,
    pub config: AgentConfig,
    pub catalog: Catalog,
    pub hours: BusinessHours,
    pub now_ms: i64,
    /// Where the visitor writes or speaks.
    pub channel: Channel,
    /// What the knowledge answers, by a word of the question.
    pub knowledge: BTreeMap<String, String>,
    decisions: u64,
}

impl Talk {
    pub(crate) fn with(vertical: Vertical) -> Self {
        let catalog = catalog();
        let config = config_of(catalog.receptionist(vertical).expect("a template"));
        Self {
            state: State::default(),
            events: Vec::new(),
            config,
            catalog,
            hours: BusinessHours::new(),
            now_ms: NOON_MS,
            channel: Channel::Chat,
            knowledge: BTreeMap::new(),
            decisions: 0,
        }
    }

    pub(crate) fn knows(mut self, word: &str, answer: &str) -> Self {
        self.knowledge.insert(word.into(), answer.into());
        self
    }

    pub(crate) fn ask(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        self.decisions += 1;
        let mut seed = [0_u8; 32];
        seed[8..16].copy_from_slice(&self.decisions.to_be_bytes());
        let cx = Context {
            now_ms: self.now_ms,
            seq: self.state.seq,
            seed,
            principal: Principal { tenant: "t".into(), actor },
        };
        let decision = conversation::decide(&self.state, &cx, command)?;
        for event in decision.events {
            let seq = self.state.seq + 1;
            conversation::apply(&mut self.state, &event, seq, self.now_ms);
            self.events.push(event);
        }
        Ok(decision.reply)
    }

    pub(crate) fn visitor() -> Actor {
        Actor::Visitor { id: "v".into(), agent: "a".into() }
    }

    pub(crate) fn person() -> Actor {
        Actor::User { id: "u".into(), role: Role::Rep, name: "Rita".into() }
    }

    pub(crate) fn post(&mut self, text: &str) -> Result<Posted, Rejection> {
        let post = Post {
            conversation_id: "c".into(),
            agent_id: "a".into(),
            client_message_id: Some(format!("m{}", self.events.len())),
            text: text.into(),
            channel: self.channel,
            visitor: Visitor {
                id: "v".into(),
                page_url: Some("https://acme.example/contact".into()),
                ..Visitor::default()
            },
            terms: Terms {
                config_version: 1,
                max_messages: self.config.max_messages_per_convo,
                fallback_message: self.config.fallback_message.clone(),
                reachable: true,
                collect_leads: self.config.collect_leads,
                prefers_form: false,
                alert_email: self.config.escalation_email.clone(),
            },
            agent_live: true,
            continues: false,
            carried: None,
            spoken: None,
        };
        match self.ask(Self::visitor(), Command::Post(Box::new(post)))? {
            Reply::Posted(posted) => Ok(posted),
            other => panic!("{other:?}"),
        }
    }

    /// Answers the open turn the built-in way.
    pub(crate) fn answer(&mut self) -> Option<Message> {
        let (turn, attempt) =
            conversation::pending(&self.state).into_iter().find_map(|(_, attempt, effect)| match effect {
                Effect::AnswerTurn { turn, .. } => Some((turn, attempt)),
                Effect::SendAlert { .. } | Effect::CheckAlert { .. } | Effect::Send { .. } => None,
            })?;
        let Ok(Reply::Brief(brief)) = self.ask(Actor::System, Command::Brief { turn: turn.clone(), attempt }) else {
            panic!("a brief")
        };
        let (config, catalog, hours) = (self.config.clone(), self.catalog.clone(), self.hours.clone());
        let setting = Setting {
            config: &config,
            confidential: &Confidential::of(&config),
            scoring: &catalog.scoring,
            hours: &hours,
            timezone: ZONE,
            now_ms: self.now_ms,
        };
        let understanding = dialogue::understand(&setting, &brief);
        assert_eq!(understanding, dialogue::understand(&setting, &brief), "understanding is deterministic");
        let ahead = understanding.facts.must_not_wait();
        if ahead {
            self.ask(
                Actor::System,
                Command::Understood { turn: turn.clone(), attempt, understanding: Box::new(understanding.clone()) },
            )
            .expect("understood");
        }
        let known = |question: String| {
            let lower = question.to_lowercase();
            let found = self.knowledge.iter().find(|(word, _)| lower.contains(word.as_str()));
            let found = found.map(|(word, text)| KnowledgeAnswer {
                text: text.clone(),
                sources: vec![SourceRef { chunk_id: word.clone(), ..SourceRef::default() }],
                confidence: 0.9,
            });
            (question, found)
        };
        let asked = if understanding.plan.wants_knowledge {
            dialogue::several::questions(&brief.messages()).into_iter().map(known).collect()
        } else {
            Vec::new()
        };
        let (found, missed) = dialogue::several::together(asked, &dialogue::fallback_line(&setting));
        let composed = dialogue::compose(&setting, &brief, &understanding, found.as_ref());
        let answer = Answer {
            turn,
            attempt,
            text: composed.text,
            sources: composed.sources,
            confidence: composed.confidence,
            prompt: composed.prompt,
            fallback: composed.fallback,
            question: composed.question,
            missed,
            whispers_used: brief.whisper_ids.clone(),
            understanding: (!ahead).then(|| Box::new(understanding)),
            ..Answer::default()
        };
        self.ask(Actor::System, Command::Answered(Box::new(answer))).expect("answered");
        self.state.messages.last().cloned()
    }

    /// The visitor says something and gets an answer.
    pub(crate) fn say(&mut self, text: &str) -> String {
        self.now_ms += 10_000;
        self.post(text).expect("posted");
        self.now_ms += 1_000;
        self.answer().map(|message| message.content).unwrap_or_default()
    }

    pub(crate) fn value(&self, field: &str) -> Option<&str> {
        self.state.dialogue.values.get(field).map(String::as_str)
    }

    pub(crate) fn alerts(&self) -> Vec<String> {
        self.state.alerts.values().map(|alert| format!("{:?} {}", alert.channel, alert.body)).collect()
    }
}
