//! Names and files as one client after the other would change them.

use std::collections::BTreeMap;

/// What a client does with names, given by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Makes a file that is not there, and writes that it is this one.
    Create(usize, u64),
    Rename(usize, usize),
    Link(usize, usize),
    Unlink(usize),
    /// Opens it and reads which one it is.
    Read(usize),
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// What was read; nothing where its maker has not written yet.
    Found(Option<u64>),
    NotFound,
    Exists,
    /// An errno that no order of the acts explains.
    Failed(i32),
}

/// Which file each name leads to.
pub(crate) type Names = BTreeMap<usize, u64>;

/// Does one act.
fn act(names: &mut Names, act: Act) -> End {
    match act {
        Act::Create(name, _) | Act::Link(_, name) if names.contains_key(&name) => End::Exists,
        Act::Create(name, id) => {
            names.insert(name, id);
            End::Done
        }
        Act::Link(from, to) => match names.get(&from).copied() {
            Some(id) => {
                names.insert(to, id);
                End::Done
            }
            None => End::NotFound,
        },
        Act::Rename(from, to) => match names.get(&from).copied() {
            Some(id) => {
                // Two names of one file both stay.
                if names.get(&to) != Some(&id) {
                    names.remove(&from);
                    names.insert(to, id);
                }
                End::Done
            }
            None => End::NotFound,
        },
        Act::Unlink(name) => match names.remove(&name) {
            Some(_) => End::Done,
            None => End::NotFound,
        },
        Act::Read(name) => match names.get(&name) {
            Some(id) => End::Found(Some(*id)),
            None => End::NotFound,
        },
    }
}

fn fits(seen: End, model: End) -> bool {
    seen == model || (seen == End::Found(None) && matches!(model, End::Found(_)))
}

/// Whether the kernel may have taken a rename for one of a file to itself: it looks at one name after the
/// other, and another client has renamed the file between the two.
fn is_no_rename(before: &Names, now: &Names, act: Act, seen: End) -> bool {
    let Act::Rename(from, to) = act else {
        return false;
    };
    seen == End::Done && before.contains_key(&from) && before.get(&from) == now.get(&to)
}

/// Whether some order of what the clients did, each in its own order, gives the ends that they saw
/// and the names that are there afterwards.
pub(crate) fn explains(before: &Names, clients: &[&[(Act, End)]], after: &Names) -> bool {
    explains_from(before, before, clients, after)
}

/// The same, from `now` on.
fn explains_from(before: &Names, now: &Names, clients: &[&[(Act, End)]], after: &Names) -> bool {
    if clients.iter().all(|acts| acts.is_empty()) {
        return now == after;
    }
    (0..clients.len()).any(|turn| {
        let Some(((next, seen), rest)) = clients[turn].split_first() else {
            return false;
        };
        let mut names = now.clone();
        // Of two reasons to fail either may be told.
        let lacks_source = matches!(next, Act::Link(from, _) if !names.contains_key(from));
        let fits = fits(*seen, act(&mut names, *next)) || (lacks_source && *seen == End::NotFound);
        let mut left = clients.to_vec();
        left[turn] = rest;
        (fits && explains_from(before, &names, &left, after))
            || (is_no_rename(before, now, *next, *seen) && explains_from(before, now, &left, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_found_or_there_is_none() {
        let before = Names::from([(0, 1)]);
        let rename: &[_] = &[(Act::Rename(0, 1), End::Done)];
        let unlink: &[_] = &[(Act::Unlink(1), End::Done)];
        let missed: &[_] = &[(Act::Unlink(1), End::NotFound)];
        let moved = Names::from([(1, 1)]);
        assert!(explains(&before, &[rename, unlink], &Names::new()));
        assert!(explains(&before, &[rename, missed], &moved));
        assert!(!explains(&before, &[rename, missed], &Names::new()));
        assert!(!explains(&before, &[rename, unlink], &moved));
        assert!(!explains(&before, &[rename, unlink], &before));
    }
}
