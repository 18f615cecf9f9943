//! Every statement of the adapter in one place, prepared once when the store is opened.

use futures::future::try_join_all;
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::StoreError;

use super::{fault, session::Profiles};

/// How a statement is run.
#[derive(Clone, Copy)]
enum Use {
    /// A plain write.
    Write,
    /// A conditional statement.
    Swap,
    /// A read of something acknowledged.
    Read,
    /// A read that decides: it completes what was agreed on and not yet written.
    Serial,
    /// A read that may be long.
    Scan,
}

/// Rows in one page of a scan: of the largest events a page is then as large as 64 MB, of ordinary ones some tens of kilobytes.
const PAGE_ROWS: i32 = 64;

macro_rules! statements {
    ($($(#[$comment:meta])* $name:ident: $use:ident = $cql:expr;)*) => {
        /// The prepared statements.
        pub(super) struct Statements {
            /// How batches of conditional statements are run.
            pub(super) lwt: ExecutionProfileHandle,
            $($(#[$comment])* pub(super) $name: PreparedStatement,)*
        }

        impl Statements {
            pub(super) async fn prepare(session: &Session, keyspace: &str, profiles: &Profiles) -> Result<Self, StoreError> {
                let all = [$((Use::$use, $cql)),*];
                let prepared = all.map(|(purpose, cql)| one(session, profiles, purpose, cql.replace("$.", &format!("{keyspace}."))));
                let mut prepared = try_join_all(prepared).await?.into_iter();
                let mut next = || prepared.next().ok_or_else(|| StoreError::Incompatible("a statement is missing".to_owned()));
                Ok(Self { lwt: profiles.lwt.clone(), $($name: next()?,)* })
            }
        }
    };
}

async fn one(
    session: &Session,
    profiles: &Profiles,
    purpose: Use,
    cql: String,
) -> Result<PreparedStatement, StoreError> {
    let mut statement = session.prepare(cql.as_str()).await.map_err(|error| fault::of_prepare(&cql, &error))?;
    let profile = match purpose {
        Use::Write => &profiles.write,
        Use::Swap => &profiles.lwt,
        Use::Read | Use::Serial => &profiles.read,
        Use::Scan => &profiles.recovery,
    };
    statement.set_execution_profile_handle(Some(profile.clone()));
    match purpose {
        Use::Serial => statement.set_consistency(Consistency::LocalSerial),
        Use::Scan => statement.set_page_size(PAGE_ROWS),
        Use::Write | Use::Swap | Use::Read => {}
    }
    // What carries its own time stamp or changes nothing may be sent twice. A conditional statement never may.
    statement.set_is_idempotent(!matches!(purpose, Use::Swap));
    Ok(statement)
}

statements! {
    head: Read =
        "SELECT claim, epoch, base, last_seq, size, closed, head_crc FROM $.journal WHERE tenant = ? AND kind = ? AND id = ? AND bucket = ? LIMIT 1";
    head_serial: Serial =
        "SELECT claim, epoch, base, last_seq, size, closed, head_crc FROM $.journal WHERE tenant = ? AND kind = ? AND id = ? AND bucket = ? LIMIT 1";
    /// Changes a bucket's head, or makes it where the three values it must have are null.
    head_swap: Swap =
        "UPDATE $.journal SET claim = ?, epoch = ?, base = ?, last_seq = ?, size = ?, closed = ?, head_crc = ?
         WHERE tenant = ? AND kind = ? AND id = ? AND bucket = ? IF claim = ? AND last_seq = ? AND closed = ?";
    event_insert: Swap =
        "INSERT INTO $.journal (tenant, kind, id, bucket, seq, append_id, event_epoch, event_crc, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    events: Scan =
        "SELECT seq, append_id, event_epoch, event_crc, bytes FROM $.journal
         WHERE tenant = ? AND kind = ? AND id = ? AND bucket = ? AND seq > ? AND seq <= ?";

    snapshot: Read = "SELECT seq, stamp, parts, crc, bytes FROM $.snapshot WHERE tenant = ? AND kind = ? AND id = ?";
    snapshot_place: Read = "SELECT seq, stamp, parts FROM $.snapshot WHERE tenant = ? AND kind = ? AND id = ?";
    snapshot_put: Write = "INSERT INTO $.snapshot (tenant, kind, id, seq, stamp, parts, crc, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    snapshot_delete: Write = "DELETE FROM $.snapshot WHERE tenant = ? AND kind = ? AND id = ?";
    part: Read = "SELECT bytes FROM $.snapshot_part WHERE tenant = ? AND kind = ? AND id = ? AND stamp = ? AND part = ?";
    part_put: Write = "INSERT INTO $.snapshot_part (tenant, kind, id, stamp, part, bytes) VALUES (?, ?, ?, ?, ?, ?)";
    parts_delete: Write = "DELETE FROM $.snapshot_part WHERE tenant = ? AND kind = ? AND id = ? AND stamp = ?";
    parts_delete_all: Write = "DELETE FROM $.snapshot_part WHERE tenant = ? AND kind = ? AND id = ?";

    wake_put: Write = "INSERT INTO $.wake (shard, tenant, kind, id, epoch, due_ms) VALUES (?, ?, ?, ?, ?, ?)";
    wake_remove: Write = "DELETE FROM $.wake WHERE shard = ? AND tenant = ? AND kind = ? AND id = ? AND epoch <= ?";
    wakes: Scan = "SELECT tenant, kind, id, epoch, due_ms FROM $.wake WHERE shard = ?";

    row: Read = "SELECT data FROM $.list_row WHERE tenant = ? AND list = ? AND slot = ? AND id = ?";
    rows_after: Scan = "SELECT id, data FROM $.list_row WHERE tenant = ? AND list = ? AND slot = ? AND id > ? LIMIT ?";
    rows_from: Scan = "SELECT id, data FROM $.list_row WHERE tenant = ? AND list = ? AND slot = ? AND id >= ? LIMIT ?";
    rows_between: Scan = "SELECT id, data FROM $.list_row WHERE tenant = ? AND list = ? AND slot = ? AND id >= ? AND id < ?";
    row_put: Write = "INSERT INTO $.list_row (tenant, list, slot, id, data) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    time_put: Write =
        "INSERT INTO $.list_time (tenant, list, stretch, slot, at_ms, id, data) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    time_delete: Write =
        "DELETE FROM $.list_time USING TIMESTAMP ? WHERE tenant = ? AND list = ? AND stretch = ? AND slot = ? AND at_ms = ? AND id = ?";
    time_ties: Scan =
        "SELECT at_ms, id, data FROM $.list_time WHERE tenant = ? AND list = ? AND stretch = ? AND slot = ? AND at_ms = ? AND id > ? LIMIT ?";
    time_range: Scan =
        "SELECT at_ms, id, data FROM $.list_time WHERE tenant = ? AND list = ? AND stretch = ? AND slot = ? AND at_ms >= ? AND at_ms <= ? LIMIT ?";
    stretch_put: Write = "INSERT INTO $.list_stretch (tenant, list, stretch) VALUES (?, ?, ?)";
    stretches: Scan = "SELECT stretch FROM $.list_stretch WHERE tenant = ? AND list = ? AND stretch >= ? AND stretch <= ?";
    stretches_of_all: Scan = "SELECT list FROM $.list_stretch WHERE tenant = ?";

    found: Swap = "INSERT INTO $.cluster (one, name, shards, schema_no, key_check) VALUES (1, ?, ?, ?, ?) IF NOT EXISTS";
    cluster: Serial = "SELECT name, shards, schema_no, key_check FROM $.cluster WHERE one = 1";

    fact: Serial = "SELECT value FROM $.fact WHERE name = ?";
    facts: Scan = "SELECT name, value FROM $.fact";
    fact_insert: Swap = "INSERT INTO $.fact (name, value) VALUES (?, ?) IF NOT EXISTS";
    fact_swap: Swap = "UPDATE $.fact SET value = ? WHERE name = ? IF value = ?";
    fact_delete: Swap = "DELETE FROM $.fact WHERE name = ? IF value = ?";

    node: Serial = "SELECT id, incarnation, beat, alive, address, boot FROM $.node WHERE id = ?";
    nodes: Read = "SELECT id, incarnation, beat, alive, address, boot FROM $.node";
    node_insert: Swap = "INSERT INTO $.node (id, incarnation, beat, alive, address, boot) VALUES (?, 1, 0, true, ?, ?) IF NOT EXISTS";
    node_boot: Swap =
        "UPDATE $.node SET incarnation = ?, beat = 0, alive = true, address = ?, boot = ? WHERE id = ? IF boot = ? AND alive = ?";
    node_beat: Swap = "UPDATE $.node SET beat = ? WHERE id = ? IF incarnation = ? AND beat = ? AND alive = true";
    node_bury: Swap = "UPDATE $.node SET alive = false WHERE id = ? IF incarnation = ? AND beat = ?";

    shards: Scan = "SELECT shard, owner, epoch, draining, target FROM $.shard";
    shard: Serial = "SELECT shard, owner, epoch, draining, target FROM $.shard WHERE part = ? AND shard = ?";
    shards_of_part: Serial = "SELECT shard, owner, epoch, draining, target FROM $.shard WHERE part = ?";
    shard_swap: Swap =
        "UPDATE $.shard SET owner = ?, epoch = ?, draining = ?, target = ? WHERE part = ? AND shard = ?
         IF owner = ? AND epoch = ? AND draining = ? AND target = ?";

    holder: Read = "SELECT owner, confirmed, reserved_at_ms, reservation FROM $.unique_value WHERE scope = ? AND value = ?";
    holder_serial: Serial = "SELECT owner, confirmed, reserved_at_ms, reservation FROM $.unique_value WHERE scope = ? AND value = ?";
    reserve: Swap =
        "INSERT INTO $.unique_value (scope, value, owner, confirmed, reserved_at_ms, reservation) VALUES (?, ?, ?, false, ?, ?) IF NOT EXISTS";
    confirm: Swap = "UPDATE $.unique_value SET confirmed = true WHERE scope = ? AND value = ? IF reservation = ?";
    release: Swap = "DELETE FROM $.unique_value WHERE scope = ? AND value = ? IF reservation = ?";

    answer: Serial = "SELECT run, body_hash, started_ms, dead_ms, expires_at_ms, answer FROM $.answer WHERE scope = ? AND key = ?";
    answer_begin: Swap =
        "INSERT INTO $.answer (scope, key, run, body_hash, started_ms, dead_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
    answer_again: Swap =
        "UPDATE $.answer SET run = ?, body_hash = ?, started_ms = ?, dead_ms = ?, expires_at_ms = ?, answer = null WHERE scope = ? AND key = ? IF run = ? AND expires_at_ms = ?";
    answer_finish: Swap =
        "UPDATE $.answer SET answer = ?, expires_at_ms = ? WHERE scope = ? AND key = ? IF run = ? AND expires_at_ms = ? AND answer = null";
    answer_release: Swap = "UPDATE $.answer SET dead_ms = ? WHERE scope = ? AND key = ? IF run = ? AND expires_at_ms = ? AND answer = null";
    answer_replace: Swap = "UPDATE $.answer SET answer = ? WHERE scope = ? AND key = ? IF run = ? AND expires_at_ms = ?";
    answer_delete: Swap = "DELETE FROM $.answer WHERE scope = ? AND key = ? IF run = ? AND expires_at_ms = ?";
    run_put: Write = "INSERT INTO $.answer_run (slot, scope, key, run, due_ms) VALUES (?, ?, ?, ?, ?)";
    run_delete: Write = "DELETE FROM $.answer_run WHERE slot = ? AND scope = ? AND key = ? AND run = ?";
    runs: Scan = "SELECT scope, key, run, due_ms FROM $.answer_run WHERE slot = ?";
    runs_between: Scan = "SELECT scope, key FROM $.answer_run WHERE slot = ? AND scope >= ? AND scope < ?";

    data_key: Read = "SELECT wrapped, erased, crc FROM $.entity_key WHERE tenant = ? AND kind = ? AND id = ?";
    data_key_serial: Serial = "SELECT wrapped, erased, crc FROM $.entity_key WHERE tenant = ? AND kind = ? AND id = ?";
    data_key_insert: Swap =
        "INSERT INTO $.entity_key (tenant, kind, id, wrapped, erased, crc) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
    data_key_destroy: Swap =
        "UPDATE $.entity_key SET wrapped = null, erased = true, crc = ? WHERE tenant = ? AND kind = ? AND id = ? IF erased = false";
}
