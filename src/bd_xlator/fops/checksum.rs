use std::sync::Arc;

use glusterfs::fops::{Rchecksum, RchecksumArgs, RchecksumReply};
use glusterfs::{Call, Dict, Errno, gf_error};
use sha2::{Digest, Sha256};

use crate::Brick;
use crate::Image;
use crate::ops::dispatch;

/// Tells heal that the strong sum is SHA-256.
const STRONG_IS_SHA256: &str = "fips-mode-rchecksum";

/// Sums a block of an image, as posix sums one of a file: heal compares the two.
pub(crate) fn rchecksum(brick: &Arc<Brick>, call: Call<'_, Rchecksum>) {
    let fd = call.args.fd.share();
    dispatch::or_image(brick, call, &fd.inode(), rchecksum, |call, image| {
        let Call { frame, args } = call.detach();
        let held = Arc::clone(&image);
        brick.on_data(&held, move |brick| match sum(brick, &args, &image) {
            Ok(reply) => frame.unwind(reply),
            Err(errno) => frame.fail(errno),
        });
    });
}

fn sum(
    brick: &Brick,
    args: &RchecksumArgs<'_>,
    image: &Image,
) -> Result<RchecksumReply<'static>, Errno> {
    let offset = u64::try_from(args.offset).map_err(|_| Errno::EINVAL)?;
    let len = u64::try_from(args.len).map_err(|_| Errno::EINVAL)?;
    let bytes = image.read(&brick.server, offset, len).map_err(|failure| {
        gf_error!(
            "cannot sum image <gfid:{}> at {offset}: {failure}",
            image.gfid()
        );
        Errno::new(failure.errno())
    })?;
    let xdata = Dict::new();
    xdata.set_i32(STRONG_IS_SHA256, 1)?;
    let mut weak = adler2::Adler32::from_checksum(0);
    weak.write_slice(&bytes);
    Ok(RchecksumReply {
        weak: weak.checksum(),
        strong: Sha256::digest(&bytes).into(),
        xdata: Some(xdata),
    })
}
