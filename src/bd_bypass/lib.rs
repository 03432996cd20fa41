//! The translator `performance/bd-bypass`, directly above io-threads in a brick's graph: reads,
//! writes and fsyncs of images go past io-threads.
//!
//! io-threads hands each fop to a thread that may wait for a disk. Those on an image wait on
//! threads of `storage/bd` or in its ring, whoever brings them, so that handing them on only costs
//! (a quarter of the brick's processor time for small reads). All other fops, and all on plain
//! files, go through io-threads as ever.
//!
//! What a file is, is learned from the answers to lookups, as `storage/bd` asks for the stub's
//! mark with each. A file of which nothing is known goes through io-threads: that is slower, and
//! never wrong. So is it if a file is taken for an image that is none any more: `storage/bd` looks
//! itself, and does what it would have done on a thread of io-threads.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bd_model::{ImageMark, xattr};
use glusterfs::fops::{Fsync, Lookup, LookupReply, Readv, Writev};
use glusterfs::{Call, Dict, FileType, Fop, InitError, Inode, Node, Translator, Xlator, gf_info};

/// The type of the translator below.
const IO_THREADS: &str = "performance/io-threads";

/// The option that turns it off.
const OPTION: &str = "bypass";

/// The translator `performance/bd-bypass`.
#[derive(Debug)]
pub struct Bypass {
    xl: Xlator<Bypass>,
    /// What io-threads stands on.
    beyond: Node,
    /// Its option `bypass`.
    is_on: AtomicBool,
}

/// What is known of a file.
#[derive(Debug, Default)]
pub struct Known {
    is_image: AtomicBool,
}

impl Translator for Bypass {
    type InodeCtx = Known;
    type FdCtx = ();

    fn init(xl: Xlator<Bypass>) -> Result<Arc<Bypass>, InitError> {
        let below = xl.first_child().filter(|node| node.kind() == IO_THREADS);
        let beyond = below.and_then(|threads| threads.first_child());
        let beyond = beyond.ok_or_else(|| {
            InitError(format!(
                "performance/bd-bypass does not stand on {IO_THREADS}; check the volfile"
            ))
        })?;
        let is_on = AtomicBool::new(wanted(xl.option(OPTION).as_deref())?);
        Ok(Arc::new(Bypass { xl, beyond, is_on }))
    }

    fn reconfigure(self: &Arc<Self>, options: &Dict<'_>) -> Result<(), InitError> {
        let is_on = wanted(options.get_str(OPTION).as_deref())?;
        if self.is_on.swap(is_on, Ordering::Relaxed) != is_on {
            let way = if is_on { "past" } else { "through" };
            gf_info!("reads and writes of images go {way} io-threads from now on");
        }
        Ok(())
    }

    fn lookup(self: &Arc<Self>, call: Call<'_, Lookup>) {
        let bypass = Arc::clone(self);
        call.wind(move |frame, answer| {
            if let Ok(reply) = &answer {
                bypass.learn(reply);
            }
            frame.answer(answer);
        });
    }

    fn readv(self: &Arc<Self>, call: Call<'_, Readv>) {
        let is_image = self.is_image(&call.args.fd.inode());
        self.send(call, is_image);
    }

    fn writev(self: &Arc<Self>, call: Call<'_, Writev>) {
        let is_image = self.is_image(&call.args.fd.inode());
        self.send(call, is_image);
    }

    fn fsync(self: &Arc<Self>, call: Call<'_, Fsync>) {
        let is_image = self.is_image(&call.args.fd.inode());
        self.send(call, is_image);
    }
}

impl Bypass {
    fn is_image(&self, inode: &Inode<'_>) -> bool {
        if !self.is_on.load(Ordering::Relaxed) {
            return false;
        }
        let known = inode.ctx(self.xl);
        known.is_some_and(|known| known.is_image.load(Ordering::Relaxed))
    }

    /// Sends a fop on, past io-threads if it is on an image.
    fn send<F: Fop>(&self, call: Call<'_, F>, is_image: bool) {
        // Those of heal and rebalance (their process ids are negative) have their place in
        // io-threads, behind those of clients.
        if is_image && call.frame.pid() >= 0 {
            call.pass_to(self.beyond);
        } else {
            call.pass();
        }
    }

    fn learn(&self, reply: &LookupReply<'_>) {
        if reply.buf.file_type() != FileType::Regular {
            return;
        }
        let Some(asked) = &reply.inode else { return };
        let mark = reply.xdata.as_ref().and_then(|x| x.get_str(xattr::IMAGE));
        let mark = mark.and_then(|text| text.parse().ok());
        let is_image = matches!(mark, Some(ImageMark::Image { .. }));
        // An inode that is not linked yet may not be the one that stays.
        let linked = asked.find(reply.buf.gfid());
        let inode = linked.as_ref().unwrap_or(asked);
        match inode.ctx(self.xl) {
            Some(known) => known.is_image.store(is_image, Ordering::Relaxed),
            None if is_image => {
                let known = inode.ctx_or_insert(self.xl, Known::default());
                known.is_image.store(true, Ordering::Relaxed);
            }
            None => {}
        }
    }
}

/// What the option says; on if it says nothing.
fn wanted(word: Option<&str>) -> Result<bool, InitError> {
    match word {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(word) => Err(InitError(format!(
            "bypass is {word:?}; set it to on or off"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_unless_told_otherwise() {
        assert!(wanted(None).unwrap() && wanted(Some("on")).unwrap());
        assert!(!wanted(Some("off")).unwrap());
        assert!(wanted(Some("maybe")).is_err());
    }
}
