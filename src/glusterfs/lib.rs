//! A safe kit for writing GlusterFS translators in Rust.
//!
//! A translator is a type that implements [`Translator`], and a shared object that says
//! [`export!`]. Each fop (file operation) arrives as a [`Call`]: its arguments, and a [`Frame`],
//! the duty to answer it once. A fop that a translator does not implement passes through.
//!
//! ```no_run
//! use std::sync::Arc;
//! use glusterfs::{Call, Errno, InitError, Translator, Xlator, fops};
//!
//! struct Mine {
//!     xl: Xlator<Mine>,
//! }
//!
//! impl Translator for Mine {
//!     type InodeCtx = ();
//!     type FdCtx = ();
//!
//!     fn init(xl: Xlator<Mine>) -> Result<Arc<Mine>, InitError> {
//!         Ok(Arc::new(Mine { xl }))
//!     }
//!
//!     // Change the answer of the translator below.
//!     fn stat(self: &Arc<Mine>, call: Call<'_, fops::Stat>) {
//!         call.wind(|frame, answer| {
//!             frame.answer(answer.map(|mut reply| {
//!                 reply.buf.set_size(42);
//!                 reply
//!             }));
//!         });
//!     }
//!
//!     // Answer on another thread.
//!     fn fsync(self: &Arc<Mine>, call: Call<'_, fops::Fsync>) {
//!         let call = call.detach();
//!         std::thread::spawn(move || call.fail(Errno::EOPNOTSUPP));
//!     }
//!
//!     // Ask something else first, and wait: posix answers at once.
//!     fn ftruncate(self: &Arc<Mine>, call: Call<'_, fops::Ftruncate>) {
//!         let fd = call.args.fd.share();
//!         match call.frame.ask::<fops::Fstat>(fops::FstatArgs { fd, xdata: None }) {
//!             Ok(reply) if reply.buf.size() > 0 => call.pass(),
//!             Ok(_) => call.fail(Errno::EPERM),
//!             Err(failure) => call.fail(failure.errno),
//!         }
//!     }
//! }
//! ```
//!
//! # Borrowed and owned
//! [`Loc`], [`Fd`], [`Inode`], [`Dict`], [`Payload`] and [`Entries`] have a lifetime: what a fop
//! brings is lent for the time of the call, and costs nothing. `into_owned` takes a reference and
//! gives the `'static` form, which can be kept and moved; `share` gives a second handle.
//! [`Call::detach`] does it for all arguments at once.
//!
//! # Asking below
//! [`Call::pass`] gives the fop away. [`Call::wind`] and [`Frame::wind`] ask and go on in a
//! closure. [`Call::ask`] and [`Frame::ask`] wait. Any fop can be asked from any frame.
//! [`Stack::ask`] does the same where there is no frame, in the name of any [`Credentials`].
//!
//! # Memory of one's own
//! [`Inode::ctx_or_insert`], [`Inode::ctx`], [`Fd::set_ctx`], [`Fd::ctx`]: typed by the
//! translator, counted, and dropped after [`Translator::forget`] and [`Translator::release`].
//!
//! Everything unsafe about GlusterFS stays in this crate.

mod arg;
mod credentials;
mod dict;
mod dirent;
mod errno;
mod exit;
#[doc(hidden)]
pub mod export;
mod fd;
mod fop;
#[macro_use]
mod fop_macro;
pub mod fops;
mod frame;
mod gfid;
mod iatt;
mod inode;
mod iobuf;
mod loc;
pub mod log;
mod memory;
mod node;
mod schedule;
mod stack;
mod stack_room;
mod this;
#[doc(hidden)]
pub mod translator;
mod workers;

#[doc(hidden)]
pub use glusterfs_sys as sys;

pub use arg::Arg;
pub use credentials::Credentials;
pub use dict::Dict;
pub use dirent::{Entries, Entry};
pub use errno::Errno;
pub use exit::at_exit;
pub use fd::Fd;
pub use fop::{Answer, Failure, Fop};
pub use frame::{Frame, Service};
pub use gfid::GfidText;
pub use iatt::{FileType, Flock, Iatt, Moment, StatFs, set_attr};
pub use inode::Inode;
pub use iobuf::{Iobuf, Payload};
pub use loc::Loc;
pub use node::{Node, Xlator};
pub use schedule::run_first;
pub use stack::Stack;
pub use translator::{Call, Event, Heard, InitError, Translator};
pub use workers::{Counted, Tally, Workers};
