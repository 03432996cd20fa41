use gfapi::FileKind;

use super::session::Session;
use crate::CliError;
use crate::interrupt::Interrupt;

/// A file that a command is making; removed again unless the command comes to its end.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    session: &'a Session,
    interrupt: Interrupt,
    path: Option<String>,
}

impl<'a> Making<'a> {
    /// Begins; from here on Ctrl-C waits for the next step.
    pub(crate) fn begin(session: &'a Session) -> Result<Making<'a>, CliError> {
        Ok(Making {
            session,
            interrupt: Interrupt::watch()?,
            path: None,
        })
    }

    /// A step has made the file at `path` (or moved it there).
    pub(crate) fn made(&mut self, path: &str) -> Result<(), CliError> {
        self.path = Some(path.to_owned());
        self.interrupt.check()
    }

    /// A step is done.
    pub(crate) fn step(&self) -> Result<(), CliError> {
        self.interrupt.check()
    }

    /// Checks that a copy is one, and not a second name or a link to the source: a client without
    /// bd-client, or a directory that is no image directory, gives those.
    pub(crate) fn must_be_copy(&self, source: &str, copy: &str) -> Result<(), CliError> {
        let (from, to) = (
            self.session.files.stat(source)?,
            self.session.files.stat(copy)?,
        );
        if to.kind == FileKind::Regular && to.inode != from.inode {
            return Ok(());
        }
        Err(CliError::Refused(format!(
            "cannot copy to {}:{copy}: its directory makes no images (user.glusterfs.bd.dir), or \
             links in it are hard links",
            self.session.name
        )))
    }

    /// The file stays.
    pub(crate) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // The error that is on its way to the user is the one that matters.
            drop(self.session.files.unlink(&path));
        }
    }
}
