use std::sync::Arc;

use glusterfs::fops::{Flush, Fsync};
use glusterfs::{Call, Errno, gf_error};

use crate::Brick;
use crate::ops::flush;

/// Brings an image's bytes, and its stub's size and times, to stable storage.
pub(crate) fn fsync(brick: &Arc<Brick>, call: Call<'_, Fsync>) {
    let image = brick.image_of(&call.frame, &call.args.fd.inode());
    let image = match image {
        Ok(Some(image)) => image,
        Ok(None) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    let Call { frame, args } = call.detach();
    if image.begin_asking() {
        let image = Arc::clone(&image);
        brick.on_control(move |brick| image.end_asking(&brick.server));
    }
    let held = Arc::clone(&image);
    brick.on_data(&held, move |brick| {
        match flush::to_disk(brick, &frame, &args.fd, &image, args.datasync != 0) {
            Ok(reply) => frame.unwind(reply),
            Err(errno) => frame.fail(errno),
        }
    });
}

/// Flushes what was written, as a descriptor is closed.
pub(crate) fn flush(brick: &Arc<Brick>, call: Call<'_, Flush>) {
    let image = brick.image_of(&call.frame, &call.args.fd.inode());
    let image = match image {
        Ok(Some(image)) => image,
        Ok(None) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    let call = call.detach();
    let held = Arc::clone(&image);
    brick.on_data(&held, move |brick| {
        if let Err(errno) = image.flush(&brick.server) {
            let errno = Errno::new(errno);
            gf_error!("cannot flush image <gfid:{}>: {errno}", image.gfid());
            return call.fail(errno);
        }
        flush::save_times(brick, &call.args.fd.inode(), &image);
        call.pass();
    });
}
