use bd_model::{Gfid, ImageKind, xattr};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::{ImagePath, ImageReport, Session};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Merge {
    /// The snapshot; nobody may have it open
    #[arg(value_name = "VOL:/SNAPSHOT")]
    snapshot: ImagePath,
    /// Merge without asking: what the origin holds now is lost
    #[arg(long)]
    force: bool,
}

/// A merge that was done.
#[derive(Debug, Serialize)]
pub(super) struct Merged {
    /// Where the snapshot was.
    pub(super) snapshot: String,
    /// The image that has its content now.
    pub(super) origin: ImageReport,
}

impl Merge {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, snapshot) = Session::at(context, &self.snapshot)?;
        let kind = session.report(&snapshot)?.known.kind;
        let origin = origin_of(&session, &snapshot)?;
        let origin = session.path_of_gfid(&snapshot, origin)?;
        if !self.force {
            context.confirm(&format!(
                "{0}:{origin} takes the content of {0}:{snapshot}, which is then gone; what \
                 {0}:{origin} holds now is lost",
                session.name
            ))?;
        }
        session
            .files
            .setxattr(&snapshot, xattr::OLD_MERGE, b"1")
            .map_err(|error| why_not(&session, &snapshot, kind, error))?;
        let merged = Merged {
            origin: session.report(&origin)?,
            snapshot,
        };
        context.print(&merged, |merged| {
            let volume = &merged.origin.volume;
            let (snapshot, origin) = (&merged.snapshot, &merged.origin.path);
            format!("merged {volume}:{snapshot} into {volume}:{origin}\n")
        })?;
        Ok(Exit::Done)
    }
}

fn origin_of(session: &Session, snapshot: &str) -> Result<Gfid, CliError> {
    let told = session.attribute(snapshot, xattr::ORIGIN)?.ok_or_else(|| {
        CliError::Refused(format!(
            "{}:{snapshot} is no snapshot, or its origin is gone",
            session.name
        ))
    })?;
    String::from_utf8_lossy(&told).parse().map_err(|error| {
        CliError::Failed(format!(
            "cannot read the origin of {}:{snapshot}: {error}",
            session.name
        ))
    })
}

fn why_not(
    session: &Session,
    snapshot: &str,
    kind: ImageKind,
    error: gfapi::FileError,
) -> CliError {
    let name = format!("{}:{snapshot}", session.name);
    CliError::Refused(match error.errno() {
        libc::EBUSY => {
            format!("{name} is open, or an operation on it or its origin is under way")
        }
        libc::EMLINK => format!("{name} has several names; remove the others first"),
        libc::EOPNOTSUPP if kind == ImageKind::Thick => format!(
            "{name} is a copy-on-write snapshot, which holds only what differs from its origin; \
             clone it, delete the snapshot and its origin, and give the clone the origin's name"
        ),
        _ => return error.into(),
    })
}
