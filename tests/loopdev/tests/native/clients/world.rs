//! Directories, images and their copies as three kernels, bd-client and the brick change them, each step of
//! an act in its turn.

use std::collections::{BTreeMap, HashSet};

/// A name: a directory in the top one, or the top one itself, and a leaf.
pub(crate) type Place = (Option<usize>, usize);

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Makes a file that is not there, and writes that it is this one.
    Create(Place, u64),
    Unlink(Place),
    /// Opens it and reads which one it is.
    Read(Place),
    Rename(Place, Place),
    /// By `ln`, or by `ln -s` if it says so.
    Copy(Place, Place, bool),
    /// Gives what a snapshot holds to its origin.
    Merge(Place),
    Mkdir(usize),
    Rmdir(usize),
    /// Renames a directory.
    Move(usize, usize),
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// What was read; nothing where its maker has not written yet.
    Found(Option<u64>),
    NotFound,
    Exists,
    NotEmpty,
    /// Somebody makes it just now, or has it open.
    Busy,
    /// It is no snapshot, or its origin is gone.
    NoSnapshot,
    /// An errno that nothing explains.
    Failed(i32),
}

/// What an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Bytes {
    /// It is a copy that is not finished.
    Pending,
    /// Its maker has not written yet.
    Empty,
    Of(u64),
}

type Id = u64;

/// No file, no directory.
const NONE: Id = Id::MAX;
/// The top image directory.
const TOP: Id = 0;

/// All that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    dirs: BTreeMap<usize, Id>,
    files: BTreeMap<(Id, usize), Id>,
    bytes: BTreeMap<Id, Bytes>,
    /// Snapshots, and what they are of.
    origins: BTreeMap<Id, Id>,
    last: Id,
}

/// What a client finds: the directories, and what each file holds.
pub(crate) type Sight = (Vec<usize>, BTreeMap<Place, u64>);

impl World {
    /// What a client finds when all is quiet; `None` if a copy or file is not finished.
    pub(crate) fn sight(&self) -> Option<Sight> {
        let mut seen = BTreeMap::new();
        for ((dir, leaf), file) in &self.files {
            let slot = self.dirs.iter().find(|(_, id)| *id == dir);
            let Bytes::Of(id) = self.bytes[file] else {
                return None;
            };
            seen.insert((slot.map(|(slot, _)| *slot), *leaf), id);
        }
        Some((self.dirs.keys().copied().collect(), seen))
    }

    fn fresh(&mut self) -> Id {
        self.last += 1;
        self.last
    }

    fn dir(&self, place: Place) -> Id {
        match place.0 {
            None => TOP,
            Some(slot) => self.dirs.get(&slot).copied().unwrap_or(NONE),
        }
    }

    fn file(&self, dir: Id, place: Place) -> Id {
        self.files.get(&(dir, place.1)).copied().unwrap_or(NONE)
    }

    fn is_dir(&self, dir: Id) -> bool {
        dir == TOP || self.dirs.values().any(|id| *id == dir)
    }

    fn is_empty(&self, dir: Id) -> bool {
        self.files
            .range((dir, 0)..=(dir, usize::MAX))
            .next()
            .is_none()
    }

    fn has_name(&self, file: Id) -> bool {
        self.files.values().any(|id| *id == file)
    }
}

/// How far a client has come with an act, and what its kernel has found on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Way {
    phase: u8,
    from: Id,
    to: Id,
    file: Id,
    made: Id,
}

/// What may come next: the world, and how far the act has come; `None` when it has ended.
type Next = Vec<(World, Option<Way>)>;

/// Whether GlusterFS itself may answer so, of a directory that another client has made, renamed or removed a
/// moment ago: to a create there that it is gone, and to a mkdir that it is there. Stock volumes show that, and
/// nothing else, in 2,800 rounds.
fn is_stale(act: Act, end: End) -> bool {
    matches!(
        (act, end),
        (Act::Create((Some(_), _), _), End::NotFound) | (Act::Mkdir(_), End::Exists)
    )
}

/// The next step of an act that is known to end so.
fn step(world: &World, way: Way, act: Act, end: End) -> Next {
    let go = |way: Way| {
        (
            world.clone(),
            Some(Way {
                phase: way.phase + 1,
                ..way
            }),
        )
    };
    let ended = |is: bool| {
        if is {
            vec![(world.clone(), None)]
        } else {
            vec![]
        }
    };
    match act {
        Act::Mkdir(slot) => match world.dirs.contains_key(&slot) {
            true => ended(end == End::Exists),
            false if end == End::Done => {
                let mut world = world.clone();
                let id = world.fresh();
                world.dirs.insert(slot, id);
                vec![(world, None)]
            }
            false => vec![],
        },
        Act::Rmdir(slot) => match world.dirs.get(&slot) {
            None => ended(end == End::NotFound),
            Some(id) if !world.is_empty(*id) => ended(end == End::NotEmpty),
            Some(_) if end == End::Done => {
                let mut world = world.clone();
                world.dirs.remove(&slot);
                vec![(world, None)]
            }
            Some(_) => vec![],
        },
        Act::Move(from, to) => move_dir(world, way, from, to, end),
        Act::Create(at, _) | Act::Unlink(at) | Act::Read(at) | Act::Merge(at) if way.phase == 0 => {
            let from = world.dir(at);
            match from {
                NONE => ended(end == End::NotFound),
                _ => vec![go(Way { from, ..way })],
            }
        }
        Act::Rename(from, to) | Act::Copy(from, to, _) if way.phase < 2 => {
            let dir = world.dir(if way.phase == 0 { from } else { to });
            match dir {
                NONE => ended(end == End::NotFound),
                _ if way.phase == 0 => vec![go(Way { from: dir, ..way })],
                _ => vec![go(Way { to: dir, ..way })],
            }
        }
        Act::Create(at, id) => create(world, way, at, id, end),
        Act::Unlink(at) => match world.file(way.from, at) {
            NONE => ended(end == End::NotFound),
            file if end == End::Busy => ended(world.origins.contains_key(&file)),
            file if end == End::Done => {
                let mut world = world.clone();
                world.files.remove(&(way.from, at.1));
                world.origins.remove(&file);
                vec![(world, None)]
            }
            _ => vec![],
        },
        Act::Read(at) => read(world, way, at, end),
        Act::Rename(from, to) => rename(world, way, from, to, end),
        Act::Copy(from, to, is_snapshot) => copy(world, way, from, to, is_snapshot, end),
        Act::Merge(at) => merge(world, way, at, end),
    }
}

fn move_dir(world: &World, way: Way, from: usize, to: usize, end: End) -> Next {
    let found = world.dirs.get(&from).copied().unwrap_or(NONE);
    if way.phase == 0 {
        let go = Way {
            phase: 1,
            file: found,
            ..way
        };
        return vec![(
            world.clone(),
            (found != NONE || end != End::NotFound).then_some(go),
        )];
    }
    let target = world.dirs.get(&to).copied();
    let mut next = Next::new();
    // The kernel looks at one name after the other, and may take both for one directory; and the brick
    // refuses one that is another directory by now.
    if (end == End::Done && target == Some(way.file)) || (end == End::NotFound && found != way.file)
    {
        next.push((world.clone(), None));
    }
    if found != NONE && target != Some(found) {
        let is_free = target.is_none_or(|dir| world.is_empty(dir));
        if is_free && end == End::Done {
            let mut world = world.clone();
            world.dirs.remove(&from);
            world.dirs.insert(to, found);
            next.push((world, None));
        } else if !is_free && end == End::NotEmpty {
            next.push((world.clone(), None));
        }
    }
    next
}

fn create(world: &World, way: Way, at: Place, id: u64, end: End) -> Next {
    let mut world = world.clone();
    if way.phase == 2 {
        world.bytes.insert(way.made, Bytes::Of(id));
        return vec![(world, None)];
    }
    let is_there = world.file(way.from, at) != NONE;
    match end {
        End::NotFound if !world.is_dir(way.from) => vec![(world, None)],
        End::Exists if is_there => vec![(world, None)],
        End::Done if !is_there && world.is_dir(way.from) => {
            let made = world.fresh();
            world.files.insert((way.from, at.1), made);
            world.bytes.insert(made, Bytes::Empty);
            vec![(
                world,
                Some(Way {
                    phase: 2,
                    made,
                    ..way
                }),
            )]
        }
        _ => vec![],
    }
}

fn read(world: &World, way: Way, at: Place, end: End) -> Next {
    let file = if way.phase == 1 {
        world.file(way.from, at)
    } else {
        way.file
    };
    let is_gone = file == NONE || !world.has_name(file);
    let fits = match end {
        End::NotFound => is_gone,
        // It is being made, or merged.
        End::Busy => {
            let is_snapshot = world.origins.contains_key(&file);
            !is_gone && (is_snapshot || world.bytes[&file] == Bytes::Pending)
        }
        End::Found(None) => !is_gone && !matches!(world.bytes[&file], Bytes::Of(_)),
        // A descriptor that is open is good for a file that is gone.
        End::Found(Some(id)) => file != NONE && world.bytes[&file] == Bytes::Of(id),
        _ => false,
    };
    let mut next = Next::new();
    if fits {
        next.push((world.clone(), None));
    }
    // Opened, and read later.
    if way.phase == 1 && file != NONE {
        next.push((
            world.clone(),
            Some(Way {
                phase: 2,
                file,
                ..way
            }),
        ));
    }
    next
}

fn rename(world: &World, way: Way, from: Place, to: Place, end: End) -> Next {
    let found = world.file(way.from, from);
    if way.phase == 2 {
        let go = Way {
            phase: 3,
            file: found,
            ..way
        };
        return vec![(
            world.clone(),
            (found != NONE || end != End::NotFound).then_some(go),
        )];
    }
    let target = world.file(way.to, to);
    let mut next = Next::new();
    let is_lost = found != way.file || !world.is_dir(way.to) || !world.is_dir(way.from);
    // One of the two may just be merged.
    let is_merged = [found, target]
        .iter()
        .any(|file| world.origins.contains_key(file));
    if (end == End::Busy && is_merged)
        || (end == End::Done && way.file != NONE && target == way.file)
        || (end == End::NotFound && is_lost)
    {
        next.push((world.clone(), None));
    }
    if end == End::Done && found != NONE && target != found && world.is_dir(way.to) {
        let mut world = world.clone();
        world.files.remove(&(way.from, from.1));
        world.files.insert((way.to, to.1), found);
        world.origins.remove(&target);
        next.push((world, None));
    }
    next
}

fn copy(world: &World, way: Way, from: Place, to: Place, is_snapshot: bool, end: End) -> Next {
    let mut next = Next::new();
    match way.phase {
        2 => {
            let file = world.file(way.from, from);
            if file != NONE {
                next.push((
                    world.clone(),
                    Some(Way {
                        phase: 3,
                        file,
                        ..way
                    }),
                ));
            } else if end == End::NotFound {
                next.push((world.clone(), None));
            }
            // The kernel looks at the new name, too.
            if end == End::Exists && world.file(way.to, to) != NONE {
                next.push((world.clone(), None));
            }
        }
        3 => {
            let is_pending = world.bytes[&way.file] == Bytes::Pending;
            let is_there = world.file(way.to, to) != NONE;
            let is_lost = !world.has_name(way.file) || !world.is_dir(way.to);
            match end {
                End::Exists if is_there => next.push((world.clone(), None)),
                End::Busy if is_pending => next.push((world.clone(), None)),
                End::NotFound if is_lost => next.push((world.clone(), None)),
                _ => {}
            }
            if !is_there
                && !is_pending
                && world.is_dir(way.to)
                && matches!(end, End::Done | End::NotFound | End::Exists)
            {
                let mut world = world.clone();
                let made = world.fresh();
                world.files.insert((way.to, to.1), made);
                world.bytes.insert(made, Bytes::Pending);
                next.push((
                    world,
                    Some(Way {
                        phase: 4,
                        made,
                        ..way
                    }),
                ));
            }
        }
        _ => {
            // Told ESTALE, the kernel begins anew.
            if !world.has_name(way.made) {
                next.push((world.clone(), Some(Way::default())));
            }
            let mut world = world.clone();
            let is_named = world.has_name(way.made);
            if end == End::Done {
                let bytes = world.bytes[&way.file];
                world.bytes.insert(way.made, bytes);
                if is_snapshot {
                    world.origins.insert(way.made, way.file);
                }
                next.push((world, None));
            } else if end != End::NotFound {
                // It begins anew, or not at all.
            } else if !is_named {
                // Somebody has removed what was to be the copy.
                next.push((world, None));
            } else if !world.has_name(way.file) {
                world.files.retain(|_, file| *file != way.made);
                next.push((world, None));
            }
        }
    }
    next
}

fn merge(world: &World, way: Way, at: Place, end: End) -> Next {
    if way.phase == 1 {
        return match world.file(way.from, at) {
            NONE if end == End::NotFound => vec![(world.clone(), None)],
            NONE => vec![],
            file => {
                let way = Way {
                    phase: 2,
                    file,
                    ..way
                };
                vec![(world.clone(), Some(way))]
            }
        };
    }
    if !world.has_name(way.file) {
        // Told ESTALE, the kernel begins anew, once.
        let mut next = vec![(world.clone(), Some(Way::default()))];
        if end == End::NotFound {
            next.push((world.clone(), None));
        }
        return next;
    }
    let origin = world.origins.get(&way.file).copied();
    let origin = origin.filter(|origin| world.has_name(*origin));
    match (end, origin) {
        // The snapshot goes, wherever it is by now.
        (End::Done, Some(origin)) => {
            let mut world = world.clone();
            let bytes = world.bytes[&way.file];
            world.bytes.insert(origin, bytes);
            world.files.retain(|_, file| *file != way.file);
            world.origins.remove(&way.file);
            vec![(world, None)]
        }
        // Descriptors of others count, and those that a kernel has not given back.
        (End::Busy, _) | (End::NoSnapshot, None) => vec![(world.clone(), None)],
        _ => vec![],
    }
}

/// What clients have done at once, and how each act ended.
pub(crate) type Acts<'a> = &'a [Vec<(Act, End)>];

/// A world after some order of the steps of what the clients did that shows `after`.
pub(crate) fn explained(before: &World, clients: Acts<'_>, after: &Sight) -> Option<World> {
    let start = vec![(0, Way::default()); clients.len()];
    let mut tried = HashSet::new();
    let mut open = vec![(before.clone(), start)];
    while let Some((world, ways)) = open.pop() {
        let mut is_over = true;
        for (client, acts) in clients.iter().enumerate() {
            let (number, way) = ways[client];
            let Some((act, end)) = acts.get(number) else {
                continue;
            };
            is_over = false;
            let mut next = step(&world, way, *act, *end);
            if way.phase == 0 && is_stale(*act, *end) {
                next.push((world.clone(), None));
            }
            for (world, way) in next {
                let mut ways = ways.clone();
                ways[client] = way.map_or((number + 1, Way::default()), |way| (number, way));
                if tried.insert((world.clone(), ways.clone())) {
                    open.push((world, ways));
                }
            }
        }
        if is_over && world.sight().as_ref() == Some(after) {
            return Some(world);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_steps_is_found_or_there_is_none() {
        let (a, b, inside) = ((None, 0), (None, 1), (Some(0), 0));
        let sight = |dirs: &[usize], files: &[(Place, u64)]| {
            (dirs.to_vec(), files.iter().copied().collect())
        };
        let one = |acts: &[(Act, End)]| acts.to_vec();
        let empty = World::default();
        let made = one(&[
            (Act::Mkdir(0), End::Done),
            (Act::Create(inside, 1), End::Done),
        ]);
        let world = explained(&empty, &[made], &sight(&[0], &[(inside, 1)])).unwrap();
        // What is made in a directory goes with it.
        let create = one(&[(Act::Create((Some(0), 1), 2), End::Done)]);
        let moved = one(&[(Act::Move(0, 1), End::Done)]);
        let after = sight(&[1], &[((Some(1), 0), 1), ((Some(1), 1), 2)]);
        assert!(explained(&world, &[create.clone(), moved.clone()], &after).is_some());
        let apart = sight(&[0, 1], &[((Some(1), 0), 1), ((Some(0), 1), 2)]);
        assert!(explained(&world, &[create, moved], &apart).is_none());
        // A directory with a file in it is not removed.
        let gone = one(&[(Act::Rmdir(0), End::Done)]);
        assert!(explained(&world, &[gone], &sight(&[], &[])).is_none());
        // A copy holds what its source held, and a merge brings it back.
        let acts = one(&[
            (Act::Create(a, 3), End::Done),
            (Act::Copy(a, b, true), End::Done),
            (Act::Unlink(a), End::Done),
            (Act::Merge(b), End::NoSnapshot),
        ]);
        assert!(explained(&empty, std::slice::from_ref(&acts), &sight(&[], &[(b, 3)])).is_some());
        assert!(explained(&empty, &[acts], &sight(&[], &[(b, 4)])).is_none());
        // A snapshot that is renamed meanwhile is merged all the same; two clients do not merge it both.
        let acts = one(&[
            (Act::Create(a, 5), End::Done),
            (Act::Copy(a, b, true), End::Done),
        ]);
        let world = explained(&empty, &[acts], &sight(&[], &[(a, 5), (b, 5)])).unwrap();
        let merge = one(&[(Act::Merge(b), End::Done)]);
        let rename = one(&[(Act::Rename(b, inside), End::Done)]);
        let mkdir = one(&[(Act::Mkdir(0), End::Done)]);
        let after = sight(&[0], &[(a, 5)]);
        assert!(explained(&world, &[merge.clone(), rename, mkdir], &after).is_some());
        let after = sight(&[], &[(a, 5)]);
        let unlink = one(&[(Act::Unlink(b), End::Done)]);
        for other in [merge.clone(), unlink] {
            assert!(explained(&world, &[merge.clone(), other], &after).is_none());
        }
    }
}
