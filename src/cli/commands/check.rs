use std::io::Write;
use std::path::{Path, PathBuf};

use bd_proto::{Reply, Request};
use clap::Args;

use crate::server::{absolute, ask, out_of_turn};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The brick directory
    dir: PathBuf,
}

impl Check {
    pub(super) fn run(self, socket: &Path) -> Result<Exit, CliError> {
        let dir = absolute(&self.dir)?;
        let findings = match ask(socket, &Request::Check { dir: dir.clone() })? {
            Reply::Findings(findings) => findings,
            other => return Err(out_of_turn(&other)),
        };
        let mut out = std::io::stdout().lock();
        for finding in &findings {
            writeln!(out, "{}", finding.message)?;
        }
        match findings.len() {
            0 => writeln!(out, "{}: clean", dir.display())?,
            1 => writeln!(out, "{}: 1 finding", dir.display())?,
            n => writeln!(out, "{}: {n} findings", dir.display())?,
        }
        Ok(match findings.is_empty() {
            true => Exit::Done,
            false => Exit::Failed,
        })
    }
}
