//! What each command does to the database, and its answer.

use std::ops::Bound;

use olive_client::protocol::{
    Command, ErrorKind, Header, Keys, Number, Operation, Operations, PAGE_BYTES_MAX, Refusal,
    VERSION,
};
use olive_core::{Snapshot, WriteBatch};

use crate::buffer::{Body, NoRoom, OUTPUT_BASE_BYTES, Output};
use crate::connection::{Stop, Writer};
use crate::group::READS_MAX;
use crate::shared::Shared;

/// Values up to this are copied behind earlier answers; longer ones are sent from where
/// the engine has them.
const COPIED_BYTES_MAX: usize = 8 << 10;
/// What a small operation takes in the engine's memory beside its key and value, at most.
const OPERATION_BYTES: usize = 56;

/// Answers up to this are copied together at once; of longer ones all lengths are summed
/// first.
const SUMMED_BYTES: usize = 64 << 10;

/// What a connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Request,
    /// The client has given a token, or there is none to give.
    Authenticated,
    Quit,
}

impl From<olive_core::Error> for Stop {
    fn from(error: olive_core::Error) -> Stop {
        use olive_core::ErrorKind as Engine;
        let kind = match error.kind() {
            Engine::Corruption => ErrorKind::Corruption,
            Engine::Io => ErrorKind::Io,
            Engine::DiskFull => ErrorKind::DiskFull,
            Engine::Stalled => ErrorKind::Stalled,
            Engine::Poisoned => ErrorKind::Poisoned,
            Engine::ReadOnly => ErrorKind::ReadOnly,
            _ => ErrorKind::Internal,
        };
        Stop::Refused(Refusal::going_on(kind, error.to_string()))
    }
}

/// Executes one command, and puts its answer into the output. Where it is an ERROR, the
/// caller sends that.
pub(crate) fn execute(
    shared: &Shared,
    writer: &mut Writer<'_>,
    command: &Command<'_>,
) -> Result<Next, Stop> {
    match *command {
        Command::Get { key } => get(shared, writer, key)?,
        Command::Put { key, value } => {
            shared.db.put_with(key, value, &shared.write_options)?;
            ok(writer)?;
        }
        Command::Delete { key } => {
            shared.db.delete_with(key, &shared.write_options)?;
            ok(writer)?;
        }
        Command::MultiGet(keys) => multi_get(shared, writer, keys)?,
        Command::Batch(operations) => {
            write(shared, operations)?;
            ok(writer)?;
        }
        Command::Scan { start, end, limit, reverse } => {
            scan(shared, writer, start, end, limit, reverse)?;
        }
        Command::Ping => ok(writer)?,
        Command::Stats => send(writer, shared.stats()?.as_bytes())?,
        Command::Hello { version, name } => hello(shared, writer, version, name)?,
        Command::Auth { token } => return auth(shared, writer, token),
        Command::Quit => {
            ok(writer)?;
            return Ok(Next::Quit);
        }
        _ => {
            let text = "this verb is not served";
            return Err(Stop::Refused(Refusal::closing(ErrorKind::Internal, text)));
        }
    }
    Ok(Next::Request)
}

fn ok(writer: &mut Writer<'_>) -> Result<(), Stop> {
    writer.put_short(b"OK\n")
}

fn send(writer: &mut Writer<'_>, body: &[u8]) -> Result<(), Stop> {
    writer.make_room(Header::BYTES_MAX + body.len())?;
    writer.put_short(&Header::ok(body.len()))?;
    Ok(writer.output.push(body)?)
}

/// Answers figures that were asked for several times at once.
pub(crate) fn stats_together(
    shared: &Shared,
    writer: &mut Writer<'_>,
    times: usize,
) -> Result<(), Stop> {
    match shared.stats().map_err(Stop::from) {
        Ok(text) => (0..times).try_for_each(|_| send(writer, text.as_bytes())),
        Err(Stop::Refused(refusal)) => (0..times).try_for_each(|_| writer.refuse(&refusal)),
        Err(lost) => Err(lost),
    }
}

fn too_large(bytes: usize, max: usize) -> Stop {
    let text = format!("the answer has {bytes} bytes or more, over the limit of {max}");
    Stop::Refused(Refusal::going_on(ErrorKind::TooLarge, text))
}

fn get(shared: &Shared, writer: &mut Writer<'_>, key: &[u8]) -> Result<(), Stop> {
    writer.make_room(COPIED_BYTES_MAX + Header::BYTES_MAX)?;
    let output = &mut writer.output;
    let copied_bytes_max = COPIED_BYTES_MAX.min(shared.config.reply_bytes_max);
    let found = shared.db.get_with(key, |value| {
        if value.len() > copied_bytes_max {
            return Ok(false);
        }
        output.push(&Header::ok(value.len()))?;
        output.push(value).map(|()| true)
    })?;
    match found.transpose()? {
        None => writer.put_short(b"NOTFOUND\n"),
        Some(true) => Ok(()),
        Some(false) => get_large(shared, writer, key),
    }
}

/// Answers small reads that came together, as of one moment.
pub(crate) fn get_together(
    shared: &Shared,
    writer: &mut Writer<'_>,
    keys: &[&[u8]],
) -> Result<(), Stop> {
    writer.make_room(COPIED_BYTES_MAX + Header::BYTES_MAX)?;
    let output = &mut writer.output;
    // Nothing is sent while the engine waits: what does not fit into the base ends it, and
    // what is over the limit.
    let mut answered = 0;
    let looked_up = shared.db.multi_get_with(keys, |i, value| {
        let bytes = value.map_or(0, <[u8]>::len);
        let is_short = bytes <= shared.config.reply_bytes_max
            && output.len() + Header::BYTES_MAX + bytes <= OUTPUT_BASE_BYTES;
        if i > answered || !is_short {
            return;
        }
        let pushed = match value {
            Some(value) => output.push(&Header::ok(value.len())).and_then(|()| output.push(value)),
            None => output.push(b"NOTFOUND\n"),
        };
        answered += usize::from(pushed.is_ok());
    });
    // An error belongs to the first key that is not answered, and comes again.
    drop(looked_up);
    for key in &keys[answered..] {
        match get(shared, writer, key) {
            Err(Stop::Refused(refusal)) if !refusal.closes => writer.refuse(&refusal)?,
            done => done?,
        }
    }
    Ok(())
}

/// Sends a value without a copy of our own. It is charged all the same: the engine may
/// have made one.
fn get_large(shared: &Shared, writer: &mut Writer<'_>, key: &[u8]) -> Result<(), Stop> {
    let Some(value) = shared.db.get(key)? else { return writer.put_short(b"NOTFOUND\n") };
    if value.len() > shared.config.reply_bytes_max {
        return Err(too_large(value.len(), shared.config.reply_bytes_max));
    }
    let _charge = shared.budget.take(value.len()).ok_or(NoRoom)?;
    writer.put_short(&Header::ok(value.len()))?;
    Ok(writer.flush_with(&value)?)
}

/// Appends the items of a body by `fill`, and its header when the length is known. What
/// was appended is taken back when that fails.
fn body(
    writer: &mut Writer<'_>,
    fill: impl FnOnce(&mut Writer<'_>, &Body) -> Result<(), Stop>,
) -> Result<(), Stop> {
    writer.make_room(Header::BYTES_MAX)?;
    let body = writer.output.begin()?;
    let filled = fill(writer, &body);
    match filled {
        Ok(()) => {
            let header = Header::ok(writer.output.body_bytes(&body));
            writer.output.finish(&body, &header);
            Ok(())
        }
        Err(stop) => {
            writer.output.abandon(&body);
            Err(stop)
        }
    }
}

fn multi_get(shared: &Shared, writer: &mut Writer<'_>, keys: Keys<'_>) -> Result<(), Stop> {
    let max = shared.config.reply_bytes_max;
    // All as of one moment.
    let snapshot = shared.db.snapshot()?;
    body(writer, |writer, body| {
        let output = &mut writer.output;
        let mut summed = false;
        let mut left = keys;
        loop {
            let (group, count) = next_of(left);
            let group = &group[..count];
            if group.is_empty() {
                return Ok(());
            }
            let mut answered = 0;
            let mut pushed = Ok(());
            snapshot.multi_get_with(group, |i, value| {
                let more = value.map_or(0, <[u8]>::len);
                let is_short = summed || output.body_bytes(body) + more <= SUMMED_BYTES;
                if i == answered && is_short && pushed.is_ok() {
                    pushed = push_item(output, value);
                    answered += 1;
                }
            })?;
            pushed?;
            left.by_ref().take(answered).for_each(drop);
            if answered < count {
                check_sum(&snapshot, left, output.body_bytes(body), max)?;
                summed = true;
            } else if output.body_bytes(body) > max {
                return Err(too_large(output.body_bytes(body), max));
            }
        }
    })
}

/// The next keys to look up together, and how many those are.
fn next_of(mut keys: Keys<'_>) -> ([&[u8]; READS_MAX], usize) {
    let mut group = [&[][..]; READS_MAX];
    let mut count = 0;
    for (slot, key) in group.iter_mut().zip(&mut keys) {
        *slot = key;
        count += 1;
    }
    (group, count)
}

fn push_item(output: &mut Output, value: Option<&[u8]>) -> Result<(), NoRoom> {
    let Some(value) = value else { return output.push(b"-1\n") };
    output.push(&Number(value.len() as u64).digits())?;
    output.push(b"\n")?;
    output.push(value)
}

/// Refuses an answer that would be too large before the rest of it is copied: one key a
/// thousand times is easily asked for.
fn check_sum(snapshot: &Snapshot, keys: Keys<'_>, mut sum: usize, max: usize) -> Result<(), Stop> {
    for key in keys {
        let found = snapshot
            .get_with(key, |value| Number(value.len() as u64).digits().len() + 1 + value.len())?;
        sum += found.unwrap_or(3);
        if sum > max {
            return Err(too_large(sum, max));
        }
    }
    Ok(())
}

fn write(shared: &Shared, operations: Operations<'_>) -> Result<(), Stop> {
    // The engine's batch is a second copy of the request, and each operation has a place in
    // the memtable beside what it says.
    let bytes = operations.bytes().len() + operations.len() * OPERATION_BYTES;
    if bytes > shared.budget.limit() {
        let text = format!(
            "a batch of {} operations takes {bytes} bytes of memory, over the limit of {}",
            operations.len(),
            shared.budget.limit()
        );
        return Err(Stop::Refused(Refusal::going_on(ErrorKind::TooLarge, text)));
    }
    let _charge = shared.budget.take(bytes).ok_or(NoRoom)?;
    let mut batch = WriteBatch::new();
    for operation in operations {
        match operation {
            Operation::Put { key, value } => batch.put(key, value),
            Operation::Delete { key } => batch.delete(key),
        };
    }
    Ok(shared.db.write_with(&batch, &shared.write_options)?)
}

fn scan(
    shared: &Shared,
    writer: &mut Writer<'_>,
    start: &[u8],
    end: &[u8],
    limit: u64,
    reverse: bool,
) -> Result<(), Stop> {
    let end = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
    let mut entries = shared.db.range((Bound::Included(start), end))?;
    body(writer, |writer, body| {
        for _ in 0..limit {
            let next = if reverse { entries.next_back() } else { entries.next() };
            let Some(entry) = next else { break };
            let (key, value) = entry?;
            let sum = writer.output.body_bytes(body);
            let (klen, vlen) =
                (Number(key.len() as u64).digits(), Number(value.len() as u64).digits());
            let more = klen.len() + vlen.len() + 2 + key.len() + value.len();
            if sum > 0 && sum + more > PAGE_BYTES_MAX.min(shared.config.reply_bytes_max) {
                break;
            }
            if more > shared.config.reply_bytes_max {
                return Err(too_large(more, shared.config.reply_bytes_max));
            }
            for part in [&klen, &b" "[..], &vlen, b"\n", &key, &value] {
                writer.output.push(part)?;
            }
        }
        Ok(())
    })
}

fn hello(
    shared: &Shared,
    writer: &mut Writer<'_>,
    version: u64,
    name: Option<&[u8]>,
) -> Result<(), Stop> {
    if version != VERSION {
        let text = format!("version {version} is not spoken here, only {VERSION}");
        return Err(Stop::Refused(Refusal::going_on(ErrorKind::Protocol, text)));
    }
    if let Some(name) = name {
        let name = olive_client::protocol::escape(name, 255);
        log::debug!("{}: calls itself {name}", writer.addr());
    }
    send(writer, shared.hello.as_bytes())
}

fn auth(shared: &Shared, writer: &mut Writer<'_>, token: &[u8]) -> Result<Next, Stop> {
    match &shared.config.tokens {
        Some(tokens) if !tokens.has(token) => {
            Err(Stop::Refused(Refusal::closing(ErrorKind::Auth, "the token is wrong")))
        }
        _ => {
            ok(writer)?;
            Ok(Next::Authenticated)
        }
    }
}
