//! What `decide` may know besides state and command: clock, ids and principal come in as values.

use crate::ids::TenantId;
use crate::principal::Principal;
use crate::rejection::Rejection;

/// The surroundings of one decision.
#[derive(Clone, Debug)]
pub struct Context {
    /// Wall clock, Unix milliseconds.
    pub now_ms: i64,
    /// The sequence number of the last applied event; the first new event gets `seq + 1`.
    pub seq: u64,
    /// Fresh randomness for this decision.
    pub seed: [u8; 32],
    /// Who asks.
    pub principal: Principal,
}

impl Context {
    /// A fresh id: sortable by time, 84 bits of this decision's randomness. `n` tells several ids of one decision apart.
    pub fn fresh_id(&self, n: u8) -> String {
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&self.seed[..16]);
        let random = u128::from_be_bytes(bytes).wrapping_add(u128::from(n)) & ((1 << 84) - 1);
        format!("{:011x}{random:021x}", self.now_ms.max(0))
    }

    /// Refuses a principal of another tenant with "not found", so that a foreign id tells nothing.
    pub fn bound_to(&self, tenant: &TenantId, what: &str) -> Result<(), Rejection> {
        if &self.principal.tenant == tenant { Ok(()) } else { Err(Rejection::not_found(what)) }
    }
}
