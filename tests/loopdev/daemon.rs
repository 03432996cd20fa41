//! Servers that run beside a test.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::Rig;
use crate::sweep;
use crate::wait::wait_for;

/// A server in the foreground, with its log. It is ended with the rig.
#[derive(Clone, Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Rc<RefCell<Child>>,
}

impl Rig {
    /// Starts `program`, its output in `<name>.log`, and waits until the log holds `ready`
    /// (empty: does not wait).
    pub fn daemon(
        &mut self,
        name: &str,
        program: &str,
        args: &[&str],
        ready: &str,
    ) -> Result<Daemon> {
        let log = self.dir().join(format!("{name}.log"));
        let from = fs::metadata(&log).map_or(0, |meta| meta.len());
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let daemon = Daemon {
            name: name.to_owned(),
            log,
            child: Rc::new(RefCell::new(child)),
        };
        let owned = daemon.clone();
        self.on_teardown(format!("daemon {name}"), move || owned.stop().map(drop));
        if !ready.is_empty() {
            daemon.wait_ready(ready, usize::try_from(from)?)?;
        }
        Ok(daemon)
    }

    /// Kills a process of this machine with SIGKILL and waits until it is gone.
    pub fn kill9(&self, pid: i32) -> Result<()> {
        if pid <= 1 {
            bail!("will not kill process {pid}");
        }
        kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| format!("cannot kill {pid}"))?;
        wait_for(&format!("the end of process {pid}"), || Ok(!alive(pid)))
    }
}

/// Ends a process of this machine with SIGTERM and waits until it is gone; no error where it is.
pub fn end(pid: i32) -> Result<()> {
    sweep::end_process(pid, Signal::SIGTERM)
}

/// True while the process runs: a zombie does not.
pub fn alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state follows the name, which is in brackets and may itself hold brackets.
    !matches!(
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.trim_start().chars().next()),
        Some('Z' | 'X')
    )
}

impl Daemon {
    /// The process.
    pub fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.borrow().id())?)
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has written so far.
    pub fn said(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// True while it runs.
    pub fn running(&self) -> Result<bool> {
        Ok(self.child.borrow_mut().try_wait()?.is_none())
    }

    fn wait_ready(&self, line: &str, from: usize) -> Result<()> {
        wait_for(&format!("`{line}` in the log of {}", self.name), || {
            let said = self.said();
            let new = said.get(from..).unwrap_or_default();
            if new.contains(line) {
                return Ok(true);
            }
            if !self.running()? {
                bail!("{} ended before it was ready: {new}", self.name);
            }
            Ok(false)
        })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()?), signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Ends it with SIGTERM and gives its exit code, 128 + n after signal n. No error where it
    /// has ended before.
    pub fn stop(&self) -> Result<i32> {
        self.end(Signal::SIGTERM)
    }

    /// Ends it with SIGKILL.
    pub fn kill9(&self) -> Result<()> {
        self.end(Signal::SIGKILL).map(drop)
    }

    fn end(&self, signal: Signal) -> Result<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        if self.running()? {
            self.signal(signal)?;
            let waited = wait_for(
                &format!("the end of {}", self.name),
                || Ok(!self.running()?),
            );
            if let Err(error) = waited {
                self.signal(Signal::SIGKILL)?;
                self.child.borrow_mut().wait()?;
                return Err(error);
            }
        }
        let status = self.child.borrow_mut().wait()?;
        Ok(status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
    }
}
