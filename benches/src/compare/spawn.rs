//! A child process for each measurement.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use olive_benches::spec::{Job, Outcome};

/// Runs a job in a process of its own, which is killed if it does not end.
pub(crate) fn spawn(job: &Job, interrupted: &AtomicBool) -> Result<Outcome> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--child", &serde_json::to_string(job)?])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pipes = (child.stdout.take().context("a pipe")?, child.stderr.take().context("a pipe")?);
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).map(|_| text)
        })
    };
    let (stdout, stderr) = (reader(Box::new(pipes.0)), reader(Box::new(pipes.1)));
    // Opening, warming, settling and closing have time of their own.
    let limit = Duration::from_secs(job.seconds_max * 3 + 300);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > limit || interrupted.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            bail!("did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = |thread: std::thread::JoinHandle<std::io::Result<String>>| {
        thread.join().ok().and_then(Result::ok).unwrap_or_default()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    ensure!(status.success(), "{status}: {}", stderr.trim());
    serde_json::from_str(stdout.lines().last().unwrap_or(""))
        .with_context(|| format!("the outcome of {} {:?}", job.engine, job.work))
}
