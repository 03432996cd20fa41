//! The making of an image: its LV, its mark, and the end of it.

use std::time::Instant;

use bd_model::{Bytes, Gfid, ImageKind};
use bd_proto::Request;
use glusterfs::{Dict, Errno, Loc, gf_warn};

use crate::{Brick, stub};

/// Makes the LV of a new image, and puts the image's mark into the request for its stub.
pub(crate) fn make_lv(
    brick: &Brick,
    gfid: Gfid,
    kind: ImageKind,
    name: Option<String>,
    xdata: &mut Option<Dict<'static>>,
) -> Result<(), Errno> {
    put_mark(xdata, kind)?;
    let request = Request::Create {
        brick: brick.server.id(),
        gfid,
        name,
        kind,
        size: Bytes(0),
        import: false,
    };
    brick
        .server
        .make(gfid, &request)
        .map_err(|error| brick.told("make", gfid, &error))?;
    Ok(())
}

/// Puts an image's mark into the request for its stub.
pub(crate) fn put_mark(xdata: &mut Option<Dict<'static>>, kind: ImageKind) -> Result<(), Errno> {
    let marked = xdata
        .take()
        .map_or_else(Dict::new, |xdata| xdata.duplicate());
    stub::put_mark(&marked, kind)?;
    *xdata = Some(marked);
    Ok(())
}

/// Tells gluster-bdd whether the namespace holds a new image.
pub(crate) fn settle(brick: &Brick, gfid: Gfid, is_there: bool) {
    let id = brick.server.id();
    let request = if is_there {
        Request::Commit { brick: id, gfid }
    } else {
        Request::Abort { brick: id, gfid }
    };
    if let Err(error) = brick.server.tell_in_the_end(request) {
        // The intent stays, and the stub, or its absence, decides when the brick starts again.
        gf_warn!("making of image <gfid:{gfid}> is not settled yet: {error}");
    }
}

/// Remembers a stub that waits for its LV, so that it can be removed if nobody asks for one.
pub(crate) fn remember_pending(brick: &Brick, gfid: Gfid, loc: &Loc<'_>) {
    let Some(name) = loc.name().and_then(|name| name.to_str().ok()) else {
        return;
    };
    let parent = Gfid::from_bytes(loc.parent_gfid());
    brick.unfinished_copies().note(gfid);
    brick
        .unfinished_copies()
        .remember(gfid, parent, name, Instant::now());
}
