//! Folds what happened into a campaign. Cannot fail.

use super::{
    super::limits::{ABANDONMENT_DAYS, IMPORTS_KEPT, SLICE_TARGETS},
    Campaign, Event, Progress, Status,
};

const DAY_MS: i64 = 24 * 3_600_000;

/// Folds one event.
pub fn apply(state: &mut Campaign, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Created { id, tenant, by, account, settings } => {
            (state.id, state.tenant, state.created_by) = (id.clone(), tenant.clone(), by.clone());
            (state.account, state.settings, state.settings_version) = (account.clone(), (**settings).clone(), 1);
            (state.created_ms, state.updated_ms, state.orders_version) = (at_ms, at_ms, 1);
        }
        Event::Updated { account, settings, version, .. } => {
            (state.account, state.settings, state.settings_version) = (account.clone(), (**settings).clone(), *version);
            state.orders_version += 1;
            state.updated_ms = at_ms;
        }
        Event::Moved { status, paused_by, .. } => {
            state.status = *status;
            state.paused_by = *paused_by;
            state.orders_version += 1;
            state.updated_ms = at_ms;
            match status {
                Status::Running => state.started_ms = state.started_ms.or(Some(at_ms)),
                Status::Stopped | Status::Completed | Status::Deleted => state.ended_ms = Some(at_ms),
                Status::Draft | Status::Scheduled | Status::Paused | Status::Stopping | Status::Deleting => {}
            }
        }
        Event::Shared => state.orders_version += 1,
        Event::Forgotten => state.forgotten = true,
        Event::Importing { import } => {
            state.imports = import.n;
            state.import = Some((**import).clone());
        }
        Event::Imported { n, slices, result } => {
            state.import = None;
            state.orders_version += u64::from(state.settings.budget.is_some());
            for (index, targets) in slices {
                let Some(at) = index.parse::<usize>().ok().filter(|at| *at < usize::from(u16::MAX)) else { continue };
                if state.slices.len() <= at {
                    state.slices.resize(at + 1, Progress::default());
                }
                // Nothing is known to be done of them until the slice says so.
                let full = u32::try_from(SLICE_TARGETS).unwrap_or(u32::MAX);
                let slice = &mut state.slices[at];
                slice.targets = slice.targets.max(i64::from((*targets).min(full)));
            }
            state.imported.push_back((*n, (**result).clone()));
            if state.imported.len() > IMPORTS_KEPT {
                state.imported.pop_front();
            }
        }
        Event::Progressed { slice, progress } => {
            let at = usize::try_from(*slice).unwrap_or(usize::MAX).min(usize::from(u16::MAX));
            if state.slices.len() <= at {
                state.slices.resize(at + 1, Progress::default());
            }
            let known = std::mem::replace(&mut state.slices[at], *progress);
            // Targets of an import that is not told as done yet are known to the slice first, and the other way round.
            state.slices[at].targets = progress.targets.max(known.targets);
            let more = |now: i64, before: i64| u64::try_from(now - before).unwrap_or(0);
            let (connected, abandoned) =
                (more(progress.connected, known.connected), more(progress.abandoned, known.abandoned));
            let day = at_ms.div_euclid(DAY_MS);
            match state.days.back_mut() {
                Some((last, calls, lost)) if *last == day => (*calls, *lost) = (*calls + connected, *lost + abandoned),
                Some(_) | None => state.days.push_back((day, connected, abandoned)),
            }
            state.days.retain(|(known, ..)| *known > day - ABANDONMENT_DAYS);
        }
    }
    state.seq = seq;
}
