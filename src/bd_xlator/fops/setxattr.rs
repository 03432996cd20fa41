use std::sync::Arc;

use glusterfs::fops::{Fsetxattr, FsetxattrReply, Setxattr, SetxattrReply};
use glusterfs::{Call, Errno};

use crate::Brick;
use crate::names::SIGNATURE;
use crate::ops::image_request::{ImageRequest, grant, may, request_of, rest_of};
use crate::ops::xattr_change::{is_question, pass_dressed, share};

/// Sets attributes; those of gluster-bd do what they mean.
pub(crate) fn setxattr(brick: &Arc<Brick>, call: Call<'_, Setxattr>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let request = match request_of(brick, &call.frame, &call.args.dict) {
        Ok(request) => request,
        Err(errno) => return call.fail(errno),
    };
    if is_question(call.args.xdata.as_ref()) {
        return match may(brick, &call.frame, &inode, &request) {
            Ok(()) => call.unwind(SetxattrReply { xdata: None }),
            Err(errno) => call.fail(errno),
        };
    }
    if matches!(request, ImageRequest::Keep) {
        return pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
    }
    let name = brick.lv_name_at(&call.args.loc);
    let mut call = call.detach();
    brick.on_control(move |brick| {
        let flags = call.args.flags;
        match grant(brick, &call.frame, &inode, name, request, flags) {
            Ok(()) => {}
            Err(errno) => return call.fail(errno),
        }
        call.args.dict = rest_of(&call.args.dict);
        if call.args.dict.is_empty() {
            return call.unwind(SetxattrReply { xdata: None });
        }
        pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
        brick.state_of(&inode).set_policy(None);
    });
}

/// As [`setxattr`]; rebalance maps files by it. Images are not signed ([`SIGNATURE`]).
pub(crate) fn fsetxattr(brick: &Arc<Brick>, call: Call<'_, Fsetxattr>) {
    let inode = call.args.fd.inode().share();
    if call.args.dict.contains(SIGNATURE)
        && matches!(brick.image_of(&call.frame, &inode), Ok(Some(_)))
    {
        return call.fail(Errno::EOPNOTSUPP);
    }
    let request = match request_of(brick, &call.frame, &call.args.dict) {
        Ok(request) => request,
        Err(errno) => return call.fail(errno),
    };
    match request {
        ImageRequest::Keep => {
            return pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
        }
        // bd-client asks for them by name.
        ImageRequest::PromiseMerge(_)
        | ImageRequest::CallOffMerge
        | ImageRequest::Copy(..)
        | ImageRequest::BeCopy(_) => {
            return call.fail(Errno::EOPNOTSUPP);
        }
        ImageRequest::Map(_) | ImageRequest::Policy => {}
    }
    let mut call = call.detach();
    brick.on_control(move |brick| {
        let flags = call.args.flags;
        match grant(brick, &call.frame, &inode, None, request, flags) {
            Ok(()) => {}
            Err(errno) => return call.fail(errno),
        }
        call.args.dict = rest_of(&call.args.dict);
        if call.args.dict.is_empty() {
            return call.unwind(FsetxattrReply { xdata: None });
        }
        pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
        brick.state_of(&inode).set_policy(None);
    });
}
