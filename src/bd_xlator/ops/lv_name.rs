use bd_proto::Request;
use glusterfs::gf_warn;

use crate::{Brick, Image};

/// Lets an LV bear its file's name; `name` is the one that the file has just got in the top image
/// directory, if it has. It may fail: the name is for people only.
pub(crate) fn rename_lv(brick: &Brick, image: &Image, name: Option<String>) {
    let gfid = image.gfid();
    let request = Request::Rename {
        brick: brick.server.id(),
        gfid,
        name,
    };
    if let Err(error) = brick.server.tell_in_the_end(request)
        && !error.is_not_found()
    {
        gf_warn!("LV of renamed image <gfid:{gfid}> keeps its old name for now: {error}");
    }
}
