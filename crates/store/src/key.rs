//! The name of an entity, as everything below the business sees it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// `(tenant, kind, id)`: the address of one entity. Cloning copies three pointers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityKey {
    /// The tenant that owns the entity.
    pub tenant: Arc<str>,
    /// The kind of entity, such as `conversation`.
    pub kind: Arc<str>,
    /// The entity's own id, unique within `(tenant, kind)`.
    pub id: Arc<str>,
}

impl EntityKey {
    /// Builds a key from its three parts.
    pub fn new(tenant: impl Into<Arc<str>>, kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { tenant: tenant.into(), kind: kind.into(), id: id.into() }
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind, self.id)
    }
}
