use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use bd_engine::Standing;
use bd_model::{Gfid, ImageKind, LvName};
use bd_proto::{Fault, OldImage, OldStep};

use super::super::namespace::Namespace;
use super::file::{OldFile, OldMark};

/// An image of an old brick.
#[derive(Debug)]
pub(super) struct Found {
    /// One of its names.
    pub(super) path: PathBuf,
    /// What is told of it; it has gfid, LV, kind and size if it is not unfit.
    pub(super) told: OldImage,
}

/// What the files of a brick are compared with.
pub(super) struct Group<'a> {
    /// Its name, for messages.
    name: &'a str,
    pool: Option<&'a LvName>,
    by_name: HashMap<&'a LvName, &'a Standing>,
    by_gfid: HashMap<Gfid, &'a Standing>,
    /// How many files say that they have a gfid.
    bearers: HashMap<Gfid, usize>,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        name: &'a str,
        pool: Option<&'a LvName>,
        inventory: &'a [Standing],
        files: &[OldFile],
    ) -> Group<'a> {
        let named = inventory.iter().map(|it| (&it.volume.name, it));
        let owned = inventory
            .iter()
            .filter_map(|it| Some((it.volume.gfid?, it)));
        let mut bearers = HashMap::new();
        for gfid in files.iter().filter_map(|file| file.gfid) {
            *bearers.entry(gfid).or_default() += 1;
        }
        Group {
            name,
            pool,
            by_name: named.collect(),
            by_gfid: owned.collect(),
            bearers,
        }
    }

    /// What becomes of a file; `None` for one that is no image.
    pub(super) fn judge(
        &self,
        file: &OldFile,
        namespace: &Namespace,
    ) -> Result<Option<Found>, Fault> {
        let standing = file.gfid.and_then(|gfid| self.of(gfid));
        if file.mark == OldMark::None && standing.is_none() {
            return Ok(None);
        }
        let mut told = OldImage {
            path: file.shown.clone(),
            gfid: file.gfid,
            lv: standing.map(|it| it.volume.name.clone()),
            kind: standing.map(|it| it.volume.kind),
            size: standing.map(|it| it.volume.size),
            steps: Vec::new(),
            notes: Vec::new(),
            unfit: None,
        };
        match self.unfit(file, standing, namespace)? {
            Some(why) => told.unfit = Some(why),
            None => {
                if let (Some(gfid), Some(standing)) = (file.gfid, standing) {
                    told.steps = steps(file, gfid, standing, namespace);
                    told.notes = self.notes(file, standing);
                }
            }
        }
        Ok(Some(Found {
            path: file.path.clone(),
            told,
        }))
    }

    /// The volume of an image: the one that says so, or that has its name.
    fn of(&self, gfid: Gfid) -> Option<&'a Standing> {
        let named = || self.by_name.get(&LvName::for_gfid(gfid));
        self.by_gfid.get(&gfid).or_else(named).copied()
    }

    /// Why a file cannot become an image as it is, and what there is to do.
    fn unfit(
        &self,
        file: &OldFile,
        standing: Option<&Standing>,
        namespace: &Namespace,
    ) -> Result<Option<String>, Fault> {
        let path = file.path.display();
        let unmark = format!("setfattr -x user.glusterfs.bd {path}");
        let Some(gfid) = file.gfid else {
            return Ok(Some(format!(
                "it has no gfid, so that nobody knows its LV; let it be no image: {unmark}"
            )));
        };
        let Some(Standing {
            volume,
            open,
            hidden,
        }) = standing
        else {
            return Ok(Some(format!(
                "there is no LV {}/{gfid}; bring it back, or let the file be no image: {unmark}",
                self.name
            )));
        };
        let lv = format!("{}/{}", self.name, volume.name);
        let handle = namespace.handle(gfid);
        let linked = fs::symlink_metadata(&handle).map(|about| (about.dev(), about.ino()));
        Ok(if self.bearers.get(&gfid).is_some_and(|files| *files > 1) {
            Some(format!(
                "another file has the same gfid ({gfid}), perhaps a copy of the brick's; remove the one \
                 that is not {}",
                handle.display()
            ))
        } else if linked.is_ok_and(|linked| linked != file.identity) {
            Some(format!(
                "{}, which should be a link to it, is another file; remove the wrong one of the two",
                handle.display()
            ))
        } else if let Some(other) = volume.gfid.filter(|owner| *owner != gfid) {
            Some(format!(
                "{lv} belongs to image {other} already; if it does not: lvchange --deltag \
                 gluster_bd.gfid={other} {lv}"
            ))
        } else if let OldMark::Bad(mark) = &file.mark {
            Some(format!(
                "its mark is {mark:?}; {lv} is {0}: setfattr -n user.glusterfs.bd -v {0} {path}",
                volume.kind
            ))
        } else if *hidden {
            Some(format!(
                "{lv} is hidden from bricks; if it is the file's: lvchange --deltag gluster_bd.hidden {lv}"
            ))
        } else if *open {
            Some(format!(
                "{lv} is open; stop who uses it, see: lsof /dev/{lv}"
            ))
        } else if file.holds_data {
            Some(format!(
                "the file itself holds bytes, of before it was an image, or written by a GlusterFS that \
                 knows no LVs; those of {lv} are to count: truncate -s 0 {path} (copy it elsewhere first if \
                 you want what it holds); those of the file: lvrename {lv} NAME, and {unmark}"
            ))
        } else {
            None
        })
    }

    /// What is worth a word, and no reason to stop.
    fn notes(&self, file: &OldFile, standing: &Standing) -> Vec<String> {
        let volume = &standing.volume;
        let mut notes = Vec::new();
        match &file.mark {
            OldMark::None => {
                notes.push("it had lost its mark, as LVs that were not active do".to_owned());
            }
            OldMark::Image { kind, size } => {
                if *kind != volume.kind {
                    notes.push(format!("its mark said {kind}"));
                }
                if let Some(size) = size.filter(|size| *size != volume.size.0) {
                    notes.push(format!("its mark said {size} bytes"));
                }
            }
            OldMark::Bad(_) => {}
        }
        if let Some(origin) = &volume.origin {
            notes.push(format!("a snapshot of {origin}"));
        }
        if volume.kind == ImageKind::Thin && volume.pool.as_ref() != self.pool {
            let pool = volume.pool.as_ref().map_or("another", LvName::as_str);
            notes.push(format!(
                "its pool {pool} is not the brick's: nobody extends it"
            ));
        }
        notes
    }
}

/// What is still to be done for an image.
fn steps(file: &OldFile, gfid: Gfid, standing: &Standing, namespace: &Namespace) -> Vec<OldStep> {
    let volume = &standing.volume;
    let mark = OldMark::Image {
        kind: volume.kind,
        size: None,
    };
    let wanted = [
        (OldStep::Handle, !namespace.handle(gfid).exists()),
        (OldStep::Tag, volume.gfid != Some(gfid)),
        (OldStep::Size, file.size != volume.size.0),
        (OldStep::Mark, file.mark != mark),
    ];
    let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted);
    wanted.map(|(step, _)| step).collect()
}
