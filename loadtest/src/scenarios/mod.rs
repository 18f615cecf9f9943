//! The scenarios, in the order in which `all` runs them.

mod calls;
mod campaign;
mod chat_idle;
mod chat_turns;
mod crash;
mod crowd;
mod journal;
mod knowledge;
mod live_chats;
mod live_fanout;
mod moves;
mod screen;
mod start;
mod widget;

use std::fmt;

use crate::error::Result;
use crate::options::Options;
use crate::report::Report;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// The widget's size and first open.
    Widget,
    /// Crawling, indexing, searching.
    Knowledge,
    /// Turns at a fixed rate.
    ChatTurns,
    /// Idle sockets.
    ChatIdle,
    /// Dashboards.
    LiveFanout,
    /// Telephone calls.
    Calls,
    /// A calling campaign.
    Campaign,
    /// A large journal.
    Start,
    /// Several nodes while shards move.
    Move,
    /// Several nodes of which one dies.
    Crash,
    /// The journal in the CQL store beside SQLite.
    Journal,
}

/// Every scenario, quick ones first.
pub(crate) const ALL: [Scenario; 11] = [
    Scenario::Widget,
    Scenario::Knowledge,
    Scenario::ChatTurns,
    Scenario::ChatIdle,
    Scenario::LiveFanout,
    Scenario::Calls,
    Scenario::Campaign,
    Scenario::Start,
    Scenario::Journal,
    Scenario::Move,
    Scenario::Crash,
];

impl Scenario {
    /// Its name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Widget => widget::NAME,
            Self::Knowledge => knowledge::NAME,
            Self::ChatTurns => chat_turns::NAME,
            Self::ChatIdle => chat_idle::NAME,
            Self::LiveFanout => live_fanout::NAME,
            Self::Calls => calls::NAME,
            Self::Campaign => campaign::NAME,
            Self::Start => start::NAME,
            Self::Move => moves::NAME,
            Self::Crash => crash::NAME,
            Self::Journal => journal::NAME,
        }
    }

    /// Measures, adding figures as they are known.
    pub(crate) async fn run(self, options: &Options, report: &mut Report) -> Result<()> {
        match self {
            Self::Widget => widget::run(options, report).await,
            Self::Knowledge => knowledge::run(options, report).await,
            Self::ChatTurns => chat_turns::run(options, report).await,
            Self::ChatIdle => chat_idle::run(options, report).await,
            Self::LiveFanout => live_fanout::run(options, report).await,
            Self::Calls => calls::run(options, report).await,
            Self::Campaign => campaign::run(options, report).await,
            Self::Start => start::run(options, report).await,
            Self::Move => moves::run(options, report).await,
            Self::Crash => crash::run(options, report).await,
            Self::Journal => journal::run(options, report).await,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
