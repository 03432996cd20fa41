use bd_model::{Bytes, ImageKind, xattr};
use clap::Args;

use super::copy;
use crate::context::Context;
use crate::image::{Destination, ImagePath, Session, parse_size};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// The image to take a snapshot of
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// The snapshot: a name in the same directory, a path, or VOL:/PATH
    new: Destination,
    /// Space for what changes, for a snapshot of a thick image: when more than that is written
    /// to either of the two, the snapshot is lost. Without it a snapshot gets what it can need at
    /// most. Snapshots of thin images take space as they need it, and no size
    #[arg(value_parser = parse_size)]
    size: Option<Bytes>,
}

impl Snapshot {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        copy::run(
            context,
            &self.image,
            &self.new,
            |session, source, new| match self.size {
                None => Ok(session.files.symlink(source, new)?),
                Some(size) => with_space(session, source, new, size),
            },
            |source, new| format!("snapshot of {source} is {new}\n"),
        )
    }
}

fn with_space(session: &Session, source: &str, new: &str, size: Bytes) -> Result<(), CliError> {
    if session.report(source)?.known.kind == ImageKind::Thin {
        return Err(CliError::Refused(format!(
            "{}:{source} is thin: its snapshots take space as they need it; leave the size away",
            session.name
        )));
    }
    let value = format!("{} {new}", size.0);
    session
        .files
        .setxattr(source, xattr::SNAPSHOT_AS, value.as_bytes())?;
    Ok(())
}
