//! Qualification frameworks (BANT, MEDDIC, SPIN, Challenger) that an agent's prompt may work with.

use serde::{Deserialize, Serialize};

/// The file `frameworks.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frameworks {
    /// All frameworks, in the order offered.
    pub frameworks: Vec<Framework>,
}

/// One way to qualify a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Its key in an agent's `frameworks`.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// One sentence on what it is for.
    pub summary: String,
    /// What is added to the agent's prompt.
    pub prompt: String,
    /// What a conversation is read for.
    pub dimensions: Vec<Dimension>,
}

/// One thing a framework wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// Its key.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// What to find out.
    pub goal: String,
    /// Questions that sound natural when said aloud.
    pub questions: Vec<String>,
}

impl Frameworks {
    /// The framework with this id.
    pub fn get(&self, id: &str) -> Option<&Framework> {
        self.frameworks.iter().find(|framework| framework.id == id)
    }
}
