//! The bricks of a volume, each by itself.

use std::collections::BTreeMap;
use std::io::Write;

use bd_model::xattr;
use gfapi::Volume;

use super::hosts;
use crate::CliError;
use crate::context::Context;
use crate::volfile::{Block, Volfile};

/// What the bricks of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The same bytes.
    Replicas,
    /// Pieces of the same files.
    Pieces,
    /// There is one brick.
    Alone,
}

/// Bricks that should have the same names.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) bricks: Vec<Brick>,
    /// The attributes by which a brick blames each of them.
    pub(super) blames: Vec<String>,
}

/// A brick, as far as it answers.
#[derive(Debug)]
pub(super) struct Brick {
    /// `HOST:/DIR`.
    pub(super) name: String,
    /// It holds names only.
    pub(super) is_arbiter: bool,
    /// Why its host cannot be reached.
    pub(super) away: Option<String>,
    /// Its files; none if it does not answer.
    pub(super) files: Option<Volume>,
    /// The release of its translator; none where it has none.
    pub(super) release: Option<String>,
    /// The name of its top image directory.
    pub(super) top: Option<String>,
    /// gluster-bdd answers it.
    pub(super) has_server: bool,
}

/// Connects to each brick of a volume whose client's volfile that is.
pub(super) fn groups(context: &Context, volfile: &Volfile) -> Result<Vec<Group>, CliError> {
    let is_client = |name: &String| {
        let mut blocks = volfile.blocks.iter();
        blocks.any(|block| block.kind == "protocol/client" && block.name == *name)
    };
    let away = hosts::away(volfile);
    let mut groups = Vec::new();
    let mut seen: Vec<&String> = Vec::new();
    for block in &volfile.blocks {
        let kind = match block.kind.as_str() {
            "cluster/replicate" => Kind::Replicas,
            "cluster/disperse" => Kind::Pieces,
            _ => continue,
        };
        let names: Vec<&String> = block.subvolumes.iter().filter(|n| is_client(n)).collect();
        seen.extend(&names);
        groups.push(group(context, volfile, block, kind, (&names, &away))?);
    }
    for block in &volfile.blocks {
        if block.kind == "protocol/client" && !seen.contains(&&block.name) {
            let brick = connect(context, block, false, &away)?;
            groups.push(Group {
                kind: Kind::Alone,
                bricks: vec![brick],
                blames: Vec::new(),
            });
        }
    }
    Ok(groups)
}

fn group(
    context: &Context,
    volfile: &Volfile,
    block: &Block,
    kind: Kind,
    (names, away): (&[&String], &BTreeMap<String, String>),
) -> Result<Group, CliError> {
    let has_arbiter = block.option("arbiter-count").is_some_and(|n| n != "0");
    let mut bricks = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let mut blocks = volfile.blocks.iter();
        if let Some(client) = blocks.find(|block| block.name == **name) {
            let is_arbiter = has_arbiter && number + 1 == names.len();
            bricks.push(connect(context, client, is_arbiter, away)?);
        }
    }
    let blames = match (kind, block.option("afr-pending-xattr")) {
        (Kind::Replicas, Some(names)) => names.split(',').map(str::to_owned).collect(),
        (Kind::Replicas, None) => block.subvolumes.clone(),
        _ => Vec::new(),
    };
    let blames = blames.iter().map(|name| format!("trusted.afr.{name}"));
    Ok(Group {
        kind,
        blames: blames.collect(),
        bricks,
    })
}

/// Connects to one brick, by a volfile that has nothing but it.
fn connect(
    context: &Context,
    client: &Block,
    is_arbiter: bool,
    away: &BTreeMap<String, String>,
) -> Result<Brick, CliError> {
    let option = |key| client.option(key).unwrap_or("?");
    let name = format!("{}:{}", option("remote-host"), option("remote-subvolume"));
    let away = away.get(option("remote-host")).cloned();
    let files = match away {
        Some(_) => None,
        None => files(context, client)?,
    };
    let asked = |key| {
        let value = files.as_ref()?.getxattr("/", key).ok()?;
        Some(String::from_utf8_lossy(&value).into_owned())
    };
    Ok(Brick {
        release: asked(xattr::RELEASE),
        top: asked(xattr::TOP),
        has_server: asked(xattr::SPACE).is_some(),
        is_arbiter,
        away,
        files,
        name,
    })
}

/// The files of one brick; none if it does not answer.
fn files(context: &Context, client: &Block) -> Result<Option<Volume>, CliError> {
    // It may hold a password; nobody else can read it, and it goes at once.
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(client.to_string().as_bytes())?;
    Ok(Volume::connect_by_volfile(&client.name, file.path(), &context.log_file).ok())
}
