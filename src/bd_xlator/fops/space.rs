use std::sync::Arc;

use bd_proto::{Reply, Request};
use glusterfs::fops::Statfs;
use glusterfs::{Call, FileType};

use crate::{Brick, names};

/// Answers the space of the pool or VG for image directories and images, where the number of files is
/// posix's; all else has what the file system of the names has.
pub(crate) fn statfs(brick: &Arc<Brick>, call: Call<'_, Statfs>) {
    if !asks_for_images(brick, &call) {
        return call.pass();
    }
    if !brick.tells_soon() {
        return answer(brick, call);
    }
    let call = call.detach();
    brick.on_brief(move |brick| {
        let request = Request::Space {
            brick: brick.server.id(),
        };
        brick.ask_briefly(request, |brick, answer| {
            if let Reply::Space(space) = answer {
                brick.note_space(space);
            }
        });
        answer(brick, call);
    });
}

fn asks_for_images(brick: &Brick, call: &Call<'_, Statfs>) -> bool {
    let xdata = call.args.xdata.as_ref();
    // Distribution looks for the brick with the most room, whatever directory it asks about.
    if xdata.is_some_and(|xdata| xdata.contains(names::IGNORE_QUOTA)) {
        return true;
    }
    let Some(inode) = call.args.loc.inode() else {
        return false;
    };
    match inode.file_type() {
        FileType::Directory => {
            let policy = brick.policy_of(&call.frame, &inode, inode.gfid());
            // One that cannot be read is that of an image directory.
            !matches!(policy, Ok(None))
        }
        _ => matches!(brick.image_of(&call.frame, &inode), Ok(Some(_))),
    }
}

/// Answers the space that was last told; where none ever was, that of the names' file system, which is
/// better than none.
fn answer(brick: &Brick, call: Call<'_, Statfs>) {
    let (frame, answer) = call.ask();
    frame.answer(answer.map(|mut reply| {
        if let Some(space) = brick.space() {
            let unit = reply.buf.unit().max(512);
            reply.buf.set_unit(unit);
            reply.buf.set_blocks(space.total.0 / unit);
            reply.buf.set_free(space.free.0 / unit);
            reply.buf.set_available(space.free.0 / unit);
        }
        reply
    }));
}
