use std::collections::VecDeque;
use std::ffi::CString;

use bd_model::{ImageMark, xattr};
use glusterfs::fops::{Getxattr, GetxattrArgs, Lookup, LookupArgs, Readlink, ReadlinkArgs};
use glusterfs::{Dict, Errno, FileType, Iatt, Inode, Loc, Node, Stack, gf_warn};

use crate::mounts::Passage;
use crate::permission::{Want, allowed};
use crate::target::{Roots, Target, parse};

/// A file that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its inode, as the client's table has it.
    pub(crate) inode: Inode<'static>,
    /// Its attributes.
    pub(crate) iatt: Iatt,
    /// What it says of being an image, if it does. No mark that cannot be read: that is EIO.
    pub(crate) mark: Option<ImageMark>,
}

/// The attribute by which a brick tells the path of a directory.
const PATH: &str = "glusterfs.ancestry.path";

/// Symbolic links on the way that are followed before the walk gives up, as in the kernel.
const LINKS: usize = 40;

/// Looks a file up by its gfid, past all caches.
pub(crate) fn by_gfid(stack: &Stack, inode: &Inode<'_>, gfid: [u8; 16]) -> Result<Found, Errno> {
    find(stack, Loc::by_gfid(&inode.fresh(), gfid), None)
}

/// Looks a name of a directory up.
fn by_name(stack: &Stack, parent: &Inode<'_>, name: &[u8]) -> Result<Found, Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    find(
        stack,
        Loc::by_name(parent, &name, &parent.fresh()),
        Some((parent, &name)),
    )
}

fn find(
    stack: &Stack,
    loc: Loc<'static>,
    place: Option<(&Inode<'_>, &CString)>,
) -> Result<Found, Errno> {
    let xdata = Dict::new();
    xdata.set_u64(xattr::IMAGE, 0)?;
    let reply = stack.ask::<Lookup>(LookupArgs {
        loc,
        xdata: Some(xdata),
    })?;
    let fresh = reply.inode.ok_or(Errno::EIO)?;
    // The inode that is in the table already, if there is one: it is the one that caches know.
    // Only directories need their name there, for the way on.
    let place = place.filter(|_| reply.buf.file_type() == FileType::Directory);
    let inode = fresh.link(
        place.map(|(parent, name)| (parent, name.as_c_str())),
        &reply.buf,
    )?;
    let mark = reply.xdata.and_then(|xdata| xdata.get(xattr::IMAGE));
    let mark = mark.map(|mark| ImageMark::read(&mark)).transpose();
    let mark = mark.map_err(|error| {
        gf_warn!("{inode:?} has a mark that cannot be read: {error}");
        Errno::EIO
    })?;
    Ok(Found {
        inode,
        iatt: reply.buf,
        mark,
    })
}

/// Whether a brick has an image there. While a brick is healed or a file is moved, the translators that
/// make one answer of several may know nothing of it, or not what it is.
pub(crate) fn is_image_on_a_brick(stack: &Stack, node: Node, loc: &Loc<'_>) -> bool {
    let below = node.children();
    if !below.is_empty() {
        return below
            .into_iter()
            .any(|node| is_image_on_a_brick(stack, node, loc));
    }
    !matches!(mark_on_brick(stack, node, loc), Ok(None))
}

/// The mark that one brick has of a file; none if it does not answer.
pub(crate) fn mark_on_brick(
    stack: &Stack,
    brick: Node,
    loc: &Loc<'_>,
) -> Result<Option<Vec<u8>>, Errno> {
    let xdata = Dict::new();
    xdata.set_u64(xattr::IMAGE, 0)?;
    let looked = stack.ask_node::<Lookup>(
        brick,
        LookupArgs {
            loc: loc.duplicate(),
            xdata: Some(xdata),
        },
    );
    let told = looked.ok().and_then(|reply| reply.xdata);
    Ok(told.and_then(|xdata| xdata.get(xattr::IMAGE)))
}

/// Follows the text of a symbolic link in the directory `parent`, as the kernel would later.
///
/// `None` if it is not in the volume, or if whose name the stack bears may not go there: then the link is
/// one like any other.
///
/// # Errors
/// `ENOENT` if there is nothing, as far as the bricks that can be reached know; `ESTALE` if there is an
/// image which was not found: the kernel tries once more.
pub(crate) fn follow(
    stack: &Stack,
    node: Node,
    parent: &Inode<'_>,
    text: &[u8],
    roots: &Roots,
) -> Result<Option<Found>, Errno> {
    let Some(target) = parse(text, roots) else {
        return Ok(None);
    };
    let Some(mut way) = Way::start(parent, &target) else {
        return Ok(None);
    };
    let mut names = target.names;
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == b".." {
            if !way.up() {
                return Ok(None);
            }
            continue;
        }
        let found = match by_name(stack, way.here(), &name) {
            Ok(found) => found,
            Err(Errno::ENOENT) => {
                let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
                let here = way.here();
                let loc = Loc::by_name(here, &name, &here.fresh());
                return Err(match is_image_on_a_brick(stack, node, &loc) {
                    true => Errno::ESTALE,
                    false => Errno::ENOENT,
                });
            }
            Err(Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        match found.iatt.file_type() {
            FileType::Directory if allowed(stack, &found, Want::Search)? => {
                way.down(found.inode);
            }
            FileType::Symlink if links < LINKS => {
                links += 1;
                let text = read_link(stack, &found)?;
                let Some(target) = parse(&text, roots) else {
                    return Ok(None);
                };
                if target.from_root {
                    way.restart();
                }
                names = splice(target.names, names);
            }
            FileType::Regular if names.is_empty() => return Ok(Some(found)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Makes known to the table what is above a directory. After a change of the volume's graph the kernel goes
/// on with directories that it knows, and the new graph has them by their gfids alone.
///
/// Only with a stack in root's name: the caller is there already.
///
/// # Errors
/// `ESTALE` if the directory is at another place by now.
pub(crate) fn learn(stack: &Stack, dir: &Inode<'_>) -> Result<(), Errno> {
    if Way::to(dir).is_some() {
        return Ok(());
    }
    let name = CString::new(PATH).map_err(|_| Errno::EINVAL)?;
    let reply = stack.ask::<Getxattr>(GetxattrArgs {
        loc: Loc::by_gfid(dir, dir.gfid()),
        name: Some(name.into()),
        xdata: None,
    })?;
    let path = reply.dict.and_then(|dict| dict.get(PATH));
    let path = path.ok_or(Errno::ESTALE)?;
    directory(
        stack,
        &dir.root(),
        path.split(|&b| b == 0).next().unwrap_or_default(),
    )?;
    Way::to(dir).map(drop).ok_or(Errno::ESTALE)
}

/// Walks down from the volume's root to a directory, through directories only.
pub(crate) fn directory(
    stack: &Stack,
    root: &Inode<'_>,
    path: &[u8],
) -> Result<Inode<'static>, Errno> {
    let mut here = root.share();
    for name in path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
        let found = by_name(stack, &here, name)?;
        if found.iatt.file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if !allowed(stack, &found, Want::Search)? {
            return Err(Errno::EACCES);
        }
        here = found.inode;
    }
    Ok(here)
}

/// What a path from the volume's root leads through, which may have `..` in it.
pub(crate) fn passage(stack: &Stack, root: &Inode<'_>, path: &[u8]) -> Passage {
    let mut way = Way(vec![root.share()]);
    for name in path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
        if name == b".." {
            if !way.up() {
                return Passage::Nothing;
            }
            continue;
        }
        let Ok(found) = by_name(stack, way.here(), name) else {
            return Passage::Nothing;
        };
        match found.iatt.file_type() {
            FileType::Directory => way.down(found.inode),
            FileType::Symlink => return Passage::Links,
            _ => return Passage::Nothing,
        }
    }
    Passage::Directories
}

fn splice(mut first: VecDeque<Vec<u8>>, mut rest: VecDeque<Vec<u8>>) -> VecDeque<Vec<u8>> {
    first.append(&mut rest);
    first
}

fn read_link(stack: &Stack, found: &Found) -> Result<Vec<u8>, Errno> {
    let loc = Loc::by_gfid(&found.inode, found.iatt.gfid());
    let size = usize::try_from(libc::PATH_MAX).unwrap_or(4096);
    let reply = stack.ask::<Readlink>(ReadlinkArgs {
        loc,
        size,
        xdata: None,
    })?;
    let mut text = reply
        .path
        .map(|path| path.to_bytes().to_vec())
        .unwrap_or_default();
    if let Ok(len) = usize::try_from(reply.len) {
        text.truncate(len);
    }
    Ok(text)
}

/// The directories from the volume's root to where the walk is.
struct Way(Vec<Inode<'static>>);

impl Way {
    /// The way to the directory where a walk starts; `None` if the table does not know it.
    fn start(parent: &Inode<'_>, target: &Target) -> Option<Way> {
        match target.from_root {
            true => Some(Way(vec![parent.root()])),
            false => Way::to(parent),
        }
    }

    /// The way to a directory; `None` if the table does not know it.
    fn to(dir: &Inode<'_>) -> Option<Way> {
        let root = dir.root();
        let mut way = vec![];
        let mut at = dir.share();
        while at.gfid() != root.gfid() {
            let above = at.parent()?;
            way.push(at);
            at = above;
        }
        way.push(root);
        way.reverse();
        Some(Way(way))
    }

    fn here(&self) -> &Inode<'static> {
        &self.0[self.0.len() - 1]
    }

    fn down(&mut self, inode: Inode<'static>) {
        self.0.push(inode);
    }

    /// Goes to the parent; false at the root, above which is not the volume any more.
    fn up(&mut self) -> bool {
        self.0.len() > 1 && self.0.pop().is_some()
    }

    fn restart(&mut self) {
        self.0.truncate(1);
    }
}
