//! What is known of the letters to one address, and how events change it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    EMERGENCIES_PER_HOUR, Event, HOUR_MS, PASSED_MAX, PER_HOUR, QUIET_MS, TOLD_MAX, WAITING_MAX, conversation,
    held_news,
};
use crate::bulletin::{Kind, News};
use crate::ids::{ConversationId, TenantId, UserId};

/// The letters to one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Letters {
    /// The organization; empty before there is anything to tell.
    pub tenant: TenantId,
    /// The member who has it.
    pub user: Option<UserId>,
    /// The newest notice that was heard.
    pub heard: u64,
    /// What waits to be told, oldest first.
    pub waiting: VecDeque<Item>,
    /// How much more waits.
    pub more: u32,
    /// When letters went out in the last hour, Unix milliseconds.
    pub sent: VecDeque<i64>,
    /// The same of emergencies.
    pub emergencies: VecDeque<i64>,
    /// Alerts that were asked about lately, oldest first.
    pub passed: VecDeque<Pass>,
    /// Conversations to which somebody was called lately, oldest first.
    pub told: VecDeque<Told>,
    /// The letter being written.
    pub open: Option<Open>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What.
    pub news: News,
    /// When it was told in the console, Unix milliseconds.
    pub at_ms: i64,
    /// The notice's number; none for an alert that was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// An alert that was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Its id.
    pub id: String,
    /// Whether it is held for the next letter.
    pub held: bool,
}

/// That somebody was called to a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which.
    pub about: ConversationId,
    /// Whether somebody was in danger.
    pub urgent: bool,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// A letter being written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// Which: its place in the journal.
    pub letter: u64,
    /// Whether it is of emergencies only.
    pub urgent: bool,
    /// Counts from 1.
    pub attempt: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// Whether the next attempt waits for the deadline.
    pub waits: bool,
    /// When it is begun again, Unix milliseconds.
    pub deadline_ms: i64,
    /// What it tells, oldest first.
    pub items: Vec<Item>,
    /// How much more there was.
    pub more: u32,
}

impl Letters {
    /// Whether one more may go out now.
    pub(super) fn has_room(&self, urgent: bool, now_ms: i64) -> bool {
        self.room_at_ms(urgent).is_none_or(|at| at <= now_ms)
    }

    /// From when on one more may go out; none if now.
    fn room_at_ms(&self, urgent: bool) -> Option<i64> {
        let (gone, most) = if urgent { (&self.emergencies, EMERGENCIES_PER_HOUR) } else { (&self.sent, PER_HOUR) };
        let oldest = gone.len().checked_sub(most)?;
        gone.get(oldest).map(|at| at + HOUR_MS)
    }

    /// When the next letter about all that waits is due.
    pub(super) fn ordinary_due_ms(&self) -> Option<i64> {
        let quiet = self.waiting.iter().map(|item| item.at_ms + QUIET_MS).min()?;
        Some(self.room_at_ms(false).map_or(quiet, |room| room.max(quiet)))
    }

    /// When the next letter about emergencies is due.
    pub(super) fn urgent_due_ms(&self) -> Option<i64> {
        let first = self.waiting.iter().filter(|item| item.is_urgent()).map(|item| item.at_ms).min()?;
        Some(self.room_at_ms(true).map_or(first, |room| room.max(first)))
    }

    /// Whether this address was called to the same conversation within the hour. That it is an emergency now is news.
    pub(super) fn was_told(&self, news: &News, now_ms: i64) -> bool {
        let Some(id) = conversation(&news.about).filter(|_| super::calls_somebody(news.kind)) else { return false };
        let urgent = news.kind == Kind::Emergency;
        self.told.iter().any(|told| told.about == *id && (told.urgent || !urgent) && now_ms - told.at_ms < HOUR_MS)
    }

    fn tell(&mut self, about: &ConversationId, urgent: bool, at_ms: i64) {
        self.told.push_back(Told { about: about.clone(), urgent, at_ms });
        if self.told.len() > TOLD_MAX {
            self.told.pop_front();
        }
    }

    fn put(&mut self, item: Item) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(item);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn went(&mut self, urgent: bool, at_ms: i64) {
        let (gone, most) =
            if urgent { (&mut self.emergencies, EMERGENCIES_PER_HOUR) } else { (&mut self.sent, PER_HOUR) };
        gone.push_back(at_ms);
        while gone.len() > most {
            gone.pop_front();
        }
    }

    pub(super) fn fold(&mut self, event: &Event, seq: u64, at_ms: i64) {
        match event {
            Event::Addressed { tenant, user } => {
                (self.tenant, self.user) = (tenant.clone(), user.clone());
            }
            Event::Noticed { item } => {
                self.heard = item.seq.unwrap_or(self.heard);
                if let Some(about) = conversation(&item.news.about).filter(|_| super::calls_somebody(item.news.kind)) {
                    self.tell(about, item.is_urgent(), at_ms);
                }
                self.put(item.clone());
            }
            Event::Heard { seq } => self.heard = *seq,
            Event::Admitted { id, about, urgent, held } => {
                self.tell(about, *urgent, at_ms);
                self.passed.push_back(Pass { id: id.clone(), held: *held });
                if self.passed.len() > PASSED_MAX {
                    self.passed.pop_front();
                }
                // A notice about the same that waits needs no letter of its own.
                self.waiting.retain(|item| !item.calls_about(about));
                if *held {
                    self.put(Item { news: held_news(about, *urgent), at_ms, seq: None });
                } else {
                    self.went(*urgent, at_ms);
                }
            }
            Event::Begun { urgent, deadline_ms } => {
                let all = std::mem::take(&mut self.waiting);
                let (now, later): (Vec<Item>, Vec<Item>) =
                    all.into_iter().partition(|item| !urgent || item.is_urgent());
                self.waiting = later.into();
                let more = if *urgent { 0 } else { std::mem::take(&mut self.more) };
                self.open = Some(Open {
                    letter: seq,
                    urgent: *urgent,
                    attempt: 1,
                    failures: 0,
                    waits: false,
                    deadline_ms: *deadline_ms,
                    items: now,
                    more,
                });
            }
            Event::Paused { until_ms } => {
                if let Some(open) = &mut self.open {
                    open.waits = true;
                    open.failures += 1;
                    open.deadline_ms = *until_ms;
                }
            }
            Event::Retried { deadline_ms } => {
                if let Some(open) = &mut self.open {
                    open.waits = false;
                    open.attempt += 1;
                    open.deadline_ms = *deadline_ms;
                }
            }
            Event::Ended { delivered } => {
                if let Some(open) = self.open.take().filter(|_| *delivered) {
                    self.went(open.urgent, at_ms);
                }
            }
        }
    }
}

impl Item {
    fn is_urgent(&self) -> bool {
        self.news.kind == Kind::Emergency
    }

    fn calls_about(&self, id: &ConversationId) -> bool {
        super::calls_somebody(self.news.kind) && conversation(&self.news.about) == Some(id)
    }
}
