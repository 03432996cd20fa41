use std::sync::Arc;

use bd_proto::{Reply, Request};
use glusterfs::Call;
use glusterfs::fops::Statfs;

use crate::Brick;

/// Answers the space of the pool or VG, for images; the number of files is posix's.
pub(crate) fn statfs(brick: &Arc<Brick>, call: Call<'_, Statfs>) {
    if !brick.tells_soon() {
        return answer(brick, call);
    }
    let call = call.detach();
    brick.on_brief(move |brick| {
        let request = Request::Space {
            brick: brick.link.id(),
        };
        brick.ask_briefly(request, |brick, answer| {
            if let Reply::Space(space) = answer {
                brick.note_space(space);
            }
        });
        answer(brick, call);
    });
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
