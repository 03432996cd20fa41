use std::path::PathBuf;

use bd_proto::{FindingKind, Reply, Request};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::health;
use crate::server::{absolute, ask, out_of_turn};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The brick directory; without it, this host is checked: its pools, translators and LVM
    dir: Option<PathBuf>,
}

/// What a check found.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// The brick directory; none for the host.
    pub(super) dir: Option<PathBuf>,
    pub(super) findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// For programs.
    pub(super) kind: String,
    /// For people: the object, what is wrong with it and, where one is known, the cure.
    pub(super) message: String,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let checked = match &self.dir {
            Some(dir) => {
                let dir = absolute(dir)?;
                let request = Request::Check { dir: dir.clone() };
                let findings = match ask(&context.socket, &request)? {
                    Reply::Findings(findings) => findings,
                    other => return Err(out_of_turn(&other)),
                };
                let findings = findings.into_iter().map(|finding| Finding {
                    kind: kind(finding.kind),
                    message: finding.message,
                });
                Checked {
                    findings: findings.collect(),
                    dir: Some(dir),
                }
            }
            None => Checked {
                dir: None,
                findings: health::host()?
                    .into_iter()
                    .map(|(kind, message)| Finding {
                        kind: kind.to_owned(),
                        message,
                    })
                    .collect(),
            },
        };
        context.print(&checked, describe)?;
        Ok(match checked.findings.is_empty() {
            true => Exit::Done,
            false => Exit::Failed,
        })
    }
}

fn describe(checked: &Checked) -> String {
    let mut text: String = checked
        .findings
        .iter()
        .map(|finding| format!("{}\n", finding.message))
        .collect();
    let what = match &checked.dir {
        Some(dir) => dir.display().to_string(),
        None => "this host".to_owned(),
    };
    text.push_str(&match checked.findings.len() {
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
