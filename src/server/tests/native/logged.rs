//! A server whose log can be read while it runs.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bd_proto::Client;
use rustix::process::{Pid, Signal, kill_process};

use super::support::Bed;

/// A running server; killed if the test does not stop it.
pub(crate) struct Logged {
    child: Child,
    log: PathBuf,
    socket: PathBuf,
}

impl Logged {
    /// Starts the server of a bed with some more arguments.
    pub(crate) fn start(bed: &Bed, args: &[&str]) -> Logged {
        let mut command: Command = bed.command("sock", "state");
        let log = bed.path("log");
        command.args(args).stderr(File::create(&log).unwrap());
        let server = Logged {
            child: command.spawn().unwrap(),
            log,
            socket: bed.path("sock"),
        };
        server.wait("gluster-bdd: ready");
        server
    }

    /// Waits until the log holds `text`; gives the rest of that line.
    pub(crate) fn wait(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(&self.log).unwrap();
            if let Some((_, rest)) = said.split_once(text) {
                return rest.lines().next().unwrap_or_default().to_owned();
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no {text:?}: {said}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket, "test").unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("cannot end gluster-bdd: {error}");
        }
    }
}
