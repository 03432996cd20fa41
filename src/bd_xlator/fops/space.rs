use std::sync::Arc;

use bd_proto::{Reply, Request};
use glusterfs::Call;
use glusterfs::fops::Statfs;

use crate::Brick;

/// Answers the space of the pool or VG, for images; the number of files is posix's.
pub(crate) fn statfs(brick: &Arc<Brick>, call: Call<'_, Statfs>) {
    let call = call.detach();
    brick.on_control(move |brick| {
        let space = brick.link.ask(&Request::Space {
            brick: brick.link.id(),
        });
        let (frame, answer) = call.ask();
        frame.answer(answer.map(|mut reply| {
            // Without gluster-bdd the small file system's space is better than none.
            if let Ok(Reply::Space(space)) = space {
                let unit = reply.buf.unit().max(512);
                reply.buf.set_unit(unit);
                reply.buf.set_blocks(space.total.0 / unit);
                reply.buf.set_free(space.free.0 / unit);
                reply.buf.set_available(space.free.0 / unit);
            }
            reply
        }));
    });
}
