//! What effects use: providers, the catalog, node-local copies. Built once by the binary, shared by all entities.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use colloquy_connectors::{Mailer, SmsSender};
use colloquy_domain::catalog::load::Catalog;
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::inbox::Marks;
use colloquy_domain::lines::Lines;
use colloquy_models::{ChatModel, Responder};
use tokio::sync::Semaphore;

use crate::TenantCopy;
use crate::agent::AgentFacts;
use crate::conversation::Streams;
use crate::copies::Copies;
use crate::knowledge::Library;
use crate::messages::Carriers;
use crate::questions::Vectors;
use crate::search::Words;
use crate::voice::Voices;

/// Addresses that texts link to.
#[derive(Clone, Debug)]
pub struct Links {
    /// The console.
    pub console: String,
    /// The API.
    pub api: String,
}

impl Links {
    /// Where a conversation can be taken over.
    pub fn conversation(&self, id: &str) -> String {
        format!("{}/app/conversations/{id}", self.console)
    }

    /// A path of the console as an address.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.console)
    }
}

/// What effects use.
pub struct Tools {
    /// Templates, prices, scoring.
    pub catalog: Arc<Catalog>,
    /// Where links lead.
    pub links: Links,
    /// The language model; none while there is no key: then the built-in responder answers.
    pub model: Option<Arc<dyn ChatModel>>,
    /// Model calls at the same time.
    pub model_calls: Semaphore,
    /// Answers from retrieved text alone.
    pub responder: Responder,
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Sends text messages.
    pub sms: Arc<dyn SmsSender>,
    /// Crawler, embedder and the indices this node serves.
    pub knowledge: Library,
    /// The way to providers of messages.
    pub carriers: Carriers,
    /// Who speaks and who listens in calls whose sound is ours.
    pub voices: Voices,
    /// Names numbers and addresses where they are only counted or guarded; derived from the installation's secret.
    pub contact_key: [u8; 32],
    /// Recognises whom an erasure is about; derived from the installation's secret.
    pub erasure_key: [u8; 32],
    /// Opens calendar files to programs without a login; derived from the installation's secret.
    pub(crate) calendar_key: [u8; 32],
    /// Opens files of messages to carriers and to who got them; derived from the installation's secret.
    pub(crate) file_key: [u8; 32],
    /// Names the words of conversations where they stand at rest; derived from the installation's secret.
    pub(crate) words: Words,
    /// Answers in the making on this node.
    pub(crate) streams: Streams,
    pub(crate) tenants: Copies<TenantCopy>,
    /// The sessions of accounts that go on, by their refresh-token families.
    pub(crate) sessions: Copies<BTreeSet<String>>,
    /// What people have read.
    pub(crate) marks: Copies<Marks>,
    pub(crate) agents: Copies<AgentFacts>,
    /// Numbers and accounts.
    pub(crate) lines: Copies<Lines>,
    /// Vectors of visitors' questions, to bring those together that mean the same.
    pub(crate) vectors: Vectors,
    pub(crate) homes: Mutex<HashMap<AgentId, TenantId>>,
    /// Settings up at Retell that go on here, and what its calls were found to be.
    pub(crate) retell: crate::retell::Doing,
}

impl Tools {
    /// Puts the parts together; keys are derived from the installation's `secret`.
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the binary, with parts that have nothing else in common"
    )]
    pub fn new(
        catalog: Arc<Catalog>,
        links: Links,
        model: Option<Arc<dyn ChatModel>>,
        model_calls_max: usize,
        mailer: Arc<dyn Mailer>,
        sms: Arc<dyn SmsSender>,
        carriers: Carriers,
        voices: Voices,
        knowledge: Library,
        secret: &[u8; 32],
    ) -> Self {
        Self {
            catalog,
            links,
            model,
            model_calls: Semaphore::new(model_calls_max),
            responder: Responder::default(),
            mailer,
            sms,
            carriers,
            voices,
            contact_key: blake3::derive_key("colloquy contacts v1", secret),
            knowledge,
            erasure_key: blake3::derive_key("colloquy erasures v1", secret),
            calendar_key: blake3::derive_key("colloquy calendar files v1", secret),
            file_key: blake3::derive_key("colloquy message files v1", secret),
            words: Words::new(blake3::derive_key("colloquy search words v1", secret)),
            streams: Streams::default(),
            tenants: Copies::default(),
            sessions: Copies::default(),
            marks: Copies::default(),
            agents: Copies::default(),
            lines: Copies::default(),
            vectors: Vectors::default(),
            homes: Mutex::default(),
            retell: crate::retell::Doing::default(),
        }
    }

    /// What answers here, in one sentence.
    pub fn describe_model(&self) -> String {
        self.model.as_ref().map_or_else(|| self.responder.describe().to_owned(), |model| model.describe())
    }
}
