//! An image's bytes, and its stub's size and times, on stable storage.

use std::sync::Arc;

use glusterfs::fops::{Fsync, FsyncArgs, FsyncReply, Setattr, SetattrArgs};
use glusterfs::{
    Credentials, Errno, Fd, Fop, Frame, Iatt, Inode, Loc, Stack, gf_error, gf_warn, set_attr,
};

use crate::brick::moment;
use crate::ops::attributes;
use crate::{Brick, Image};

/// Flushes the device, then saves the stub. Answers what fsync answers.
pub(crate) fn to_disk<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    fd: &Fd<'_>,
    image: &Arc<Image>,
    data_only: bool,
) -> Result<FsyncReply<'static>, Errno> {
    image.flush(&brick.server).map_err(|errno| {
        let errno = Errno::new(errno);
        gf_error!("cannot flush image <gfid:{}>: {errno}", image.gfid());
        errno
    })?;
    if !data_only {
        save_times(brick, &fd.inode(), image);
    }
    // The size lives in the stub: even a data sync must save it.
    let args = FsyncArgs {
        fd: fd.share(),
        datasync: i32::from(data_only),
        xdata: None,
    };
    let mut reply = frame.ask::<Fsync>(args).map_err(|failure| failure.errno)?;
    // Clients keep what is answered here for a second.
    image.wait_until_told();
    brick.dress(image, &mut reply.prebuf);
    brick.dress(image, &mut reply.postbuf);
    Ok(reply)
}

/// Writes the time of the last write to the stub.
pub(crate) fn save_times(brick: &Brick, inode: &Inode<'_>, image: &Arc<Image>) {
    if image.is_orphan() {
        // Nobody will ask for its times by name.
        return;
    }
    let dating = image.dating();
    let Some(written) = image.times().take_unsaved() else {
        return;
    };
    let mut stbuf = Iatt::default();
    stbuf.set_mtime(moment(written));
    // At the time that the client gave the write: the ctime is the same on all bricks.
    let stack = Stack::new(brick.xl.node(), &Credentials::root()).at(moment(written));
    let loc = Loc::by_gfid(inode, *image.gfid().as_bytes());
    let args = SetattrArgs {
        loc,
        stbuf,
        valid: set_attr::MTIME,
        xdata: None,
    };
    let change = image.changing();
    let saved = stack.ask::<Setattr>(args);
    drop(dating);
    match saved {
        Ok(reply) => change.told(attributes::known(reply.postop)),
        // The last name went meanwhile.
        Err(failure) if matches!(failure.errno, Errno::ENOENT | Errno::ESTALE) => {}
        Err(failure) => {
            gf_warn!(
                "cannot save the mtime of image <gfid:{}>: {}",
                image.gfid(),
                failure.errno
            );
            image.times().put_back();
            brick.save_later(inode, image);
        }
    }
}
