//! What clones and snapshots have in common.

use crate::context::Context;
use crate::image::{Destination, ImagePath, Making, Session};
use crate::{CliError, Exit};

/// Makes an image from another one by `make`, which gets the paths of both, and prints it, led by
/// what `said` makes of the two.
pub(super) fn run(
    context: &Context,
    image: &ImagePath,
    new: &Destination,
    make: impl FnOnce(&Session, &str, &str) -> Result<(), CliError>,
    said: impl FnOnce(&str, &str) -> String,
) -> Result<Exit, CliError> {
    let (session, source) = Session::at(context, image)?;
    let new = session.destination(&source, new)?;
    session.report(&source)?;
    session.must_be_free(&new)?;
    let mut making = Making::begin(&session)?;
    make(&session, &source, &new)?;
    making.made(&new)?;
    making.must_be_copy(&source, &new)?;
    let report = session.report(&new)?;
    making.keep();
    context.print(&report, |report| {
        let volume = &report.volume;
        said(&format!("{volume}:{source}"), &format!("{volume}:{new}"))
    })?;
    Ok(Exit::Done)
}
