use std::path::PathBuf;

use bd_proto::{FindingKind, Reply, Request};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::health::{self, Finding};
use crate::server::{absolute, ask, out_of_turn};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The brick directory; without it, this host is checked: its pools, translators and LVM
    dir: Option<PathBuf>,
    /// Mend what can be mended without a loss: settings of pools and images; of a brick, sizes,
    /// names, marks and handles
    #[arg(long)]
    repair: bool,
}

/// What a check found.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// The brick directory; none for the host.
    pub(super) dir: Option<PathBuf>,
    pub(super) findings: Vec<Finding>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let checked = match &self.dir {
            Some(dir) => {
                let dir = absolute(dir)?;
                let request = Request::Check {
                    dir: dir.clone(),
                    repair: self.repair,
                };
                let findings = match ask(&context.socket, &request)? {
                    Reply::Findings(findings) => findings,
                    other => return Err(out_of_turn(&other)),
                };
                let findings = findings.into_iter().map(|finding| Finding {
                    kind: kind(finding.kind),
                    advice: finding.is_advice(),
                    repaired: finding.repaired,
                    message: finding.message,
                });
                Checked {
                    findings: findings.collect(),
                    dir: Some(dir),
                }
            }
            None => Checked {
                dir: None,
                findings: health::host(context, self.repair)?,
            },
        };
        context.print(&checked, describe)?;
        Ok(match checked.wrong() {
            0 => Exit::Done,
            _ => Exit::Failed,
        })
    }
}

impl Checked {
    /// How many findings are wrong still.
    fn wrong(&self) -> usize {
        let wrong = |finding: &&Finding| !finding.advice && !finding.repaired;
        self.findings.iter().filter(wrong).count()
    }
}

fn describe(checked: &Checked) -> String {
    let mut text = String::new();
    for finding in &checked.findings {
        let start = match (finding.repaired, finding.advice) {
            (true, _) => "repaired: ",
            (false, true) => "note: ",
            (false, false) => "",
        };
        text.push_str(&format!("{start}{}\n", finding.message));
    }
    let what = match &checked.dir {
        Some(dir) => dir.display().to_string(),
        None => "this host".to_owned(),
    };
    text.push_str(&match checked.wrong() {
        0 => format!("{what}: clean\n"),
        1 => format!("{what}: 1 finding\n"),
        n => format!("{what}: {n} findings\n"),
    });
    text
}

/// The name that the wire has for it.
fn kind(kind: FindingKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}
