use bd_model::xattr;
use glusterfs::fops::{Lookup, LookupArgs};
use glusterfs::{Dict, Errno, FileType, Inode, Loc, Node, Stack};

use crate::path_resolution::Found;

/// Where a file is.
#[derive(Debug)]
pub(crate) struct Home {
    /// The translator that distributes, if there is a choice.
    pub(crate) dht: Option<Node>,
    /// The part of the volume.
    pub(crate) part: Node,
}

/// A part of a distributed volume that cannot be reached: the volume says of its files that they are not
/// there.
pub(crate) fn away(node: Node, stack: &Stack, inode: &Inode<'_>) -> Option<Node> {
    let parts = node.find_kind("cluster/distribute")?.children();
    if parts.len() < 2 {
        return None;
    }
    parts.into_iter().find(|part| {
        let args = LookupArgs {
            loc: Loc::root(&inode.root()),
            xdata: None,
        };
        let asked = stack.ask_node::<Lookup>(*part, args);
        asked.is_err_and(|failure| failure.errno == Errno::ENOTCONN)
    })
}

/// The part of a distributed volume in which a file is.
pub(crate) fn home_of(node: Node, stack: &Stack, file: &Found) -> Result<Home, Errno> {
    let Some(dht) = node.find_kind("cluster/distribute") else {
        let part = node.first_child().ok_or(Errno::EIO)?;
        return Ok(Home { dht: None, part });
    };
    let parts = dht.children();
    if let [part] = parts[..] {
        return Ok(Home { dht: None, part });
    }
    let gfid = file.iatt.gfid();
    let mut missing = Errno::ESTALE;
    for part in parts {
        let xdata = Dict::new();
        xdata.set_u32(xattr::DHT_LINKTO, 256)?;
        let loc = Loc::by_gfid(&file.inode.fresh(), gfid);
        let args = LookupArgs {
            loc,
            xdata: Some(xdata),
        };
        match stack.ask_node::<Lookup>(part, args) {
            Ok(reply) => {
                let elsewhere = reply
                    .xdata
                    .is_some_and(|xdata| xdata.contains(xattr::DHT_LINKTO));
                if !elsewhere && reply.buf.file_type() == FileType::Regular {
                    return Ok(Home {
                        dht: Some(dht),
                        part,
                    });
                }
            }
            Err(failure) if matches!(failure.errno, Errno::ENOENT | Errno::ESTALE) => {}
            // A part that is down may be the one; another may have it yet.
            Err(failure) => missing = failure.errno,
        }
    }
    Err(missing)
}
