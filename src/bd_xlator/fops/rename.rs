use std::sync::Arc;

use bd_model::{LinkMeans, xattr};
use glusterfs::fops::{Rename, Unlink, UnlinkArgs};
use glusterfs::{Call, Errno, Frame, Loc};

use crate::Brick;
use crate::Image;
use crate::name_locks::Name;
use crate::ops::lv_name;
use crate::ops::name_removal::NameRemoval;
use crate::ops::named::{Named, name_of};
use crate::ops::removal::Attempt;

/// Renames a file; an image's LV follows, and an image that is replaced is removed.
pub(crate) fn rename(brick: &Arc<Brick>, call: Call<'_, Rename>) {
    let files = match Files::as_asked(brick, &call) {
        Ok(Some(files)) if !files.are_meant(brick, &call) => return call.fail(Errno::ESTALE),
        Ok(Some(files)) => files,
        Ok(None) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    if files.moved.image.is_some() && call.args.newloc.is_elsewhere() {
        // Trash would move it; at this answer it has it removed.
        return call.fail(Errno::ENOTDIR);
    }
    if files.has_image() {
        let call = call.detach();
        return brick.on_control(move |brick| rename_files(brick, call, files));
    }
    rename_plain(brick, call, files);
}

/// What the two names of a rename lead to.
struct Files {
    moved: Named,
    replaced: Option<Named>,
}

impl Files {
    fn as_asked(brick: &Brick, call: &Call<'_, Rename>) -> Result<Option<Files>, Errno> {
        let Some(moved) = Named::as_asked(brick, &call.frame, &call.args.oldloc)? else {
            return Ok(None);
        };
        let replaced = Named::as_asked(brick, &call.frame, &call.args.newloc)?;
        Ok(Some(Files { moved, replaced }))
    }

    fn as_is(brick: &Brick, call: &Call<'_, Rename>) -> Result<Files, Errno> {
        let moved = Named::as_is(brick, &call.frame, &call.args.oldloc)?;
        Ok(Files {
            moved: moved.ok_or(Errno::ENOENT)?,
            replaced: Named::as_is(brick, &call.frame, &call.args.newloc)?,
        })
    }

    /// Whether what would get another name is what the client knows by the old one. On a brick of several
    /// with the same files it may not: AFR and EC let bricks that have yet to be healed take part, and a wrong
    /// file of the new name would stay where the directory needs no heal. They heal what one brick fails.
    fn are_meant(&self, brick: &Brick, call: &Call<'_, Rename>) -> bool {
        let xdata = call.args.xdata.as_ref().filter(|_| brick.server.heals());
        let meant = xdata.and_then(|xdata| xdata.get_str(xattr::RENAMED));
        meant.is_none_or(|meant| meant.parse() == Ok(self.moved.gfid()))
    }

    fn has_image(&self) -> bool {
        let replaced = self.replaced.as_ref();
        self.moved.image.is_some() || replaced.is_some_and(|named| named.image.is_some())
    }

    fn are_at(
        &self,
        brick: &Brick,
        frame: &Frame<Rename>,
        old: &Loc<'_>,
        new: &Loc<'_>,
    ) -> Result<bool, Errno> {
        let replaced = self.replaced.as_ref();
        Ok(Named::is_at(Some(&self.moved), frame, old)?
            && Named::is_at(replaced, frame, new)?
            && self.moved.is_none_still(brick, frame)
            && replaced.is_none_or(|named| named.is_none_still(brick, frame)))
    }

    /// The names that must stay what they are meanwhile, and what stands for the file that is replaced.
    fn turns<'a>(&self, old: Name<'a>, new: Name<'a>) -> Vec<Name<'a>> {
        let replaced = self.replaced.as_ref().map(Named::turn);
        [old, new].into_iter().chain(replaced).collect()
    }

    /// Whether a merge is about to take the old name: it goes with that, and to no other.
    fn is_merged(&self) -> bool {
        let moved = self.moved.image.as_ref();
        moved.is_some_and(|image| image.has_fixed_name())
    }

    /// Whether both names lead to one file.
    fn are_one(&self) -> bool {
        let replaced = self.replaced.as_ref();
        replaced.is_some_and(|replaced| replaced.is(&self.moved))
    }

    /// Whether an image which has both names must lose the old one. rename(2) does nothing then, and says that
    /// it is done. Where `ln` copies, no client has given an image two names, but heal does for a moment, of
    /// one that was renamed while the brick was away; and AFR, told that all bricks have done it, would
    /// never look at the old name again. Heal itself renames to a folder of its own, where the file may be
    /// already.
    fn leave_a_name(&self, brick: &Brick, call: &Call<'_, Rename>) -> bool {
        let copies = |place: &Loc<'_>| {
            let policy = brick.policy_at(&call.frame, place);
            matches!(policy, Ok(Some(policy)) if policy.link == LinkMeans::Clone)
        };
        self.are_one()
            && self.moved.image.is_some()
            && brick.server.heals()
            && (copies(&call.args.oldloc) || copies(&call.args.newloc))
    }

    fn are(&self, other: &Files) -> bool {
        self.moved.is(&other.moved)
            && match (&self.replaced, &other.replaced) {
                (Some(one), Some(other)) => one.is(other),
                (None, None) => true,
                _ => false,
            }
    }
}

/// Renames what is no image and replaces none, without waiting for anybody.
fn rename_plain(brick: &Arc<Brick>, call: Call<'_, Rename>, files: Files) {
    let (Ok(old), Ok(new)) = (name_of(&call.args.oldloc), name_of(&call.args.newloc)) else {
        // Posix says what is wrong with them.
        return call.pass();
    };
    if let Some(_turn) = brick.names.at_once(&files.turns(old, new))
        && let Ok(true) = files.are_at(brick, &call.frame, &call.args.oldloc, &call.args.newloc)
    {
        let (frame, answer) = call.ask();
        return frame.answer(answer);
    }
    let call = call.detach();
    brick.on_control(move |brick| rename_files(brick, call, files));
}

/// Renames files, or what other clients put in their places meanwhile.
fn rename_files(brick: &Arc<Brick>, mut call: Call<'static, Rename>, mut files: Files) {
    loop {
        let failed = match attempt(brick, call, &files) {
            Attempt::Answered => return,
            Attempt::Again(back, failed) => {
                call = back;
                failed
            }
        };
        files = match (Files::as_is(brick, &call), failed) {
            (Ok(found), Some(errno)) if found.are(&files) => return call.fail(errno),
            (Ok(found), _) if !found.are_meant(brick, &call) => return call.fail(Errno::ESTALE),
            (Ok(found), _) => found,
            (Err(errno), _) => return call.fail(errno),
        };
        files.moved.put_into(&mut call.args.oldloc);
        if let Some(replaced) = &files.replaced {
            replaced.put_into(&mut call.args.newloc);
        }
    }
}

fn attempt(brick: &Arc<Brick>, call: Call<'static, Rename>, files: &Files) -> Attempt<Rename> {
    let leaves_a_name = files.leave_a_name(brick, &call);
    let same_file = files.are_one();
    let replaced = files.replaced.as_ref().filter(|_| !same_file);
    let removal = match NameRemoval::begin(brick, &call.frame, replaced) {
        Ok(removal) => removal,
        Err(errno) => return Attempt::Again(call, Some(errno)),
    };
    let (old, new) = (call.args.oldloc.duplicate(), call.args.newloc.duplicate());
    let names = name_of(&old).and_then(|old| Ok(files.turns(old, name_of(&new)?)));
    let turn = names.map(|names| brick.names.wait(&names));
    let are_there = turn.and_then(|turn| Ok((turn, files.are_at(brick, &call.frame, &old, &new)?)));
    let turn = match are_there {
        Ok((turn, true)) if files.is_merged() => {
            drop(turn);
            removal.end(&call.frame, false);
            call.fail(Errno::EBUSY);
            return Attempt::Answered;
        }
        Ok((turn, true)) => turn,
        elsewhere => {
            let failed = elsewhere.err();
            removal.end(&call.frame, false);
            return Attempt::Again(call, failed);
        }
    };
    let images = [Some(&files.moved), files.replaced.as_ref()].map(|named| named?.image.as_ref());
    let changes = images.map(|image| image.map(Image::changing));
    let (frame, mut answer) = call.ask();
    if answer.is_ok() && leaves_a_name {
        let removed = frame.ask::<Unlink>(UnlinkArgs {
            loc: old.duplicate(),
            xflags: 0,
            xdata: None,
        });
        if let Err(failure) = removed {
            answer = Err(failure);
        }
    }
    drop((changes, turn));
    removal.end(&frame, answer.is_ok());
    if answer.is_ok() {
        if let Some(victim) = replaced.and_then(|named| named.image.as_ref()) {
            // First, as the LV's name becomes free by it.
            brick.remove_if_orphan(victim);
        }
        let was_in_top = brick.lv_name_at(&old).is_some();
        let lv_name = brick.lv_name_at(&new);
        if let Some(image) = &files.moved.image
            && (!same_file || leaves_a_name)
            && (was_in_top || lv_name.is_some())
        {
            lv_name::rename_lv(brick, image, lv_name);
        }
        if files.has_image()
            && let Err(errno) = last(brick, &old, &new)
        {
            frame.fail(errno);
            return Attempt::Answered;
        }
    }
    frame.answer(answer);
    Attempt::Answered
}

/// Brings both names of a rename to the disk.
fn last(brick: &Brick, old: &Loc<'_>, new: &Loc<'_>) -> Result<(), Errno> {
    brick.make_name_last(new)?;
    match old.parent_gfid() == new.parent_gfid() {
        true => Ok(()),
        false => brick.make_name_last(old),
    }
}
