//! Messages over carriers: what comes in becomes a turn of the conversation it belongs to, what is said leaves through the provider's interface.
//!
//! Reading order: [`carrier`] (requests over HTTP), `send` (the effect of a conversation; `parcel` cuts a message into what leaves at once, [`files`] has what is attached; `look` finds what may have left), `staff` (to the organization's own people), [`inbound`] (from webhooks), [`trial`] (one message by hand).

pub mod carrier;
pub mod files;
pub mod inbound;
mod look;
mod parcel;
pub(crate) mod send;
pub(crate) mod staff;
pub mod trial;

use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::Provider;

pub use carrier::{CarrierSettings, Carriers};

/// The name of an organization's account at a provider, in webhook addresses.
pub fn connection_id(provider: Provider, tenant: &TenantId) -> String {
    format!("{}-{tenant}", provider.word())
}

/// What such a name says.
pub fn read_connection_id(id: &str) -> Option<(Provider, TenantId)> {
    let (provider, tenant) = id.split_once('-')?;
    let well_formed = !tenant.is_empty() && tenant.len() <= 128;
    Some((Provider::of(provider)?, TenantId::from(tenant))).filter(|_| well_formed)
}
