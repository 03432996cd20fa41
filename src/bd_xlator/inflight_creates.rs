//! Files that the brick has posix make.
//!
//! A file has a name before it has a gfid, and posix gives one without a gfid the one that a lookup of
//! its name brings along. It spares young files that, but with features.ctime it takes one that is just
//! being made for an old one (GlusterFS 10.3, `posix_gfid_heal`). On a stock brick that does no harm. Here
//! it would part the file from its LV, so that lookups bring none along while a name is being made.

use std::ffi::CString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bd_model::Gfid;
use glusterfs::fops::LookupReply;
use glusterfs::{Answer, Errno, Fop, Loc, gf_warn};

use crate::stub::Ask;
use crate::{Brick, stub};

/// A directory's gfid, and a name in it.
type Place = ([u8; 16], CString);

/// The names that are being made.
#[derive(Debug, Default)]
pub(crate) struct InflightCreates {
    names: Mutex<Vec<Place>>,
    /// Woken when there is one less.
    ended: Condvar,
}

/// A name that is being made until this is dropped.
#[derive(Debug)]
struct Made<'a> {
    creates: &'a InflightCreates,
    place: Place,
}

impl InflightCreates {
    fn begin(&self, loc: &Loc<'_>) -> Made<'_> {
        let place = (loc.parent_gfid(), loc.name().unwrap_or_default().to_owned());
        self.names().push(place.clone());
        Made {
            creates: self,
            place,
        }
    }

    /// Whether the file at `loc` may just be getting its gfid.
    pub(crate) fn has(&self, loc: &Loc<'_>) -> bool {
        is_among(&self.names(), loc)
    }

    /// Waits until the file at `loc` has its gfid, if it is just getting it: posix does that at once.
    ///
    /// Only for threads that may wait.
    pub(crate) fn wait(&self, loc: &Loc<'_>) {
        let ended = self
            .ended
            .wait_while(self.names(), |names| is_among(names, loc));
        drop(ended);
    }

    fn names(&self) -> MutexGuard<'_, Vec<Place>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_among(names: &[Place], loc: &Loc<'_>) -> bool {
    let (parent, name) = (loc.parent_gfid(), loc.name());
    names
        .iter()
        .any(|(p, n)| *p == parent && Some(n.as_c_str()) == name)
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let mut names = self.creates.names();
        if let Some(at) = names.iter().position(|place| *place == self.place) {
            names.swap_remove(at);
        }
        self.creates.ended.notify_all();
    }
}

impl Brick {
    /// Has `make` make a file of this gfid at `loc`, which nobody else can have made: it must fail if the
    /// name is taken. `gfid_of` tells which gfid the file has got.
    ///
    /// If it has another one after all, because a lookup was under way, the file goes again, and
    /// whoever asked for it is told to try once more.
    pub(crate) fn make_stub<G: Fop>(
        &self,
        asks: &impl Ask,
        loc: &Loc<'_>,
        gfid: Gfid,
        make: impl FnOnce() -> Answer<'static, G>,
        gfid_of: impl FnOnce(&G::Reply<'static>) -> [u8; 16],
    ) -> Answer<'static, G> {
        let _made = self.inflight_creates().begin(loc);
        let answer = make();
        if let Ok(reply) = &answer {
            let found = gfid_of(reply);
            if found != *gfid.as_bytes() {
                gf_warn!("{loc:?} got another gfid than {gfid} while it was made; once more");
                if let Err(errno) = remove_misnamed(self, asks, loc, found) {
                    gf_warn!("{loc:?} cannot be removed: {errno}");
                }
                return Err(Errno::ESTALE.into());
            }
        }
        answer
    }
}

/// Removes a file that was just made and has the wrong gfid: it has no LV, and holds nothing.
fn remove_misnamed(
    brick: &Brick,
    asks: &impl Ask,
    loc: &Loc<'_>,
    gfid: [u8; 16],
) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (loc.parent(), loc.name()) else {
        return Err(Errno::EINVAL);
    };
    // A name that leads elsewhere by now is somebody else's.
    let is_empty = |found: &LookupReply<'_>| found.buf.size() == 0;
    if stub::unlink_if(brick, asks, &parent, name, gfid, is_empty)? {
        Ok(())
    } else {
        Err(Errno::ESTALE)
    }
}
