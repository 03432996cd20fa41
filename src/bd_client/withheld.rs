//! Attributes that replicas keep to themselves.
//!
//! With `cluster.consistent-metadata` AFR answers some fops with attributes of which it says itself that
//! they are none: no name, and changed in 1970. The kernel takes them for what they say, and refuses to link
//! a file without a name (ENOENT) until it asks anew. So they are asked for before the answer goes on.

use glusterfs::fops::{
    Create, Fsetattr, Ftruncate, Link, Mkdir, Mknod, Setattr, Stat, StatArgs, Truncate,
};
use glusterfs::{Call, Fop, Iatt, Inode, Loc};

/// A fop that answers a file's attributes.
pub(crate) trait Tells: Fop {
    /// The file.
    fn file(args: &Self::Args<'_>) -> Option<Inode<'static>>;
    /// Its attributes after the fop.
    fn told<'a>(reply: &'a mut Self::Reply<'_>) -> &'a mut Iatt;
}

macro_rules! tells {
    ($($Fop:ident: $args:ident by $file:expr, $field:ident;)*) => {$(
        impl Tells for $Fop {
            fn file($args: &Self::Args<'_>) -> Option<Inode<'static>> {
                $file
            }

            fn told<'a>(reply: &'a mut Self::Reply<'_>) -> &'a mut Iatt {
                &mut reply.$field
            }
        }
    )*};
}

tells! {
    Create: args by args.loc.inode().map(|inode| inode.share()), buf;
    Mknod: args by args.loc.inode().map(|inode| inode.share()), buf;
    Mkdir: args by args.loc.inode().map(|inode| inode.share()), buf;
    Link: args by args.oldloc.inode().map(|inode| inode.share()), buf;
    Setattr: args by args.loc.inode().map(|inode| inode.share()), postop;
    Truncate: args by args.loc.inode().map(|inode| inode.share()), postbuf;
    Fsetattr: args by Some(args.fd.inode().share()), postop;
    Ftruncate: args by Some(args.fd.inode().share()), postbuf;
}

/// Lets a fop pass, and answers the file's attributes where AFR has withheld them.
pub(crate) fn pass<F: Tells>(call: Call<'_, F>) {
    let Some(file) = F::file(&call.args) else {
        return call.pass();
    };
    call.wind(move |frame, answer| {
        let mut reply = match answer {
            Ok(reply) => reply,
            Err(failure) => return frame.answer(Err(failure)),
        };
        let told = F::told(&mut reply);
        if !is_withheld(told) {
            return frame.unwind(reply);
        }
        let loc = Loc::by_gfid(&file, told.gfid());
        let mut reply = F::own_reply(reply);
        frame.wind::<Stat>(StatArgs { loc, xdata: None }, move |frame, answer| {
            // Done is done, whatever is known of it now.
            if let Ok(now) = answer {
                *F::told(&mut reply) = now.buf;
            }
            frame.unwind(reply);
        });
    });
}

/// Whether GlusterFS says that these are no attributes.
fn is_withheld(iatt: &Iatt) -> bool {
    iatt.nlink() == 0 && iatt.ctime().sec == 0
}
