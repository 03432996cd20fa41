use std::sync::Arc;

use glusterfs::fops::Open;
use glusterfs::{Call, Fd};

use crate::Brick;
use crate::Image;
use crate::brick::OpenImage;
use crate::ops::{last_close, resize};

/// Opens the stub through posix and the image's device through gluster-bdd.
pub(crate) fn open(brick: &Arc<Brick>, call: Call<'_, Open>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    match brick.image_of(&call.frame, &inode) {
        Ok(Some(image)) => {
            let call = call.detach();
            brick.on_control(move |brick| {
                last_close::held(brick, &inode, &image, || open_image(brick, call, &image));
            });
        }
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    }
}

fn open_image(brick: &Arc<Brick>, mut call: Call<'static, Open>, image: &Arc<Image>) {
    if let Err(error) = image.device(&brick.server) {
        return call.fail(brick.told("open", image.gfid(), &error));
    }
    let truncates = call.args.flags & libc::O_TRUNC != 0;
    // Posix would cut the stub and leave the LV.
    call.args.flags &= !libc::O_TRUNC;
    let (fd, loc) = (call.args.fd.share(), call.args.loc.duplicate());
    let (frame, answer) = call.ask();
    let reply = match answer {
        Ok(reply) => reply,
        Err(failure) => return frame.answer(Err(failure)),
    };
    if truncates && let Err(errno) = resize::to(brick, &frame, &loc, image, 0) {
        return frame.fail(errno);
    }
    brick.bind_fd(&fd, image);
    frame.unwind(reply);
}

/// A descriptor is gone: after the last one the LV is trimmed, or removed if its name is gone.
pub(crate) fn release(brick: &Arc<Brick>, fd: &Fd<'_>, open: Option<Arc<OpenImage>>) {
    let Some(open) = open else { return };
    let image = Arc::clone(&open.image);
    if image.released() {
        let inode = fd.inode().share();
        brick.on_control(move |brick| last_close::closed(brick, &inode, &image));
    }
}
