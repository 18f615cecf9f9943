//! One attempt to call somebody as it is named outside: in callback addresses, in metadata, in the call it led to.

use serde::{Deserialize, Serialize};

use super::slice;
use crate::{contact_guard::DialKey, ids::CampaignId};

/// The longest such name: that of the longest id, with three numbers.
const NAME_BYTES_MAX: usize = 200;
/// Parts of a name: campaign, slice, target, attempt.
const PARTS: usize = 4;

/// What the ids of single calls begin with; campaigns' are made without it.
const SINGLE: &str = "call-";

impl CampaignId {
    /// Of a single call that somebody orders.
    pub fn of_single_call(id: &str) -> Self {
        Self(format!("{SINGLE}{id}"))
    }

    /// Whether it names a single call and no campaign.
    pub fn is_single_call(&self) -> bool {
        self.as_str().starts_with(SINGLE)
    }
}

/// One attempt to call somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialled {
    /// Of which campaign, or `call-…` for a single call.
    pub campaign: CampaignId,
    /// Which slice of it.
    pub slice: u32,
    /// Which target in it.
    pub target: u32,
    /// Which attempt.
    pub attempt: u32,
}

impl Dialled {
    /// What such a name says: campaign, slice, target, attempt.
    pub fn read(name: &str) -> Option<Self> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut parts = name.rsplitn(PARTS, '.');
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let (attempt, target, slice) = (number()?, number()?, number()?);
        let campaign = parts.next().filter(|campaign| !campaign.is_empty())?;
        Some(Self { campaign: campaign.into(), slice, target, attempt })
    }

    /// As it stands in addresses and metadata.
    pub fn name(&self) -> String {
        format!("{}.{}.{}.{}", self.campaign, self.slice, self.target, self.attempt)
    }

    /// The id of the slice that made it.
    pub fn slice_id(&self) -> String {
        slice::id(&self.campaign, self.slice)
    }
}

/// The same name, from how the guard knows a dial.
pub fn name_of(dial: &DialKey) -> String {
    format!("{}.{}.{}", dial.campaign, dial.target, dial.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_is_read_back_from_its_name_and_nothing_else_is() {
        let dial = DialKey { campaign: "0c.1-x".into(), target: "3.17".into(), attempt: 2 };
        let read = Dialled::read(&name_of(&dial)).expect("its own name");
        assert_eq!((read.campaign.as_str(), read.slice, read.target, read.attempt), ("0c.1-x", 3, 17, 2));
        assert_eq!(read.name(), name_of(&dial));
        for bad in ["", "c", "c.1.2", ".1.2.3", "c.1.2.x", "c.-1.2.3", "c.1.2.99999999999", &"x".repeat(400)] {
            assert_eq!(Dialled::read(bad), None, "{bad}");
        }
    }
}
