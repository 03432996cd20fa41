use std::path::{Path, PathBuf};

use bd_proto::{FindingKind, Reply, Request};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::health::{self, Finding};
use crate::image::Place;
use crate::replicas;
use crate::server::{absolute, ask, out_of_turn};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// A brick directory of this host, or a volume: all its bricks, on all hosts, are compared through
    /// Gluster. Without either, this host is checked: its pools, translators and LVM
    #[arg(value_name = "DIR|VOL")]
    what: Option<PathBuf>,
    /// Mend what can be mended without a loss: settings of pools and images; of a brick, sizes,
    /// names, marks and handles
    #[arg(long)]
    repair: bool,
}

/// What a check found.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// The brick directory; none for the host or a volume.
    pub(super) dir: Option<PathBuf>,
    /// The volume.
    pub(super) volume: Option<String>,
    pub(super) findings: Vec<Finding>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let volume = self.what.as_deref().and_then(volume_of);
        let checked = match (volume, &self.what) {
            (Some(volume), _) => {
                if self.repair {
                    return Err(CliError::Usage(
                        "a volume is repaired by heal; --repair is for a host or a brick directory",
                    ));
                }
                Checked {
                    dir: None,
                    findings: replicas::check(context, &volume)?,
                    volume: Some(volume),
                }
            }
            (None, Some(dir)) => {
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
                    volume: None,
                }
            }
            (None, None) => Checked {
                dir: None,
                volume: None,
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

/// The volume that is meant, unless it is a directory.
fn volume_of(what: &Path) -> Option<String> {
    let text = what.to_str().filter(|text| !text.contains('/'))?;
    let is_volume = !what.is_dir() && text.parse::<Place>().is_ok();
    is_volume.then(|| text.to_owned())
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
    let what = match (&checked.dir, &checked.volume) {
        (Some(dir), _) => dir.display().to_string(),
        (None, Some(volume)) => format!("volume {volume}"),
        (None, None) => "this host".to_owned(),
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
