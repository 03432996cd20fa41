use std::sync::Arc;

use glusterfs::fops::{Fsetattr, Fstat, Setattr, Stat};
use glusterfs::{Call, Fop, Iatt, Inode, set_attr};

use crate::Brick;
use crate::Image;
use crate::ops::{attributes, migration};

/// Answers an image's attributes instead of its stub's.
pub(crate) fn stat(brick: &Arc<Brick>, call: Call<'_, Stat>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    match brick.image_of(&call.frame, &inode) {
        Ok(Some(image)) => dressed(brick, call, image, |reply| &mut reply.buf),
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    }
}

/// As [`stat`].
pub(crate) fn fstat(brick: &Arc<Brick>, call: Call<'_, Fstat>) {
    let image = brick.image_of(&call.frame, &call.args.fd.inode());
    match image {
        Ok(Some(image)) => dressed(brick, call, image, |reply| &mut reply.buf),
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    }
}

/// Winds a fop and answers it with the attributes that `iatt` finds in the reply replaced.
fn dressed<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    image: Arc<Image>,
    iatt: impl for<'r, 's> Fn(&'s mut F::Reply<'r>) -> &'s mut Iatt + Send + 'static,
) {
    let brick = Arc::clone(brick);
    call.wind(move |frame, answer| {
        let mut reply = match answer {
            Ok(reply) => reply,
            Err(failure) => return frame.answer(Err(failure)),
        };
        if image.allocated_now().is_some() || !brick.tells_soon() {
            brick.dress(&image, iatt(&mut reply));
            return frame.unwind(reply);
        }
        let mut reply = F::own_reply(reply);
        brick.on_brief(move |brick| {
            brick.ask_allocated(&image);
            brick.dress(&image, iatt(&mut reply));
            frame.unwind(reply);
        });
    });
}

/// Sets attributes of the stub; an mtime that is set counts more than earlier writes.
pub(crate) fn setattr(brick: &Arc<Brick>, call: Call<'_, Setattr>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let valid = call.args.valid;
    set(brick, call, &inode, valid, |reply| {
        (&mut reply.preop, &mut reply.postop)
    });
}

/// As [`setattr`].
pub(crate) fn fsetattr(brick: &Arc<Brick>, call: Call<'_, Fsetattr>) {
    let Some(image) = migration::arriving(brick, &call) else {
        return set_open(brick, call);
    };
    let call = call.detach();
    brick.on_control(move |brick| {
        match migration::arrive(brick, &call.frame, &call.args, &image) {
            Ok(()) => set_open(brick, call),
            Err(errno) => call.fail(errno),
        }
    });
}

fn set_open(brick: &Arc<Brick>, call: Call<'_, Fsetattr>) {
    let (valid, inode) = (call.args.valid, call.args.fd.inode().share());
    set(brick, call, &inode, valid, |reply| {
        (&mut reply.preop, &mut reply.postop)
    });
}

/// Sets attributes, with those before and after where `iatts` finds them in the reply.
fn set<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    inode: &Inode<'_>,
    valid: i32,
    iatts: impl for<'r, 's> Fn(&'s mut F::Reply<'r>) -> (&'s mut Iatt, &'s mut Iatt),
) {
    let image = match brick.image_of(&call.frame, inode) {
        Ok(Some(image)) => image,
        Ok(None) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    let dating = (valid & set_attr::MTIME != 0).then(|| image.dating());
    if dating.is_some() {
        image.times().overrule();
    }
    let change = image.changing();
    let (frame, answer) = call.ask();
    drop(dating);
    frame.answer(answer.map(|mut reply| {
        let (before, after) = iatts(&mut reply);
        change.told(attributes::known(*after));
        brick.dress(&image, before);
        brick.dress(&image, after);
        reply
    }));
}
