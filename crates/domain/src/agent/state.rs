//! An agent's state and how events change it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    command::{Event, Totals},
    config::AgentConfig,
    limits::VERSIONS_KEPT,
};
use crate::{
    ids::{AgentId, TenantId},
    vocabulary::AgentStatus,
};

/// A receptionist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Which; empty before it is made.
    pub id: AgentId,
    /// The organization it belongs to.
    pub tenant: TenantId,
    /// Where it stands.
    pub status: AgentStatus,
    /// Why it cannot answer.
    pub status_reason: Option<String>,
    /// Whether it waits for its first index before it answers.
    pub awaits_index: bool,
    /// The index that answers.
    pub index_version: u64,
    /// Saved configurations, the newest last; never empty once it is made.
    pub versions: VecDeque<SavedVersion>,
    /// Its publishable key.
    pub publishable_key: String,
    /// Its counters.
    pub totals: Totals,
    /// When it was made.
    pub created_ms: i64,
    /// When its configuration or status last changed.
    pub updated_ms: i64,
    /// When it was deleted.
    pub deleted_ms: Option<i64>,
}

/// A saved configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedVersion {
    /// Its number, from 1.
    pub version: u32,
    /// When.
    pub saved_ms: i64,
    /// Who; none for a program.
    pub by: Option<String>,
    /// The older version it was taken from.
    pub restored: Option<u32>,
    /// It.
    pub config: AgentConfig,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            id: AgentId::default(),
            tenant: TenantId::default(),
            status: AgentStatus::Draft,
            status_reason: None,
            awaits_index: false,
            index_version: 0,
            versions: VecDeque::new(),
            publishable_key: String::new(),
            totals: Totals::default(),
            created_ms: 0,
            updated_ms: 0,
            deleted_ms: None,
        }
    }
}

impl Agent {
    /// Whether it was made and not deleted.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty() && self.deleted_ms.is_none()
    }

    /// Whether it answers visitors.
    pub fn is_live(&self) -> bool {
        self.exists() && self.status == AgentStatus::Active
    }

    /// The newest configuration with its number; none before it is made.
    pub fn current(&self) -> Option<&SavedVersion> {
        self.versions.back()
    }

    /// A saved configuration that is still kept.
    pub fn version(&self, version: u32) -> Option<&SavedVersion> {
        self.versions.iter().find(|saved| saved.version == version)
    }

    pub(super) fn fold(&mut self, event: &Event, _seq: u64, at_ms: i64) {
        match event {
            Event::Created { agent, tenant, config, status, publishable_key, by, faqs: _, max_pages: _ } => {
                self.id = agent.clone();
                self.tenant = tenant.clone();
                self.status = *status;
                self.awaits_index = config.website_url.is_some();
                self.publishable_key.clone_from(publishable_key);
                self.created_ms = at_ms;
                self.updated_ms = at_ms;
                self.save(1, config, None, by.as_ref(), at_ms);
            }
            Event::Saved { version, config, restored, by } => {
                self.save(*version, config, *restored, by.as_ref(), at_ms);
                self.updated_ms = at_ms;
            }
            Event::StatusSet { status, reason } => {
                self.status = *status;
                self.status_reason.clone_from(reason);
                if matches!(status, AgentStatus::Active | AgentStatus::Error) {
                    // Once it answered, or its owner saw why it cannot, nothing is waited for any more.
                    self.awaits_index = false;
                }
                self.updated_ms = at_ms;
            }
            Event::IndexReady { index_version, settled } => {
                self.index_version = *index_version;
                self.awaits_index = self.awaits_index && !settled;
            }
            Event::IndexFailed { reason } => {
                self.awaits_index = false;
                if self.status == AgentStatus::Training {
                    self.status = AgentStatus::Error;
                    self.status_reason = Some(reason.clone());
                    self.updated_ms = at_ms;
                }
            }
            Event::Counted(more) => self.totals.add(more),
            Event::Deleted => {
                let (id, tenant) = (self.id.clone(), self.tenant.clone());
                *self = Self { id, tenant, deleted_ms: Some(at_ms), ..Self::default() };
            }
        }
    }

    fn save(&mut self, version: u32, config: &AgentConfig, restored: Option<u32>, by: Option<&String>, at_ms: i64) {
        let saved = SavedVersion { version, saved_ms: at_ms, by: by.cloned(), restored, config: config.clone() };
        self.versions.push_back(saved);
        while self.versions.len() > VERSIONS_KEPT {
            self.versions.pop_front();
        }
    }
}
