//! `getfattr -n glusterfs.bd.space`: what all bricks of a file have left for it, not one of them.

use std::ffi::CStr;

use bd_model::xattr;
use glusterfs::fops::{Getxattr, GetxattrArgs, GetxattrReply};
use glusterfs::{Call, Credentials, Dict, Errno, Loc, Node, Stack};
use serde_json::Value;

use crate::client::BdClient;
use crate::home::home_of;
use crate::path_resolution;

/// [`xattr::SPACE`].
const SPACE: &CStr = c"glusterfs.bd.space";

/// Whether the space is asked for.
pub(crate) fn is_wish(args: &GetxattrArgs<'_>) -> bool {
    args.name.as_deref() == Some(SPACE)
}

/// A getxattr for which [`is_wish`] is true.
pub(crate) fn getxattr(client: &BdClient, call: Call<'static, Getxattr>) {
    match ask(client, &call) {
        Ok(dict) => call.unwind(GetxattrReply {
            // As distribution answers: libgfapi takes a length for a failure.
            len: 0,
            dict: Some(dict),
            xdata: None,
        }),
        Err(errno) => call.fail(errno),
    }
}

fn ask(client: &BdClient, call: &Call<'static, Getxattr>) -> Result<Dict<'static>, Errno> {
    let inode = call.args.loc.inode().ok_or(Errno::EINVAL)?;
    let stack = client.stack(&Credentials::root());
    let file = path_resolution::by_gfid(&stack, &inode, call.args.loc.gfid())?;
    let part = home_of(client.node(), &stack, &file)?.part;
    let (bricks, pieces) = bricks_of(part);
    let mut told = Vec::new();
    for brick in bricks {
        match of_brick(
            &stack,
            brick,
            Loc::by_gfid(&inode.fresh(), file.iatt.gfid()),
        ) {
            Ok(space) => told.push(space),
            // An arbiter has no space to tell of, and one that is away is healed later.
            Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ENOTCONN | Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    let least = least(told, pieces).ok_or(Errno::ENODATA)?.to_string();
    let dict = Dict::new();
    dict.set(xattr::SPACE, least.as_bytes())?;
    Ok(dict)
}

/// The bricks of a part of a volume, and how many of them hold different bytes of a file.
pub(crate) fn bricks_of(part: Node) -> (Vec<Node>, u64) {
    if let Some(disperse) = part.find_kind("cluster/disperse") {
        let bricks = disperse.children();
        let redundancy = disperse.option("redundancy");
        let redundancy = redundancy.and_then(|text| text.trim().parse().ok());
        let pieces = bricks.len().saturating_sub(redundancy.unwrap_or(0));
        return (bricks, u64::try_from(pieces).unwrap_or(1));
    }
    match part.find_kind("cluster/replicate") {
        Some(replicate) => (replicate.children(), 1),
        None => (vec![part], 1),
    }
}

fn of_brick(stack: &Stack, brick: Node, loc: Loc<'_>) -> Result<Value, Errno> {
    let asked = stack.ask_node::<Getxattr>(
        brick,
        GetxattrArgs {
            loc,
            name: Some(SPACE.into()),
            xdata: None,
        },
    )?;
    let text = asked.dict.and_then(|dict| dict.get_str(xattr::SPACE));
    text.and_then(|text| serde_json::from_str(&text).ok())
        .ok_or(Errno::EPROTO)
}

/// What a file can have where each of its bricks has one of `pieces` of it: the least that one has
/// left, so many times.
fn least(told: Vec<Value>, pieces: u64) -> Option<Value> {
    let mut all = told.into_iter();
    let mut least = all.next()?;
    let numbers: Vec<String> = least.as_object()?.keys().cloned().collect();
    for other in all {
        for key in &numbers {
            // What no brick may fall short of, an extent, is that of the largest.
            let (a, b) = (least[key].as_u64()?, other[key].as_u64()?);
            least[key] = match key.as_str() {
                "extent_size" => a.max(b),
                _ => a.min(b),
            }
            .into();
        }
    }
    for key in &numbers {
        least[key] = least[key].as_u64()?.checked_mul(pieces)?.into();
    }
    Some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_brick_decides() {
        let space = |free: u64, extent: u64| serde_json::json!({"total": 100, "free": free, "unclaimed": free, "extent_size": extent});
        let told = || vec![space(30, 4), space(20, 8), space(50, 4)];
        let told_of = |space: Option<Value>| {
            let space = space.unwrap();
            (space["unclaimed"].as_u64(), space["extent_size"].as_u64())
        };
        assert_eq!(told_of(least(told(), 1)), (Some(20), Some(8)));
        assert_eq!(told_of(least(told(), 2)), (Some(40), Some(16)));
        assert!(least(Vec::new(), 1).is_none());
        assert_eq!(SPACE.to_str(), Ok(xattr::SPACE));
    }
}
