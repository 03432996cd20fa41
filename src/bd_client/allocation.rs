//! fallocate(2) of a FUSE mount.
//!
//! GlusterFS's mount passes on whether the file shall keep its size, and nothing else: a request to zero a
//! range arrives here as one to allocate it. A range of holes reads as zeros afterwards, so that both
//! wishes are fulfilled by an allocation. Where there is data nobody can know what was meant. Then the
//! answer is that it cannot be done, after which programs write the zeros, or touch each block.

use std::borrow::Cow;
use std::ffi::CStr;

use bd_model::{ImageMark, xattr};
use glusterfs::fops::{
    Fallocate, FallocateArgs, Fgetxattr, FgetxattrArgs, Fstat, FstatArgs, Seek, SeekArgs,
};
use glusterfs::{Call, Dict, Errno, Frame};

/// [`xattr::IMAGE`].
const MARK: &CStr = c"user.glusterfs.bd";
/// `GF_SEEK_DATA`.
const DATA: u32 = 0;

/// Lets an allocation of an image pass if the range holds no data, and refuses it otherwise.
pub(crate) fn fallocate(call: Call<'static, Fallocate>) {
    let Call { frame, args } = call;
    let asked = FgetxattrArgs {
        fd: args.fd.share(),
        name: Some(Cow::Borrowed(MARK)),
        xdata: None,
    };
    frame.wind::<Fgetxattr>(asked, move |frame, answer| match answer {
        Ok(reply) if is_image(reply.dict.as_ref()) => if_written(frame, args),
        Ok(_) => frame.pass(args),
        Err(failure) if matches!(failure.errno, Errno::ENODATA | Errno::EOPNOTSUPP) => {
            frame.pass(args);
        }
        Err(failure) => frame.fail(failure.errno),
    });
}

fn is_image(told: Option<&Dict<'_>>) -> bool {
    let mark = told.and_then(|told| told.get(xattr::IMAGE));
    mark.is_some_and(|mark| !matches!(ImageMark::read(&mark), Ok(ImageMark::Pending { .. })))
}

/// Looks for data after all that was written before has reached the brick: see
/// [`crate::BdClient`]'s seek.
fn if_written(frame: Frame<Fallocate>, args: FallocateArgs<'static>) {
    let asked = FstatArgs {
        fd: args.fd.share(),
        xdata: None,
    };
    frame.wind::<Fstat>(asked, move |frame, answer| {
        let size = match answer {
            Ok(reply) => reply.buf.size(),
            Err(failure) => return frame.fail(failure.errno),
        };
        if u64::try_from(args.offset).is_ok_and(|offset| offset >= size) {
            return frame.pass(args);
        }
        let asked = SeekArgs {
            fd: args.fd.share(),
            offset: args.offset,
            what: DATA,
            xdata: None,
        };
        frame.wind::<Seek>(asked, move |frame, answer| match answer {
            Ok(reply) if is_behind(reply.offset, &args) => frame.pass(args),
            Ok(_) => frame.fail(Errno::EOPNOTSUPP),
            Err(failure) if failure.errno == Errno::ENXIO => frame.pass(args),
            Err(failure) => frame.fail(failure.errno),
        });
    });
}

/// Whether data at `found` is behind the range.
fn is_behind(found: i64, args: &FallocateArgs<'_>) -> bool {
    i64::try_from(args.len)
        .ok()
        .and_then(|len| args.offset.checked_add(len))
        .is_some_and(|end| found >= end)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_c_form_is_the_rust_form() {
        assert_eq!(super::MARK.to_str(), Ok(bd_model::xattr::IMAGE));
    }
}
