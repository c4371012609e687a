//! One life of the child, as the parent sees it: started, listened to, killed.

use std::io::{self, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use olive_examples::ledger::{Found, Ledger};
use olive_examples::random::Random;

use crate::log_end::is_between_segments;
use crate::wire::{COMPACTION, FLUSH, Said};
use crate::{CHILD_FLAG, Phase};

/// A child that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// No kill falls before so many acknowledgements of the life.
const ACKNOWLEDGEMENTS_MIN: u64 = 1_000;
/// How long a kill waits for the phase that it is aimed at.
const AIM_FOR: Duration = Duration::from_secs(2);

const SIGKILL: i32 = 9;

/// A running child. It is killed when this is dropped.
struct Child {
    process: std::process::Child,
    heard: Receiver<io::Result<Said>>,
}

impl Child {
    fn start(db: &Path, seed: u64, life: u64) -> Result<Child> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([CHILD_FLAG, "--seed", &seed.to_string(), "--life", &life.to_string()])
            .arg(db)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the child")?;
        let out = process.stdout.take().context("the child has no pipe")?;
        Ok(Child { process, heard: listen(out) })
    }

    /// What it says next; `None` once it is dead and all was heard.
    fn next(&self) -> Result<Option<Said>> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(said) => Ok(Some(said.context("the child's pipe")?)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("the child hangs: nothing for {PATIENCE:?}"),
        }
    }

    fn living(&mut self) -> Result<Said> {
        match self.next()? {
            Some(said) => Ok(said),
            None => bail!("the child ended by itself: {}", self.process.wait()?),
        }
    }

    fn order(&mut self, numbers: &[u64]) -> Result<()> {
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut to = self.process.stdin.take().context("the child takes no orders")?;
        writeln!(to, "{}", words.join(" ")).context("cannot tell the child to begin")
    }

    /// Kills it, and gives what it had said until then.
    fn kill(mut self) -> Result<Vec<Said>> {
        // On Unix this is SIGKILL.
        self.process.kill().context("cannot kill the child")?;
        let status = self.process.wait()?;
        ensure!(status.signal() == Some(SIGKILL), "the child ended by itself: {status}");
        let mut rest = Vec::new();
        while let Some(said) = self.next()? {
            rest.push(said);
        }
        Ok(rest)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail where it is dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hears the child on a thread of its own, to the end of the pipe.
fn listen(out: ChildStdout) -> Receiver<io::Result<Said>> {
    let (tell, heard) = channel();
    thread::spawn(move || {
        let mut out = BufReader::with_capacity(64 << 10, out);
        loop {
            let said = Said::read(&mut out).transpose();
            let Some(said) = said else { return };
            let is_last = said.is_err();
            if tell.send(said).is_err() || is_last {
                return;
            }
        }
    });
    heard
}

/// The kills so far, by which the next ones aim.
pub(crate) struct Killer<'a> {
    pub(crate) db: &'a Path,
    pub(crate) seed: u64,
    pub(crate) random: Random,
    /// How long the last opens after a kill took, on average.
    pub(crate) open_time: Duration,
}

/// What one life came to.
pub(crate) struct Killed {
    /// What was under way; `None`: the open that the kill was aimed at had ended.
    pub(crate) phase: Option<Phase>,
    /// A flush and a compaction both ran.
    pub(crate) both: bool,
    pub(crate) wrong: Vec<String>,
}

impl Killer<'_> {
    /// Kills a child while it recovers.
    pub(crate) fn kill_recovery(&mut self, life: u64) -> Result<Killed> {
        let mut child = Child::start(self.db, self.seed, life)?;
        ensure!(child.living()? == Said::Opening, "the child does not open first");
        thread::sleep(self.somewhere_in(self.open_time));
        let said = child.kill()?;
        let phase = said.is_empty().then_some(Phase::Recovery);
        Ok(Killed { phase, both: false, wrong: Vec::new() })
    }

    /// Lets a child recover, judges what it found, lets it write, and kills it.
    pub(crate) fn kill_writers(
        &mut self,
        life: u64,
        aim: Phase,
        ledger: &mut Ledger,
    ) -> Result<Killed> {
        let mut child = Child::start(self.db, self.seed, life)?;
        let found = self.found_by(&mut child)?;
        let wrong = ledger.judge(&found);
        child.order(ledger.next())?;
        let mut phases = self.listen_until_due(&mut child, aim, ledger)?;
        if aim != Phase::Rotation {
            thread::sleep(self.somewhere_in(Duration::from_micros(300)));
        }
        for said in child.kill()? {
            phases = take(&said, ledger)?;
        }
        let phase = if is_between_segments(self.db)? { Phase::Rotation } else { named(phases) };
        let both = phases == FLUSH | COMPACTION;
        Ok(Killed { phase: Some(phase), both, wrong })
    }

    fn found_by(&mut self, child: &mut Child) -> Result<Found> {
        ensure!(child.living()? == Said::Opening, "the child does not open first");
        let Said::Opened { micros } = child.living()? else { bail!("the child does not open") };
        self.open_time = (self.open_time * 7 + Duration::from_micros(micros)) / 8;
        let mut found = Found::new();
        loop {
            match child.living()? {
                Said::Entry { key, value } => {
                    ensure!(found.insert(key, value).is_none(), "the child shows a key twice");
                }
                Said::EntriesEnd { count } => {
                    ensure!(count == found.len() as u64, "the child does not show all");
                    return Ok(found);
                }
                other => bail!("the child says {other:?} before it has shown all"),
            }
        }
    }

    /// Takes acknowledgements until there are enough and what the kill is aimed at is
    /// under way, or does not come. Gives what is under way.
    fn listen_until_due(
        &mut self,
        child: &mut Child,
        aim: Phase,
        ledger: &mut Ledger,
    ) -> Result<u8> {
        let enough = ACKNOWLEDGEMENTS_MIN + self.random.below(1_000);
        let mut phases = 0;
        for _ in 0..enough {
            phases = take(&child.living()?, ledger)?;
        }
        let aimed = Instant::now();
        while aimed.elapsed() < AIM_FOR {
            if aim == Phase::Rotation {
                // No acknowledgement comes while the log rotates: do not wait for one.
                while let Ok(said) = child.heard.try_recv() {
                    phases = take(&said?, ledger)?;
                }
                if is_between_segments(self.db)? {
                    break;
                }
            } else if named(phases) == aim {
                break;
            } else {
                phases = take(&child.living()?, ledger)?;
            }
        }
        Ok(phases)
    }

    fn somewhere_in(&mut self, time: Duration) -> Duration {
        Duration::from_nanos(self.random.below(time.as_nanos() as u64 + 1))
    }
}

/// Takes an acknowledgement; gives what was under way then.
fn take(said: &Said, ledger: &mut Ledger) -> Result<u8> {
    let Said::Acknowledged { writer, number, phases } = *said else {
        bail!("the child says {said:?} while it writes");
    };
    ledger.acknowledge(writer, number).map_err(anyhow::Error::msg)?;
    Ok(phases)
}

/// The one phase that a kill is counted under.
fn named(phases: u8) -> Phase {
    match phases {
        phases if phases & FLUSH != 0 => Phase::Flush,
        phases if phases & COMPACTION != 0 => Phase::Compaction,
        _ => Phase::Append,
    }
}
